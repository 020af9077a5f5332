/**
 * kernel/ is the only door to Linux: netlink, nftables, namespaces, sysctl, conntrack, iptables.
 * - It knows interfaces, routes, sets and rules. What they are for, its callers know.
 * - Every call is a short synchronous exchange with the kernel of ONE network namespace: the one the calling thread was
 *   in when the socket was opened. Only starting a program (iptables) is asynchronous.
 * - A refusal is an OperationError whose code is the errno's name (EEXIST, ENODEV, ...): callers never compare texts.
 * - Names and numbers are checked before they go down; rules are rendered in one place (nftables/render.ts).
 * Absent on purpose: Calico, Mesos, Docker, desired state, retries, logging, shells.
 *
 * This file: the C functions the folder calls, and errno. Raw pointers do not leave this folder.
 */
import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { OperationError, type Retry } from "../base/errors.ts";

const library = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  send: { args: ["i32", "ptr", "usize", "i32"], returns: FFIType.i64_fast },
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: FFIType.i64_fast },
  close: { args: ["i32"], returns: "i32" },
  open: { args: ["ptr", "i32", "i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
});

const { symbols } = library;

/** Must be the very next call after the one that failed: anything in between may set errno anew. */
function errno(): number {
  const location = symbols.__errno_location();
  return location === null ? 0 : read.i32(location, 0);
}

/** The numbers of Linux' asm-generic/errno*.h that network calls answer with. */
const errnoNames: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  20: "ENOTDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  28: "ENOSPC",
  30: "EROFS",
  31: "EMLINK",
  34: "ERANGE",
  71: "EPROTO",
  75: "EOVERFLOW",
  84: "EILSEQ",
  90: "EMSGSIZE",
  92: "ENOPROTOOPT",
  93: "EPROTONOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  105: "ENOBUFS",
  110: "ETIMEDOUT",
  113: "EHOSTUNREACH",
};

export function errnoName(number: number): string {
  return errnoNames[number] ?? `E${number}`;
}

const transient = new Set(["EAGAIN", "EINTR", "EBUSY", "ENOBUFS", "ENOMEM", "ETIMEDOUT"]);

/** @param doing reads after "cannot", for example "add route 10.0.0.0/8". */
export function kernelError(doing: string, code: string, detail = ""): OperationError {
  const retry: Retry = transient.has(code) ? "backoff" : "after-change";
  const remedy = code === "EPERM" || code === "EACCES" ? { remedy: "run as root (CAP_NET_ADMIN)" } : {};
  return new OperationError(code, `cannot ${doing}: ${code}${detail === "" ? "" : ` (${detail})`}`, {
    retry,
    ...remedy,
  });
}

export function isKernelError(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof OperationError && codes.includes(error.code);
}

export function openSocket(family: number, type: number, protocol: number, doing: string): number {
  const socket = symbols.socket(family, type, protocol);
  if (socket < 0) throw kernelError(doing, errnoName(errno()));
  return socket;
}

export function bindSocket(socket: number, address: Uint8Array, doing: string): void {
  if (symbols.bind(socket, ptr(address), address.length) < 0) throw kernelError(doing, errnoName(errno()));
}

/** False when the kernel refuses the option. */
export function setSocketOption(socket: number, level: number, option: number, value: Uint8Array): boolean {
  return symbols.setsockopt(socket, level, option, ptr(value), value.length) === 0;
}

/** The netlink port the kernel gave the socket. */
export function netlinkPort(socket: number): number {
  const address = new Uint8Array(12);
  const length = new Uint32Array([12]);
  if (symbols.getsockname(socket, ptr(address), ptr(length)) < 0)
    throw kernelError("read a netlink socket's port", errnoName(errno()));
  return new DataView(address.buffer).getUint32(4, true);
}

export function sendBytes(socket: number, bytes: Uint8Array, doing: string): void {
  const sent = Number(symbols.send(socket, ptr(bytes), bytes.length, 0));
  if (sent < 0) throw kernelError(doing, errnoName(errno()));
  if (sent !== bytes.length) throw kernelError(doing, "EMSGSIZE", `${sent} of ${bytes.length} bytes sent`);
}

const msgDontwait = 0x40;
const msgTrunc = 0x20;

/** Bytes received into the buffer, or the errno's name. A datagram larger than the buffer counts as EMSGSIZE. */
export function receiveBytes(socket: number, buffer: Uint8Array, wait: "wait" | "now"): number | string {
  const flags = msgTrunc | (wait === "now" ? msgDontwait : 0);
  const received = Number(symbols.recv(socket, ptr(buffer), buffer.length, flags));
  if (received < 0) return errnoName(errno());
  return received > buffer.length ? "EMSGSIZE" : received;
}

export function closeDescriptor(descriptor: number): void {
  symbols.close(descriptor);
}

const oCloexec = 0x80000;

/** Opens a file read-only; needed for /proc/.../ns paths, whose descriptors setns wants. */
export function openDescriptor(path: string): number {
  const descriptor = symbols.open(ptr(Buffer.from(`${path}\0`)), oCloexec, 0);
  if (descriptor < 0) throw kernelError(`open ${path}`, errnoName(errno()));
  return descriptor;
}

const cloneNewnet = 0x40000000;

export function setNetworkNamespace(descriptor: number): void {
  if (symbols.setns(descriptor, cloneNewnet) < 0) throw kernelError("enter a network namespace", errnoName(errno()));
}
