/**
 * UDP from one namespace to another, by system calls that block, so that a packet's whole way is in the time it took; run
 * inside the namespaces by forwarding.bench.ts. Both ends have fixed ports: what is measured is one connection.
 *   hold FROM TO PORT    answers two datagrams and reads no more: what comes later ends in its full buffer
 *   echo FROM TO PORT    answers every datagram
 *   send FROM TO PORT    for each number on its input: so many datagrams to a "hold", prints nanoseconds for each
 *   ask FROM TO PORT     for each number on its input: so many questions to an "echo", prints nanoseconds for each
 *   dial FROM TO PORT    for each number on its input: so many first datagrams of connections, to ports from PORT on
 */

import { dlopen, ptr } from "bun:ffi";
import { addressBytes, parseIpAddress } from "../src/base/addresses.ts";
import { bindSocket, openSocket, receiveBytes, sendBytes, setSocketOption } from "../src/kernel/libc.ts";

const { symbols } = dlopen("libc.so.6", { connect: { args: ["i32", "ptr", "u32"], returns: "i32" } });
const [role = "", from = "", to = "", port = ""] = process.argv.slice(2);
const buffer = new Uint8Array(64);
const datagram = new Uint8Array([1]);
const ports = 30_000;
const socket = openSocket(2, 2, 0, "open a socket");
// SOL_SOCKET, SO_RCVTIMEO: a lost answer shows.
if (role === "ask" || role === "send") setSocketOption(socket, 1, 20, new Uint8Array([2, ...new Array(15).fill(0)]));
bindSocket(socket, socketAddress(from, Number(port)), "bind");
connect(Number(port));

switch (role) {
  case "hold":
    for (let at = 0; at < 2; at++) answer();
    await new Promise(() => setInterval(() => {}, 1 << 30));
    break;
  case "echo":
    for (;;) answer();
  case "send":
    for (let at = 0; at < 2; at++) ask();
    await measure(() => sendBytes(socket, datagram, "send"));
    break;
  case "ask":
    await measure(ask);
    break;
  case "dial": {
    let dialled = 0;
    await measure(() => {
      connect(Number(port) + 1 + (dialled++ % ports));
      sendBytes(socket, datagram, "send");
    });
    break;
  }
  default:
    throw new Error(`no such role: ${role}`);
}

async function measure(work: () => void): Promise<void> {
  for await (const line of console) {
    const count = Number(line);
    const startNs = Bun.nanoseconds();
    for (let at = 0; at < count; at++) work();
    console.log((Bun.nanoseconds() - startNs) / count);
  }
}

function answer(): void {
  receiveBytes(socket, buffer, "wait");
  sendBytes(socket, datagram, "answer");
}

function ask(): void {
  sendBytes(socket, datagram, "ask");
  const received = receiveBytes(socket, buffer, "wait");
  if (typeof received === "string") throw new Error(`no answer: ${received}`);
}

function connect(toPort: number): void {
  const address = socketAddress(to, toPort);
  if (symbols.connect(socket, ptr(address), address.length) < 0) throw new Error("connect failed");
}

/** struct sockaddr_in. */
function socketAddress(address: string, toPort: number): Uint8Array {
  return Uint8Array.from([
    2,
    0,
    toPort >> 8,
    toPort & 255,
    ...addressBytes(parseIpAddress(address)),
    ...new Array(8).fill(0),
  ]);
}
