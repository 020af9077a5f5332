/** Rules about networks, port mappings and port definitions of a complete app (reference: marathon 5.4, 6). Pure. */

import type { Problems } from "../refusal.ts";
import { type AppSpec, networkModeOf } from "./app.ts";

const namePattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
/** Docker's own rule for network names; Marathon's (lower case, - and _) is within it, old apps used more. */
const networkNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const protocols = ["tcp", "udp", "udp,tcp"];

export function validateNetworks(app: AppSpec, problems: Problems): void {
  const { networks } = app;
  const modes = new Set(networks.map(({ mode }) => mode));
  if (modes.size > 1 || (!modes.has("container") && networks.length > 1)) {
    problems.add(
      "/networks",
      "May specify a single host network, single bridge network, or else 1-to-n container networks",
    );
  }
  const names = new Set<string>();
  networks.forEach((network, index) => {
    const { mode, name, labels } = network;
    if (mode === "host" && (name !== undefined || Object.keys(labels).length > 0)) {
      problems.add("/networks", "Host networks may not have names or labels");
    }
    if (mode === "container/bridge" && name !== undefined)
      problems.add("/networks", "Bridge networks may not have names");
    if (mode !== "container") return;
    if (name === undefined) {
      problems.add("/networks", "Network name must be specified when container network is selected.");
    } else {
      if (!networkNamePattern.test(name)) {
        problems.add(`/networks(${index})/name`, `must fully match regular expression '${networkNamePattern.source}'`);
      }
      if (names.has(name)) problems.add("/networks", "Duplicate networks are not allowed");
      names.add(name);
    }
  });
  if (app.container?.type === "DOCKER" && networks.length > 1 && modes.has("container")) {
    problems.add("/", "may only specify a single container network when using the Docker container engine");
  }
}

export function validatePorts(app: AppSpec, problems: Problems): void {
  if (networkModeOf(app) === "host") validatePortDefinitions(app, problems);
  else if (app.portDefinitions !== undefined) {
    problems.add("/", "portDefinitions are only allowed with host-networking");
  }
  validateMappings(app, problems);
}

function validatePortDefinitions(app: AppSpec, problems: Problems): void {
  const definitions = app.portDefinitions ?? [];
  const fixed = definitions.map(({ port }) => port).filter((port) => port !== 0);
  if (new Set(fixed).size < fixed.length) problems.add("/portDefinitions", "Ports must be unique.");
  const names = definitions.flatMap(({ name }) => (name === undefined ? [] : [name]));
  if (new Set(names).size < names.length) problems.add("/portDefinitions", "Port names must be unique.");
  definitions.forEach(({ port, name, protocol }, index) => {
    const path = `/portDefinitions(${index})`;
    validatePort(`${path}/port`, port, problems);
    validateName(`${path}/name`, name, problems);
    validateProtocol(`${path}/protocol`, protocol, problems);
  });
}

function validateMappings(app: AppSpec, problems: Problems): void {
  const mappings = app.container?.portMappings ?? [];
  const mode = networkModeOf(app);
  if (mode === "host") {
    if (mappings.length > 0) problems.add("/container", "portMappings are not allowed with host-networking");
    return;
  }
  const networkNames = app.networks.flatMap(({ name }) => (name === undefined ? [] : [name]));
  const names = mappings.flatMap(({ name }) => (name === undefined ? [] : [name]));
  if (new Set(names).size < names.length) problems.add("/container/portMappings", "Port names must be unique.");
  mappings.forEach((mapping, index) => {
    const path = `/container/portMappings(${index})`;
    validatePort(`${path}/containerPort`, mapping.containerPort, problems);
    validatePort(`${path}/servicePort`, mapping.servicePort, problems);
    if (mapping.hostPort !== undefined) validatePort(`${path}/hostPort`, mapping.hostPort, problems);
    validateName(`${path}/name`, mapping.name, problems);
    validateProtocol(`${path}/protocol`, mapping.protocol, problems);
    mapping.networkNames.forEach((name, position) => {
      if (!networkNames.includes(name)) {
        problems.add(`${path}/networkNames(${position})`, `got ${name}, expected one of: [${networkNames.join(", ")}]`);
      }
    });
    if (mapping.hostPort !== undefined && app.networks.length > 1 && mapping.networkNames.length !== 1) {
      problems.add(
        path,
        "networkNames must be a single item list when hostPort is specified and more than 1 container network is defined",
      );
    }
  });
}

function validatePort(path: string, port: number, problems: Problems): void {
  if (port < 0 || port > 65535) problems.add(path, `got ${port}, expected between 0 and 65535`);
}

function validateName(path: string, name: string | undefined, problems: Problems): void {
  if (name !== undefined && !namePattern.test(name))
    problems.add(path, `must fully match regular expression '${namePattern.source}'`);
}

function validateProtocol(path: string, protocol: string, problems: Problems): void {
  if (!protocols.includes(protocol)) problems.add(path, `got ${protocol}, expected one of: [${protocols.join(", ")}]`);
}
