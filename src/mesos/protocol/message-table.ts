/**
 * The messages of the Mesos v1 API and of the agent link as a table: the one place that knows fields, numbers, defaults.
 *
 * Notation (reference: mesos-api 7.2): `name number[!|*] type[=default][~]`; `!` required, `*` repeated, `~` deprecated;
 * `map<T>` has text keys; `enum Name` starts an enumeration, any other name a message. The JSON
 * mapping (message-json.ts) reads it. Messages under `margay.` are our own and are never seen by a Mesos client.
 */

const table = `
Identifier: value 1! str
ContainerID: value 1! str, parent 2 ContainerID
TimeInfo: nanoseconds 1! i64
DurationInfo: nanoseconds 1! i64
Address: hostname 1 str, ip 2 str, port 3! i32
Parameter: key 1! str, value 2! str
Parameters: parameter 1* Parameter
URL: scheme 1! str, address 2! Address, path 3 str, query 4* Parameter, fragment 5 str
Unavailability: start 1! TimeInfo, duration 2 DurationInfo
Label: key 1! str, value 2 str
Labels: labels 1* Label
Name: name 1! str
FaultDomain: region 1! Name, zone 2! Name
DomainInfo: fault_domain 1 FaultDomain
Empty:

enum ValueType: SCALAR=0 RANGES=1 SET=2 TEXT=3
Scalar: value 1! dbl
Range: begin 1! u64, end 2! u64
Ranges: range 1* Range
ValueSet: item 1* str
Text: value 1! str
Attribute: name 1! str, type 2! ValueType, scalar 3 Scalar, ranges 4 Ranges, set 6 ValueSet, text 5 Text

enum FrameworkCapabilityType: UNKNOWN=0 REVOCABLE_RESOURCES=1 TASK_KILLING_STATE=2 GPU_RESOURCES=3 SHARED_RESOURCES=4 PARTITION_AWARE=5 MULTI_ROLE=6 RESERVATION_REFINEMENT=7 REGION_AWARE=8
FrameworkCapability: type 1 FrameworkCapabilityType
ResourceQuantities: quantities 1 map<Scalar>
MinAllocatableResources: quantities 1* ResourceQuantities
OfferFilters: min_allocatable_resources 1 MinAllocatableResources
FrameworkInfo: user 1! str, name 2! str, id 3 Identifier, failover_timeout 4 dbl=0.0, checkpoint 5 bool=false, role 6 str="*"~, roles 12* str, hostname 7 str, principal 8 str, webui_url 9 str, capabilities 10* FrameworkCapability, labels 11 Labels, offer_filters 13 map<OfferFilters>

enum CheckType: UNKNOWN=0 COMMAND=1 HTTP=2 TCP=3
CheckCommand: command 1! CommandInfo
CheckHttp: port 1! u32, path 2 str
CheckTcp: port 1! u32
CheckInfo: type 1 CheckType, command 2 CheckCommand, http 3 CheckHttp, tcp 7 CheckTcp, delay_seconds 4 dbl=15.0, interval_seconds 5 dbl=10.0, timeout_seconds 6 dbl=20.0
HTTPCheckInfo: protocol 5 IpProtocol="IPv4", scheme 3 str, port 1! u32, path 2 str, statuses 4* u32
TCPCheckInfo: protocol 2 IpProtocol="IPv4", port 1! u32
HealthCheck: delay_seconds 2 dbl=15.0, interval_seconds 3 dbl=10.0, timeout_seconds 4 dbl=20.0, consecutive_failures 5 u32=3, grace_period_seconds 6 dbl=10.0, type 8 CheckType, command 7 CommandInfo, http 1 HTTPCheckInfo, tcp 9 TCPCheckInfo
CheckStatusCommand: exit_code 1 i32
CheckStatusHttp: status_code 1 u32
CheckStatusTcp: succeeded 1 bool
CheckStatusInfo: type 1 CheckType, command 2 CheckStatusCommand, http 3 CheckStatusHttp, tcp 4 CheckStatusTcp

KillPolicy: grace_period 1 DurationInfo
URI: value 1! str, executable 2 bool, extract 3 bool=true, cache 4 bool, output_file 5 str
enum VariableType: UNKNOWN=0 VALUE=1 SECRET=2
EnvironmentVariable: name 1! str, type 3 VariableType="VALUE", value 2 str, secret 4 Secret
Environment: variables 1* EnvironmentVariable
CommandInfo: uris 1* URI, environment 2 Environment, shell 6 bool=true, value 3 str, arguments 7* str, user 5 str
enum ExecutorType: UNKNOWN=0 DEFAULT=1 CUSTOM=2
ExecutorInfo: type 15 ExecutorType, executor_id 1! Identifier, framework_id 8 Identifier, command 7 CommandInfo, container 11 ContainerInfo, resources 5* Resource, name 9 str, source 10 str~, data 4 bytes, discovery 12 DiscoveryInfo, shutdown_grace_period 13 DurationInfo, labels 14 Labels

enum MasterCapabilityType: UNKNOWN=0 AGENT_UPDATE=1 AGENT_DRAINING=2 QUOTA_V2=3
MasterCapability: type 1 MasterCapabilityType
MasterInfo: id 1! str, ip 2! u32, port 3! u32, pid 4 str, hostname 5 str, version 6 str, address 7 Address, domain 8 DomainInfo, capabilities 9* MasterCapability
AgentInfo: hostname 1! str, port 8 i32=5051, resources 3* Resource, attributes 5* Attribute, id 6 Identifier, domain 10 DomainInfo

AllocationInfo: role 1 str
enum ReservationType: UNKNOWN=0 STATIC=1 DYNAMIC=2
ReservationInfo: type 4 ReservationType, role 3 str, principal 1 str, labels 2 Labels
Persistence: id 1! str, principal 2 str
Root: root 1 str
enum DiskSourceType: UNKNOWN=0 PATH=1 MOUNT=2 BLOCK=3 RAW=4
DiskSource: type 1! DiskSourceType, path 2 Root, mount 3 Root, vendor 7 str, id 4 str, metadata 5 Labels, profile 6 str
DiskInfo: persistence 1 Persistence, volume 2 Volume, source 3 DiskSource
Resource: provider_id 12 Identifier, name 1! str, type 2! ValueType, scalar 3 Scalar, ranges 4 Ranges, set 5 ValueSet, role 6 str="*"~, allocation_info 11 AllocationInfo, reservation 8 ReservationInfo, reservations 13* ReservationInfo, disk 7 DiskInfo, revocable 9 Empty, shared 10 Empty

enum OperationType: UNKNOWN=0 LAUNCH=1 LAUNCH_GROUP=6 RESERVE=2 UNRESERVE=3 CREATE=4 DESTROY=5 GROW_VOLUME=11 SHRINK_VOLUME=12 CREATE_DISK=13 DESTROY_DISK=14
Launch: task_infos 1* TaskInfo
LaunchGroup: executor 1! ExecutorInfo, task_group 2! TaskGroupInfo
Reserve: source 2* Resource, resources 1* Resource
Unreserve: resources 1* Resource
Create: volumes 1* Resource
Destroy: volumes 1* Resource
Operation: type 1 OperationType, id 12 Identifier, launch 2 Launch, launch_group 7 LaunchGroup, reserve 3 Reserve, unreserve 4 Unreserve, create 5 Create, destroy 6 Destroy
Offer: id 1! Identifier, framework_id 2! Identifier, agent_id 3! Identifier, hostname 4! str, url 8 URL, domain 11 DomainInfo, resources 5* Resource, attributes 7* Attribute, executor_ids 6* Identifier, unavailability 9 Unavailability, allocation_info 10 AllocationInfo
TaskInfo: name 1! str, task_id 2! Identifier, agent_id 3! Identifier, resources 4* Resource, executor 5 ExecutorInfo, command 7 CommandInfo, container 9 ContainerInfo, health_check 8 HealthCheck, check 13 CheckInfo, kill_policy 12 KillPolicy, data 6 bytes, labels 10 Labels, discovery 11 DiscoveryInfo, max_completion_time 14 DurationInfo, limits 15 map<Scalar>
TaskGroupInfo: tasks 1* TaskInfo
enum TaskState: TASK_STAGING=6 TASK_STARTING=0 TASK_RUNNING=1 TASK_KILLING=8 TASK_FINISHED=2 TASK_FAILED=3 TASK_KILLED=4 TASK_ERROR=7 TASK_LOST=5 TASK_DROPPED=9 TASK_UNREACHABLE=10 TASK_GONE=11 TASK_GONE_BY_OPERATOR=12 TASK_UNKNOWN=13
Task: name 1! str, task_id 2! Identifier, framework_id 3! Identifier, executor_id 4 Identifier, agent_id 5! Identifier, state 6! TaskState, resources 7* Resource, statuses 8* TaskStatus, status_update_state 9 TaskState, status_update_uuid 10 bytes, labels 11 Labels, discovery 12 DiscoveryInfo, container 13 ContainerInfo, health_check 15 HealthCheck, kill_policy 16 KillPolicy, user 14 str, limits 17 map<Scalar>
TaskResourceLimitation: resources 1* Resource
UUID: value 1! bytes
enum OperationState: OPERATION_UNSUPPORTED=0 OPERATION_PENDING=1 OPERATION_FINISHED=2 OPERATION_FAILED=3 OPERATION_ERROR=4 OPERATION_DROPPED=5 OPERATION_UNREACHABLE=6 OPERATION_GONE_BY_OPERATOR=7 OPERATION_RECOVERING=8 OPERATION_UNKNOWN=9
OperationStatus: operation_id 1 Identifier, state 2! OperationState, message 3 str, converted_resources 4* Resource, uuid 5 UUID, agent_id 6 Identifier, resource_provider_id 7 Identifier
enum StatusSource: SOURCE_MASTER=0 SOURCE_AGENT=1 SOURCE_EXECUTOR=2
enum StatusReason: REASON_COMMAND_EXECUTOR_FAILED=0 REASON_CONTAINER_LAUNCH_FAILED=21 REASON_CONTAINER_LIMITATION=19 REASON_CONTAINER_LIMITATION_DISK=20 REASON_CONTAINER_LIMITATION_MEMORY=8 REASON_CONTAINER_PREEMPTED=17 REASON_CONTAINER_UPDATE_FAILED=22 REASON_MAX_COMPLETION_TIME_REACHED=33 REASON_EXECUTOR_REGISTRATION_TIMEOUT=23 REASON_EXECUTOR_REREGISTRATION_TIMEOUT=24 REASON_EXECUTOR_TERMINATED=1 REASON_EXECUTOR_UNREGISTERED=2 REASON_FRAMEWORK_REMOVED=3 REASON_GC_ERROR=4 REASON_INVALID_FRAMEWORKID=5 REASON_INVALID_OFFERS=6 REASON_IO_SWITCHBOARD_EXITED=27 REASON_MASTER_DISCONNECTED=7 REASON_RECONCILIATION=9 REASON_RESOURCES_UNKNOWN=18 REASON_AGENT_DISCONNECTED=10 REASON_AGENT_DRAINING=34 REASON_AGENT_REMOVED=11 REASON_AGENT_REMOVED_BY_OPERATOR=31 REASON_AGENT_REREGISTERED=32 REASON_AGENT_RESTARTED=12 REASON_AGENT_UNKNOWN=13 REASON_TASK_KILLED_DURING_LAUNCH=30 REASON_TASK_CHECK_STATUS_UPDATED=28 REASON_TASK_HEALTH_CHECK_STATUS_UPDATED=29 REASON_TASK_GROUP_INVALID=25 REASON_TASK_GROUP_UNAUTHORIZED=26 REASON_TASK_INVALID=14 REASON_TASK_UNAUTHORIZED=15 REASON_TASK_UNKNOWN=16
TaskStatus: task_id 1! Identifier, state 2! TaskState, message 4 str, source 9 StatusSource, reason 10 StatusReason, data 3 bytes, agent_id 5 Identifier, executor_id 7 Identifier, timestamp 6 dbl, uuid 11 bytes, healthy 8 bool, check_status 15 CheckStatusInfo, labels 12 Labels, container_status 13 ContainerStatus, unreachable_time 14 TimeInfo, limitation 16 TaskResourceLimitation
Filters: refuse_seconds 1 dbl=5.0

enum SecretType: UNKNOWN=0 REFERENCE=1 VALUE=2
SecretReference: name 1! str, key 2 str
SecretValue: data 1! bytes
Secret: type 1 SecretType, reference 2 SecretReference, value 3 SecretValue
enum ImageType: APPC=1 DOCKER=2
ImageAppc: name 1! str, id 2 str, labels 3 Labels
ImageDocker: name 1! str, config 3 Secret
Image: type 1! ImageType, appc 2 ImageAppc, docker 3 ImageDocker, cached 4 bool=true
enum PropagationMode: UNKNOWN=0 HOST_TO_CONTAINER=1 BIDIRECTIONAL=2
MountPropagation: mode 1 PropagationMode
DockerVolume: driver 1 str, name 2! str, driver_options 3 Parameters
HostPath: path 1! str, mount_propagation 2 MountPropagation
enum SandboxPathType: UNKNOWN=0 SELF=1 PARENT=2
SandboxPath: type 1 SandboxPathType, path 2! str
enum VolumeSourceType: UNKNOWN=0 DOCKER_VOLUME=1 HOST_PATH=4 SANDBOX_PATH=2 SECRET=3 CSI_VOLUME=5
VolumeSource: type 1 VolumeSourceType, docker_volume 2 DockerVolume, host_path 5 HostPath, sandbox_path 3 SandboxPath, secret 4 Secret
enum VolumeMode: RW=1 RO=2
Volume: mode 3! VolumeMode, container_path 1! str, host_path 2 str, image 4 Image, source 5 VolumeSource
enum IpProtocol: IPv4=1 IPv6=2
IPAddress: protocol 1 IpProtocol="IPv4", ip_address 2 str
PortMapping: host_port 1! u32, container_port 2! u32, protocol 3 str
NetworkInfo: ip_addresses 5* IPAddress, name 6 str, groups 3* str, labels 4 Labels, port_mappings 7* PortMapping
enum Capability: UNKNOWN=0 CHOWN=1000 DAC_OVERRIDE=1001 DAC_READ_SEARCH=1002 FOWNER=1003 FSETID=1004 KILL=1005 SETGID=1006 SETUID=1007 SETPCAP=1008 LINUX_IMMUTABLE=1009 NET_BIND_SERVICE=1010 NET_BROADCAST=1011 NET_ADMIN=1012 NET_RAW=1013 IPC_LOCK=1014 IPC_OWNER=1015 SYS_MODULE=1016 SYS_RAWIO=1017 SYS_CHROOT=1018 SYS_PTRACE=1019 SYS_PACCT=1020 SYS_ADMIN=1021 SYS_BOOT=1022 SYS_NICE=1023 SYS_RESOURCE=1024 SYS_TIME=1025 SYS_TTY_CONFIG=1026 MKNOD=1027 LEASE=1028 AUDIT_WRITE=1029 AUDIT_CONTROL=1030 SETFCAP=1031 MAC_OVERRIDE=1032 MAC_ADMIN=1033 SYSLOG=1034 WAKE_ALARM=1035 BLOCK_SUSPEND=1036 AUDIT_READ=1037 PERFMON=1038 BPF=1039 CHECKPOINT_RESTORE=1040
CapabilityInfo: capabilities 1* Capability
SeccompInfo: profile_name 1 str, unconfined 2 bool
enum IpcMode: UNKNOWN=0 PRIVATE=1 SHARE_PARENT=2
LinuxInfo: capability_info 1 CapabilityInfo~, bounding_capabilities 2 CapabilityInfo, effective_capabilities 3 CapabilityInfo, share_pid_namespace 4 bool, seccomp 5 SeccompInfo, ipc_mode 6 IpcMode, shm_size 7 u32, share_cgroups 8 bool=true
enum RLimitType: UNKNOWN=0 RLMT_AS=1 RLMT_CORE=2 RLMT_CPU=3 RLMT_DATA=4 RLMT_FSIZE=5 RLMT_LOCKS=6 RLMT_MEMLOCK=7 RLMT_MSGQUEUE=8 RLMT_NICE=9 RLMT_NOFILE=10 RLMT_NPROC=11 RLMT_RSS=12 RLMT_RTPRIO=13 RLMT_RTTIME=14 RLMT_SIGPENDING=15 RLMT_STACK=16
RLimit: type 1 RLimitType, hard 2 u64, soft 3 u64
RLimitInfo: rlimits 1* RLimit
WindowSize: rows 1! u32, columns 2! u32
TTYInfo: window_size 1 WindowSize
enum DockerNetwork: HOST=1 BRIDGE=2 NONE=3 USER=4
DockerInfo: image 1! str, network 2 DockerNetwork="HOST", port_mappings 3* PortMapping, privileged 4 bool=false, parameters 5* Parameter, force_pull_image 6 bool, volume_driver 7 str~
MesosInfo: image 1 Image
enum ContainerType: DOCKER=1 MESOS=2
ContainerInfo: type 1! ContainerType, volumes 2* Volume, hostname 4 str, docker 3 DockerInfo, mesos 5 MesosInfo, network_infos 7* NetworkInfo, linux_info 8 LinuxInfo, rlimit_info 9 RLimitInfo, tty_info 10 TTYInfo
NetCls: classid 1 u32
CgroupInfo: net_cls 1 NetCls
ContainerStatus: container_id 4 ContainerID, network_infos 1* NetworkInfo, cgroup_info 2 CgroupInfo, executor_pid 3 u32
enum Visibility: FRAMEWORK=0 CLUSTER=1 EXTERNAL=2
Port: number 1! u32, name 2 str, protocol 3 str, visibility 4 Visibility, labels 5 Labels
Ports: ports 1* Port
DiscoveryInfo: visibility 1! Visibility, name 2 str, environment 3 str, location 4 str, version 5 str, ports 6 Ports, labels 7 Labels

enum PseudoattributeType: UNKNOWN=0 HOSTNAME=1 REGION=2 ZONE=3
ConstraintSelector: pseudoattribute_type 1 PseudoattributeType, attribute_name 2 str
ConstraintRegex: regex 1! str
ConstraintPredicate: exists 1 Empty, not_exists 2 Empty, text_equals 3 Text, text_not_equals 4 Text, text_matches 5 ConstraintRegex, text_not_matches 6 ConstraintRegex
AttributeConstraint: selector 1! ConstraintSelector, predicate 2! ConstraintPredicate
ConstraintGroup: attribute_constraints 1* AttributeConstraint
RoleConstraints: groups 1* ConstraintGroup
OfferConstraints: role_constraints 1 map<RoleConstraints>

enum scheduler.CallType: UNKNOWN=0 SUBSCRIBE=1 TEARDOWN=2 ACCEPT=3 DECLINE=4 REVIVE=5 KILL=6 SHUTDOWN=7 ACKNOWLEDGE=8 RECONCILE=9 MESSAGE=10 REQUEST=11 SUPPRESS=12 ACCEPT_INVERSE_OFFERS=13 DECLINE_INVERSE_OFFERS=14 ACKNOWLEDGE_OPERATION_STATUS=15 RECONCILE_OPERATIONS=16 UPDATE_FRAMEWORK=17
scheduler.Subscribe: framework_info 1! FrameworkInfo, suppressed_roles 2* str, offer_constraints 3 OfferConstraints
scheduler.Accept: offer_ids 1* Identifier, operations 2* Operation, filters 3 Filters
scheduler.Decline: offer_ids 1* Identifier, filters 2 Filters
scheduler.InverseOfferAnswer: inverse_offer_ids 1* Identifier, filters 2 Filters
scheduler.Roles: roles 1* str
scheduler.Kill: task_id 1! Identifier, agent_id 2 Identifier, kill_policy 3 KillPolicy
scheduler.Shutdown: executor_id 1! Identifier, agent_id 2! Identifier
scheduler.Acknowledge: agent_id 1! Identifier, task_id 2! Identifier, uuid 3! bytes
scheduler.ReconcileTask: task_id 1! Identifier, agent_id 2 Identifier
scheduler.Reconcile: tasks 1* scheduler.ReconcileTask
scheduler.Message: agent_id 1! Identifier, executor_id 2! Identifier, data 3! bytes
scheduler.RequestEntry: agent_id 1 Identifier, resources 2* Resource
scheduler.Request: requests 1* scheduler.RequestEntry
scheduler.AcknowledgeOperationStatus: agent_id 1 Identifier, resource_provider_id 2 Identifier, uuid 3! bytes, operation_id 4! Identifier
scheduler.ReconcileOperation: operation_id 1! Identifier, agent_id 2 Identifier, resource_provider_id 3 Identifier
scheduler.ReconcileOperations: operations 1* scheduler.ReconcileOperation
scheduler.Call: framework_id 1 Identifier, type 2 scheduler.CallType, subscribe 3 scheduler.Subscribe, accept 4 scheduler.Accept, decline 5 scheduler.Decline, revive 15 scheduler.Roles, kill 6 scheduler.Kill, shutdown 7 scheduler.Shutdown, acknowledge 8 scheduler.Acknowledge, reconcile 9 scheduler.Reconcile, message 10 scheduler.Message, request 11 scheduler.Request, suppress 16 scheduler.Roles, accept_inverse_offers 13 scheduler.InverseOfferAnswer, decline_inverse_offers 14 scheduler.InverseOfferAnswer, acknowledge_operation_status 17 scheduler.AcknowledgeOperationStatus, reconcile_operations 18 scheduler.ReconcileOperations, update_framework 19 scheduler.Subscribe

enum scheduler.EventType: UNKNOWN=0 SUBSCRIBED=1 OFFERS=2 RESCIND=3 UPDATE=4 MESSAGE=5 FAILURE=6 ERROR=7 HEARTBEAT=8 INVERSE_OFFERS=9 RESCIND_INVERSE_OFFER=10 UPDATE_OPERATION_STATUS=11
scheduler.Subscribed: framework_id 1! Identifier, heartbeat_interval_seconds 2 dbl, master_info 3 MasterInfo
scheduler.Offers: offers 1* Offer
scheduler.Rescind: offer_id 1! Identifier
scheduler.Update: status 1! TaskStatus
scheduler.UpdateOperationStatus: status 1! OperationStatus
scheduler.Failure: agent_id 1 Identifier, executor_id 2 Identifier, status 3 i32
scheduler.Error: message 1! str
scheduler.Event: type 1 scheduler.EventType, subscribed 2 scheduler.Subscribed, offers 3 scheduler.Offers, rescind 4 scheduler.Rescind, update 5 scheduler.Update, message 6 scheduler.Message, failure 7 scheduler.Failure, error 8 scheduler.Error, update_operation_status 11 scheduler.UpdateOperationStatus

enum AgentCapabilityType: UNKNOWN=0 MULTI_ROLE=1 HIERARCHICAL_ROLE=2 RESERVATION_REFINEMENT=3 RESOURCE_PROVIDER=4 RESIZE_VOLUME=5 AGENT_OPERATION_FEEDBACK=6 AGENT_DRAINING=7 TASK_RESOURCE_LIMITS=8
enum margay.AgentCallType: UNKNOWN=0 SUBSCRIBE=1 STATUS_UPDATE=2 PONG=3 MESSAGE=4 UNREGISTER=5
margay.StatusUpdate: framework_id 1! Identifier, status 2! TaskStatus, latest_state 3 TaskState
margay.AgentTask: framework_id 1! Identifier, task 2! TaskInfo, state 3! TaskState, latest_status 4 TaskStatus
margay.AgentSubscribe: agent_info 1! AgentInfo, ip 2! str, version 3! str, capabilities 4* AgentCapabilityType, tasks 5* margay.AgentTask, frameworks 6* FrameworkInfo
margay.Sequence: sequence 1! u64
margay.ExecutorMessage: framework_id 1! Identifier, executor_id 2! Identifier, data 3! bytes
margay.AgentCall: type 1 margay.AgentCallType, agent_id 2 Identifier, subscribe 3 margay.AgentSubscribe, status_update 4 margay.StatusUpdate, pong 5 margay.Sequence, message 6 margay.ExecutorMessage
enum margay.AgentEventType: UNKNOWN=0 SUBSCRIBED=1 RUN_TASK=2 KILL_TASK=3 ACKNOWLEDGE=4 PING=5 RECONCILE=6 SHUTDOWN_FRAMEWORK=7 SHUTDOWN_EXECUTOR=8 MESSAGE=9 UPDATE_FRAMEWORK=10 SHUTDOWN=11 ERROR=12
margay.Subscribed: agent_id 1! Identifier, master_id 2! str, ping_interval_seconds 3! dbl, ping_timeout_seconds 4! dbl
margay.RunTask: framework 1! FrameworkInfo, task 2! TaskInfo
margay.KillTask: framework_id 1! Identifier, task_id 2! Identifier, kill_policy 3 KillPolicy
margay.Acknowledge: framework_id 1! Identifier, task_id 2! Identifier, uuid 3! bytes
margay.ReconcileTask: framework_id 1! Identifier, task_id 2! Identifier, partition_aware 3! bool
margay.Reconcile: tasks 1* margay.ReconcileTask
margay.ShutdownFramework: framework_id 1! Identifier
margay.ShutdownExecutor: framework_id 1! Identifier, executor_id 2! Identifier
margay.UpdateFramework: framework 1! FrameworkInfo
margay.Text: message 1! str
margay.AgentEvent: type 1 margay.AgentEventType, subscribed 2 margay.Subscribed, run_task 3 margay.RunTask, kill_task 4 margay.KillTask, acknowledge 5 margay.Acknowledge, ping 6 margay.Sequence, reconcile 7 margay.Reconcile, shutdown_framework 8 margay.ShutdownFramework, shutdown_executor 9 margay.ShutdownExecutor, message 10 margay.ExecutorMessage, update_framework 11 margay.UpdateFramework, shutdown 12 margay.Text, error 13 margay.Text
`;

