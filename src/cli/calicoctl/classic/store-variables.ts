/** What the classic and seed commands refuse of their environment before they ask the store (calicoctl.md 3.2). */

import { accessSync, constants } from "node:fs";
import { CommandFailure, paragraph } from "../command.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const addressAndPort = /^(https?:\/\/)?([^:/\s]+|\[[\da-fA-F:]+\]):\d+$/;

/** In the words of the classic releases. @throws CommandFailure */
export function checkStoreVariables(env: Environment): void {
  const problem = addressProblem(env) ?? certificateProblem(env);
  if (problem !== undefined) throw new CommandFailure("stdout", paragraph(problem));
}

function addressProblem({
  ETCD_AUTHORITY = "",
  ETCD_SCHEME = "",
  ETCD_ENDPOINTS = "",
}: Environment): string | undefined {
  if (ETCD_ENDPOINTS !== "") {
    const schemes = new Set(ETCD_ENDPOINTS.split(",").map((endpoint) => endpoint.trim().split("://")[0]));
    const mixed = schemes.has("http") && schemes.has("https");
    return mixed ? `Inconsistent protocols in ETCD_ENDPOINTS.  Value provided is '${ETCD_ENDPOINTS}'` : undefined;
  }
  const parts = ETCD_AUTHORITY.trim() === "" ? [] : ETCD_AUTHORITY.split(",");
  if (!parts.every((part) => addressAndPort.test(part.trim()))) {
    const form = "Address must take the form <address>:<port>.";
    return `Invalid ETCD_AUTHORITY. ${form} Value provided is '${ETCD_AUTHORITY}'`;
  }
  if (["", "http", "https"].includes(ETCD_SCHEME)) return undefined;
  return `Invalid ETCD_SCHEME. Value must be one of: "", "http", "https". Value provided: ${ETCD_SCHEME}`;
}

function certificateProblem(env: Environment): string | undefined {
  const { ETCD_KEY_FILE: key = "", ETCD_CERT_FILE: certificate = "", ETCD_CA_CERT_FILE: authority = "" } = env;
  const values = `ETCD_KEY_FILE=${key}, ETCD_CERT_FILE=${certificate}`;
  if ((key === "") !== (certificate === "")) {
    const both = "Key and certificate must both be specified or both be blank.";
    return `Invalid ETCD_KEY_FILE, ETCD_CERT_FILE combination. ${both} Values provided: ${values}`;
  }
  if (key !== "" && !(isReadable(key) && isReadable(certificate))) {
    const both = "Both must be readable file paths.";
    return `Cannot read ETCD_KEY_FILE and/or ETCD_CERT_FILE. ${both} Values provided: ${values}`;
  }
  if (authority === "" || isReadable(authority)) return undefined;
  const needed = "Certificate Authority cert is required and must be a readable file path.";
  return `Invalid ETCD_CA_CERT_FILE. ${needed} Value provided: ${authority}`;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
