/**
 * Kernel settings below /proc/sys/net of the calling thread's network namespace. A setting is a list of path segments,
 * because interface names may contain dots ("eth0.100") and the dotted form of sysctl(8) cannot say that.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { BadInput } from "../base/errors.ts";
import { kernelError } from "./libc.ts";

export type Setting = readonly string[];

function pathOf(setting: Setting): string {
  for (const segment of setting)
    if (segment === "" || segment === "." || segment === ".." || segment.includes("/") || segment.includes("\0"))
      throw new BadInput("sysctl", `"${segment}" cannot be part of a setting's path`, "a name without /");
  return `/proc/sys/net/${setting.join("/")}`;
}

/** Undefined when there is no such setting (no such interface, or the kernel lacks the feature). */
export function readSetting(setting: Setting): string | undefined {
  const path = pathOf(setting);
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw kernelError(`read sysctl net/${setting.join("/")}`, errorCode(error));
  }
}

/** @throws ENOENT when there is no such setting. */
export function writeSetting(setting: Setting, value: string): void {
  const path = pathOf(setting);
  try {
    writeFileSync(path, value);
  } catch (error) {
    throw kernelError(`set sysctl net/${setting.join("/")} to ${value}`, errorCode(error));
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "EIO";
}