export type ScalarKind = "str" | "dbl" | "u32" | "u64" | "i32" | "i64" | "bytes" | "bool";
const scalarKinds: ReadonlySet<string> = new Set(["str", "dbl", "u32", "u64", "i32", "i64", "bytes", "bool"]);

export type FieldType =
  | { readonly kind: "scalar"; readonly scalar: ScalarKind }
  | { readonly kind: "enum"; readonly enumeration: Enumeration }
  | { readonly kind: "message"; readonly message: Message }
  | { readonly kind: "map"; readonly values: Message };
export interface Field {
  readonly name: string;
  readonly number: number;
  readonly required: boolean;
  readonly repeated: boolean;
  readonly deprecated: boolean;
  readonly type: FieldType;
  readonly defaultValue: string | number | boolean | undefined;
}
export interface Enumeration {
  readonly name: string;
  readonly numbers: ReadonlyMap<string, number>;
}
export interface Message {
  readonly name: string;
  readonly fields: readonly Field[];
}

export const messages: ReadonlyMap<string, Message> = readTable(table);

function readTable(text: string): ReadonlyMap<string, Message> {
  const enumerations = new Map<string, Enumeration>();
  const found = new Map<string, { readonly name: string; readonly fields: Field[] }>();
  const bodies: [fields: Field[], body: string][] = [];
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, enumerated, name, body] = /^(enum )?([A-Za-z0-9.]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || body === undefined) throw new Error(`broken invariant: message table: ${line}`);
    if (enumerated === undefined) {
      const message = { name, fields: [] as Field[] };
      found.set(name, message);
      bodies.push([message.fields, body]);
    } else {
      const pairs = [...body.matchAll(/([A-Za-z0-9_]+)=([0-9]+)/g)];
      enumerations.set(name, { name, numbers: new Map(pairs.map((pair) => [pair[1] ?? "", Number(pair[2])])) });
    }
  }
  for (const [fields, body] of bodies) {
    for (const entry of body.split(",").map((one) => one.trim())) {
      if (entry !== "") fields.push(readField(entry, enumerations, found));
    }
  }
  return found;
}

function readField(
  entry: string,
  enumerations: ReadonlyMap<string, Enumeration>,
  known: ReadonlyMap<string, Message>,
): Field {
  const match = /^([a-z_]+) ([0-9]+)([!*]?) (map<([A-Za-z0-9.]+)>|[A-Za-z0-9.]+)(?:=([^~]+))?(~?)$/.exec(entry);
  const [, name = "", number = "", mark, typeName = "", mapped, written, old] = match ?? [];
  const type = ((): FieldType | undefined => {
    if (scalarKinds.has(typeName)) return { kind: "scalar", scalar: typeName as ScalarKind };
    const enumeration = enumerations.get(typeName);
    if (enumeration !== undefined) return { kind: "enum", enumeration };
    const message = known.get(mapped ?? typeName);
    if (message === undefined) return undefined;
    return mapped === undefined ? { kind: "message", message } : { kind: "map", values: message };
  })();
  if (match === null || type === undefined) throw new Error(`broken invariant: message table field: ${entry}`);
  const defaultValue = written === undefined ? undefined : (JSON.parse(written) as string | number | boolean);
  return {
    name,
    number: Number(number),
    required: mark === "!",
    repeated: mark === "*",
    deprecated: old === "~",
    type,
    defaultValue,
  };
}
