/**
 * The create form's values and the application they mean, both ways, so that form and JSON mode can be switched without
 * losing anything: members that the form does not show are kept from the JSON. Pure.
 */

export type NetworkMode = "container" | "bridge" | "host";
export type CheckProtocol = "none" | "HTTP" | "TCP" | "COMMAND";

export interface AppForm {
  readonly id: string;
  readonly image: string;
  readonly cmd: string;
  readonly cpus: string;
  readonly mem: string;
  readonly instances: string;
  readonly networkMode: NetworkMode;
  readonly networkName: string;
  /** One KEY=value a line. */
  readonly env: string;
  readonly labels: string;
  readonly checkProtocol: CheckProtocol;
  readonly checkPath: string;
  readonly checkPort: string;
}

export const emptyForm: AppForm = {
  id: "",
  image: "",
  cmd: "",
  cpus: "0.1",
  mem: "64",
  instances: "1",
  networkMode: "container",
  networkName: "",
  env: "",
  labels: "",
  checkProtocol: "none",
  checkPath: "/",
  checkPort: "80",
};

type Json = Record<string, unknown>;

/** Members that the server derives; they do not belong in a request. */
const readOnly = [
  "deployments",
  "tasks",
  "tasksRunning",
  "tasksStaged",
  "tasksHealthy",
  "tasksUnhealthy",
  "version",
  "versionInfo",
  "lastTaskFailure",
];

/** The form laid over the JSON it came from. */
export function appFromForm(form: AppForm, from: Json = {}): Json {
  const app: Json = { ...from };
  for (const name of readOnly) delete app[name];
  app.id = form.id.trim();
  app.cpus = numberOr(form.cpus);
  app.mem = numberOr(form.mem);
  app.instances = numberOr(form.instances);
  setOrDrop(app, "cmd", form.cmd.trim() === "" ? undefined : form.cmd.trim());
  setOrDrop(app, "env", pairs(form.env, asObject(from.env)));
  setOrDrop(app, "labels", pairs(form.labels));
  setOrDrop(app, "container", containerFrom(form, asObject(from.container)));
  app.networks = [networkFrom(form, asObject(asArray(from.networks)[0]))];
  for (const older of ["ipAddress"]) delete app[older];
  const [, ...otherChecks] = asArray(from.healthChecks);
  const check = checkFrom(form, asObject(asArray(from.healthChecks)[0]));
  setOrDrop(app, "healthChecks", check === undefined ? undefined : [check, ...otherChecks]);
  return app;
}

/** What the form can show of an application, in any of the three networking generations. */
export function formFromApp(app: Json): AppForm {
  const docker = asObject(asObject(app.container).docker);
  const network = asObject(asArray(app.networks)[0]);
  const check = asObject(asArray(app.healthChecks)[0]);
  const parameter = asArray(docker.parameters)
    .map(asObject)
    .find(({ key }) => key === "net" || key === "network");
  const name = network.name ?? asObject(app.ipAddress).networkName ?? parameter?.value;
  return {
    id: text(app.id),
    image: text(docker.image),
    cmd: text(app.cmd),
    cpus: text(app.cpus ?? emptyForm.cpus),
    mem: text(app.mem ?? emptyForm.mem),
    instances: text(app.instances ?? emptyForm.instances),
    networkMode: modeOf(network.mode, docker.network, name),
    networkName: text(name),
    env: lines(asObject(app.env)),
    labels: lines(asObject(app.labels)),
    checkProtocol: protocolOf(check.protocol),
    checkPath:
      check.protocol === "COMMAND" ? text(asObject(check.command).value) : text(check.path ?? emptyForm.checkPath),
    checkPort: text(check.port ?? emptyForm.checkPort),
  };
}

/** Which of the form's fields an error path of the API belongs to; undefined: the top of the form. */
export function fieldOfPath(path: string): keyof AppForm | undefined {
  const plain = path.replace(/\(\d+\)/g, "").replace(/\/\d+(?=\/|$)/g, "");
  const fields: readonly [string, keyof AppForm][] = [
    ["/id", "id"],
    ["/container/docker/image", "image"],
    ["/cmd", "cmd"],
    ["/cpus", "cpus"],
    ["/mem", "mem"],
    ["/instances", "instances"],
    ["/networks", "networkName"],
    ["/ipAddress", "networkName"],
    ["/env", "env"],
    ["/labels", "labels"],
    ["/healthChecks/port", "checkPort"],
    ["/healthChecks", "checkPath"],
  ];
  return fields.find(([prefix]) => plain === prefix || plain.startsWith(`${prefix}/`))?.[1];
}

function containerFrom(form: AppForm, from: Json): Json | undefined {
  if (form.image.trim() === "") return undefined;
  const { network: _network, parameters, portMappings: _mappings, ...docker } = asObject(from.docker);
  const others = asArray(parameters).filter((each) => !["net", "network"].includes(text(asObject(each).key)));
  return {
    ...from,
    type: from.type ?? "DOCKER",
    docker: { ...docker, image: form.image.trim(), ...(others.length > 0 ? { parameters: others } : {}) },
  };
}

function networkFrom(form: AppForm, from: Json): Json {
  if (form.networkMode === "host") return { mode: "host" };
  if (form.networkMode === "bridge") return { mode: "container/bridge" };
  return { ...from, mode: "container", name: form.networkName.trim() };
}

function checkFrom(form: AppForm, from: Json): Json | undefined {
  if (form.checkProtocol === "none") return undefined;
  const timing = { gracePeriodSeconds: 300, intervalSeconds: 10, timeoutSeconds: 5, maxConsecutiveFailures: 3 };
  const { path: _path, port: _port, portIndex: _index, command: _command, ...kept } = from;
  const check: Json = { ...timing, ...kept, protocol: form.checkProtocol };
  if (form.checkProtocol === "COMMAND") return { ...check, command: { value: form.checkPath } };
  const port = { port: numberOr(form.checkPort) };
  return form.checkProtocol === "HTTP" ? { ...check, path: form.checkPath, ...port } : { ...check, ...port };
}

function modeOf(mode: unknown, dockerNetwork: unknown, name: unknown): NetworkMode {
  if (mode === "container" || name !== undefined) return "container";
  if (mode === "container/bridge" || dockerNetwork === "BRIDGE") return "bridge";
  return mode === undefined && dockerNetwork === undefined ? "container" : "host";
}

function protocolOf(protocol: unknown): CheckProtocol {
  const known = text(protocol).replace(/^MESOS_/, "");
  if (known === "HTTP" || known === "HTTPS") return "HTTP";
  return known === "TCP" || known === "COMMAND" ? known : "none";
}

/** Numbers stay as typed when they are none: the server names the field and says what it expected. */
function numberOr(typed: string): unknown {
  const number = Number(typed);
  return typed.trim() === "" || Number.isNaN(number) ? typed : number;
}

function pairs(typed: string, from: Json = {}): Json | undefined {
  const entries = typed
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line): [string, unknown] => {
      const at = line.indexOf("=");
      return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1)];
    });
  // Secrets are objects: the form neither shows nor drops them.
  const kept = Object.entries(from).filter(([, value]) => typeof value === "object");
  const all = [...kept, ...entries];
  return all.length === 0 ? undefined : Object.fromEntries(all);
}

function lines(values: Json): string {
  return Object.entries(values)
    .filter(([, value]) => typeof value !== "object")
    .map(([key, value]) => `${key}=${value}`)
    .join("\n");
}

function setOrDrop(target: Json, name: string, value: unknown): void {
  if (value === undefined) delete target[name];
  else target[name] = value;
}

function asObject(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}
