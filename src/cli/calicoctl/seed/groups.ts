/**
 * Groups of the first release (calicoctl.md 1.2, 1.3): a group is a profile that carries the group's id. Its members
 * reach each other, may send to everybody in IPv4, and nobody else reaches them.
 */

import { profileKey } from "../../../model/keys.ts";
import { classicNameAnnotation, normalizedName } from "../../../model/normalized-name.ts";
import { decodeProfile, networkProfile, type Profile } from "../../../model/profile.ts";
import { encode } from "../../../model/resource.ts";
import {
  decodeWorkloadEndpoint,
  keyOfWorkloadEndpoint,
  type WorkloadEndpoint,
} from "../../../model/workload-endpoint.ts";
import type { Store } from "../../../store/store.ts";
import { storeToWrite } from "../classic/classic-store.ts";
import { type LocalContainer, lookUpContainer } from "../classic/container-lookup.ts";
import { endpointsOfContainer } from "../classic/endpoint-access.ts";
import { prettyTable } from "../classic/pretty-table.ts";
import { listProfileNames, membersOf } from "../classic/profile-access.ts";
import { changeResource, readResource } from "../classic/stored-resource.ts";
import { commandOfForms } from "../classic/usage-forms.ts";
import { type CalicoctlContext, type Command, CommandFailure } from "../command.ts";

/** On a Profile: it is a group, and this is the group's id. */
export const groupIdAnnotation = "margay.io/group-id";

const groupsUsage = `Usage:
  calicoctl addgroup <GROUP> [--etcd=<HOST:PORT>]
  calicoctl addtogroup <CONTAINER> <GROUP> [--etcd=<HOST:PORT>]
  calicoctl showgroups [--etcd=<HOST:PORT>]
  calicoctl removegroup <GROUP> [--etcd=<HOST:PORT>]
`;

export const groupsHelp = `Groups of containers: those that share a group reach each other. A container in no group reaches nobody.

${groupsUsage}
A group is a profile: calicoctl profile <GROUP> rule show. "addtogroup" is for containers of the host it is called on,
and asks Docker for them; the others ask the store only.

Examples:
  calicoctl addgroup web
  calicoctl addtogroup workload-A web
  calicoctl showgroups
  calicoctl removegroup web
`;

export const addGroup: Command = commandOfForms(groupsUsage, [
  {
    words: "GROUP",
    run: async (context, typed) => {
      const { io, clock } = context;
      const name = checkGroupName(typed.word("GROUP"));
      const store = await storeToWrite(context);
      const id = clock.uuid().replaceAll("-", "");
      const { succeeded } = await store.transact({
        compare: [{ key: profileKey(normalizedName(name)), modRevision: 0 }],
        success: [{ put: profileKey(normalizedName(name)), value: encode(newGroup(name, id, context)) }],
      });
      if (succeeded) io.stdout(`Created group ${name} with ID ${id}\n`);
      else if ((await findGroup(store, name)) !== undefined) io.stdout(`Group ${name} already exists.\n`);
      else throw new CommandFailure("stdout", `There is a profile ${name} already, which is no group.\n`);
      return 0;
    },
  },
]);

export const addToGroup: Command = commandOfForms(groupsUsage, [
  {
    words: "CONTAINER GROUP",
    run: async (context, typed) => {
      const [container, name] = [typed.word("CONTAINER"), typed.word("GROUP")];
      const found = await containerOrQuoted(context, container);
      const store = await context.store();
      if ((await findGroup(store, name)) === undefined) throw quoted(`Group with name ${name} was not found.`);
      const [endpoint] = await endpointsOfContainer(store, context.host.name, found);
      if (endpoint === undefined) throw quoted(`Container with ID ${found.workload} was not found.`);
      await changeMembership(store, endpoint.key, (profiles) =>
        profiles.includes(normalizedName(name)) ? profiles : [...profiles, normalizedName(name)],
      );
      return 0;
    },
  },
]);

export const showGroups: Command = commandOfForms(groupsUsage, [
  {
    words: "",
    run: async ({ io, store }) => {
      const opened = await store();
      const rows: (readonly [string, string])[] = [];
      for (const { name } of await listProfileNames(opened)) {
        const group = await findGroup(opened, name);
        if (group !== undefined) rows.push([group.id, name]);
      }
      io.stdout(prettyTable(["ID", "Name"], rows));
      return 0;
    },
  },
]);

export const removeGroup: Command = commandOfForms(groupsUsage, [
  {
    words: "GROUP",
    run: async ({ io, store }, typed) => {
      const name = typed.word("GROUP");
      const opened = await store();
      const group = await findGroup(opened, name);
      if (group === undefined) throw new CommandFailure("stdout", `Couldn't find group with name ${name}\n`);
      const stored = normalizedName(name);
      // A profile that is not there would close its members to their other groups, too.
      for (const member of await membersOf(opened, stored)) {
        await changeMembership(opened, keyOfWorkloadEndpoint(member), (profiles) =>
          profiles.filter((one) => one !== stored),
        );
      }
      await opened.delete(profileKey(stored));
      io.stdout(`Deleted group ${name} with ID ${group.id}\n`);
      return 0;
    },
  },
]);

function newGroup(name: string, id: string, { clock }: CalicoctlContext): Profile {
  const stored = normalizedName(name);
  const profile = networkProfile(stored, { uid: clock.uuid(), nowMs: clock.nowMs() });
  const annotations = { [groupIdAnnotation]: id, ...(stored === name ? {} : { [classicNameAnnotation]: name }) };
  const egress: Profile["spec"]["egress"] = [
    { action: "Allow", destination: { selector: `has(${stored})` } },
    { action: "Allow", destination: { nets: ["0.0.0.0/0"] } },
  ];
  return { ...profile, metadata: { ...profile.metadata, annotations }, spec: { ...profile.spec, egress } };
}

async function findGroup(store: Store, name: string): Promise<{ readonly id: string } | undefined> {
  if (name === "" || name.includes("/")) return undefined;
  const profile = await readResource(store, { key: profileKey(normalizedName(name)), decode: decodeProfile });
  const id = profile?.metadata.annotations?.[groupIdAnnotation];
  return id === undefined ? undefined : { id };
}

async function changeMembership(store: Store, key: string, change: (profiles: string[]) => string[]): Promise<void> {
  await changeResource<WorkloadEndpoint>(store, { key, decode: decodeWorkloadEndpoint }, (stored) => {
    if (stored === undefined) return stored;
    const before = stored.spec.profiles ?? [];
    const profiles = change(before);
    return profiles === before ? stored : { ...stored, spec: { ...stored.spec, profiles } };
  });
}

async function containerOrQuoted(context: CalicoctlContext, typed: string): Promise<LocalContainer> {
  try {
    return await lookUpContainer(context, typed);
  } catch (error) {
    const text = `Container ${typed} was not found.`;
    throw error instanceof CommandFailure && error.message === `${text}\n` ? quoted(text) : error;
  }
}

function checkGroupName(name: string): string {
  if (/^[A-Za-z0-9_.-]+$/.test(name)) return name;
  const problem = "Group names can only contain numbers, letters, dots, dashes and underscores.";
  throw new CommandFailure("stdout", `${problem}\n`);
}

/** The first release printed what it could not find as its language prints a missing key. */
function quoted(text: string): CommandFailure {
  return new CommandFailure("stdout", `'${text}'\n`);
}
