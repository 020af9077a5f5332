/** The import order of the folders below src/ (DESIGN: the house) and the pairs that are forbidden besides. */

/** A file imports only from its own folder or from folders further down this list. */
export const folders = [
  "cli",
  "lab",
  "ui",
  "marathon",
  "mesos",
  "plugins",
  "node",
  "policy",
  "ipam",
  "store",
  "model",
  "kernel",
  "base",
] as const;

export const forbidden: readonly { readonly from: string; readonly to: string; readonly because: string }[] = [
  { from: "policy", to: "kernel", because: "policy is pure; node/ applies what it decides" },
  { from: "model", to: "kernel", because: "model is data; the web page loads it too" },
  { from: "ipam", to: "kernel", because: "an address plan knows no interfaces" },
  { from: "store", to: "kernel", because: "the store keeps data; it touches no network" },
  { from: "kernel", to: "model", because: "kernel/ knows nothing of Calico or Mesos" },
  { from: "marathon", to: "mesos/master", because: "Marathon must run on a master that is not ours" },
  { from: "marathon", to: "mesos/agent", because: "Marathon reaches agents through the master only" },
];

/** Folders whose time, timers and randomness come from a Clock handed in. */
export const clocked = ["store", "ipam", "policy", "mesos", "marathon"] as const;

/** Folders and files that may start processes, each with the reason. */
export const mayStartProcesses: readonly { readonly path: string; readonly because: string }[] = [
  { path: "src/lab/", because: "the lab is made of processes" },
  { path: "src/cli/", because: "the demo follows a guide of commands" },
  {
    path: "src/kernel/iptables.ts",
    because: "rules in iptables' own tables can only be kept consistent by its programs",
  },
  { path: "src/mesos/containerizer/fetcher.ts", because: "archives are unpacked by the host's tar, unzip and gunzip" },
];
