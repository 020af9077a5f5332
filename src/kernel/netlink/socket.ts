/**
 * One netlink socket: a request with its acknowledgement, a dump, or the events of multicast groups.
 * The kernel answers rtnetlink and nfnetlink requests before send() returns, so the blocking receive after it does not
 * block in practice; a receive timeout bounds it all the same.
 */
import { write } from "node:fs";
import { promisify } from "node:util";
import {
  bindSocket,
  closeDescriptor,
  errnoName,
  isKernelError,
  kernelError,
  netlinkPort,
  openSocket,
  receiveBytes,
  sendBytes,
  setSocketOption,
} from "../libc.ts";
import { attributesIn, flag, headerBytes, type Message, MessageWriter, messagesIn, textOf, viewOf } from "./message.ts";
import { uninterrupted } from "./uninterrupted.ts";

const afNetlink = 16;
const sockRawCloexec = 3 | 0x80000;
const solNetlink = 270;
const netlinkAddMembership = 1;
const netlinkCapAck = 10;
const netlinkExtAck = 11;
const solSocket = 1;
const soRcvtimeo = 20;
const soSndbufforce = 32;
const soRcvbufforce = 33;
const receiveTimeoutSeconds = 5;
/** The kernel fills at most 32 KiB per dump answer, but hands out what the reader once offered (netlink_dump). */
const receiveBufferBytes = 256 * 1024;

const messageError = 2;
const messageDone = 3;
const messageOverrun = 4;

/** Of a thread of the runtime's pool: the kernel carries the request out in this call, on whatever thread. */
const writeOnThread = promisify(write);

export const netlinkRoute = 0;
export const netlinkNetfilter = 12;

export class NetlinkSocket implements Disposable {
  readonly port: number;
  readonly #socket: number;
  readonly #buffer = new Uint8Array(receiveBufferBytes);
  #sequence = 1;
  #closed = false;
  #background: Promise<unknown> = Promise.resolve();

  private constructor(socket: number) {
    this.#socket = socket;
    this.port = netlinkPort(socket);
  }

  static open(protocol: number, options: { groups?: readonly number[]; bufferBytes?: number } = {}): NetlinkSocket {
    const doing = "open a netlink socket";
    const socket = openSocket(afNetlink, sockRawCloexec, protocol, doing);
    try {
      const address = new Uint8Array(12);
      viewOf(address).setUint16(0, afNetlink, true);
      bindSocket(socket, address, doing);
      const one = u32(1);
      setSocketOption(socket, solNetlink, netlinkExtAck, one);
      setSocketOption(socket, solNetlink, netlinkCapAck, one);
      const timeout = new Uint8Array(16);
      viewOf(timeout).setUint32(0, receiveTimeoutSeconds, true);
      setSocketOption(socket, solSocket, soRcvtimeo, timeout);
      const bufferBytes = u32(options.bufferBytes ?? 4 * 1024 * 1024);
      setSocketOption(socket, solSocket, soRcvbufforce, bufferBytes);
      setSocketOption(socket, solSocket, soSndbufforce, bufferBytes);
      for (const group of options.groups ?? []) {
        if (!setSocketOption(socket, solNetlink, netlinkAddMembership, u32(group)))
          throw kernelError(`join netlink group ${group}`, "EPERM");
      }
      return new NetlinkSocket(socket);
    } catch (error) {
      closeDescriptor(socket);
      throw error;
    }
  }

  /** Sends one message and waits for the kernel's yes. @throws OperationError with the errno's name as code. */
  request(doing: string, type: number, flags: number, content: (writer: MessageWriter) => void): void {
    const sequence = this.#sequence++;
    const writer = new MessageWriter().begin(type, flag.request | flag.ack | flags, sequence);
    content(writer);
    sendBytes(this.#socket, writer.end().finished(), doing);
    for (const message of this.#answers(doing, sequence)) {
      if (message.type !== messageError) continue;
      throwIfError(doing, message);
      return;
    }
  }

  /**
   * As request(), but only the promise waits, not the process: for what the kernel takes long for. One after the other, on a
   * socket that is used for nothing else.
   */
  requestInBackground(
    doing: string,
    type: number,
    flags: number,
    content: (writer: MessageWriter) => void,
  ): Promise<void> {
    const request = this.#background.then(async () => {
      const sequence = this.#sequence++;
      const writer = new MessageWriter().begin(type, flag.request | flag.ack | flags, sequence);
      content(writer);
      if (this.#closed) throw kernelError(doing, "EBADF");
      await writeOnThread(this.#socket, writer.end().finished());
      if (this.#closed) throw kernelError(doing, "EBADF");
      for (const message of this.#answers(doing, sequence)) {
        if (message.type !== messageError) continue;
        throwIfError(doing, message);
        return;
      }
    });
    this.#background = request.catch(() => {}); // the caller gets the error; the next request only waits
    return request;
  }

  /** Sends one message that asks for one answer. @throws OperationError with the errno's name as code. */
  query(doing: string, type: number, content: (writer: MessageWriter) => void): Message {
    const sequence = this.#sequence++;
    const writer = new MessageWriter().begin(type, flag.request, sequence);
    content(writer);
    sendBytes(this.#socket, writer.end().finished(), doing);
    for (const message of this.#answers(doing, sequence)) {
      if (message.type !== messageError) return message;
      throwIfError(doing, message);
    }
    throw kernelError(doing, "ENOMSG");
  }

  /** Sends a prepared run of messages (an nfnetlink batch); the messages that want an answer are numbered as given. */
  batch(
    doing: string,
    build: (writer: MessageWriter, firstSequence: number) => { readonly ackSequence: number },
  ): void {
    const writer = new MessageWriter();
    const first = this.#sequence;
    const { ackSequence } = build(writer, first);
    this.#sequence = ackSequence + 1;
    sendBytes(this.#socket, writer.finished(), doing);
    let failure: unknown;
    for (;;) {
      const received = receiveBytes(this.#socket, this.#buffer, failure === undefined ? "wait" : "now");
      if (typeof received === "string") {
        if (failure !== undefined) throw failure;
        if (received === "EINTR") continue;
        throw kernelError(doing, received);
      }
      for (const message of messagesIn(this.#buffer.subarray(0, received))) {
        if (message.type !== messageError || message.sequence < first) continue;
        try {
          throwIfError(doing, message);
        } catch (error) {
          failure ??= error;
          continue;
        }
        if (message.sequence === ackSequence && failure === undefined) return;
      }
    }
  }

  /** All messages of a dump; begun anew when the table changed meanwhile. */
  dump(doing: string, type: number, content: (writer: MessageWriter) => void): Message[] {
    return uninterrupted(doing, () => this.#dumpOnce(doing, type, content));
  }

  #dumpOnce(doing: string, type: number, content: (writer: MessageWriter) => void) {
    const sequence = this.#sequence++;
    const writer = new MessageWriter().begin(type, flag.request | flag.dump, sequence);
    content(writer);
    sendBytes(this.#socket, writer.end().finished(), doing);
    const found: Message[] = [];
    let interrupted = false;
    try {
      for (const message of this.#answers(doing, sequence)) {
        interrupted ||= (message.flags & flag.dumpInterrupted) !== 0;
        if (message.type === messageDone || message.type === messageError) {
          throwIfError(doing, message);
          break;
        }
        found.push(message);
      }
    } catch (error) {
      if (!isKernelError(error, "EINTR")) throw error;
      interrupted = true;
    }
    return { found, interrupted };
  }

  /** What has arrived on the socket's groups, without waiting. */
  events(): { readonly messages: readonly Message[]; readonly lost: boolean } {
    const messages: Message[] = [];
    let lost = false;
    for (;;) {
      const received = receiveBytes(this.#socket, this.#buffer, "now");
      if (received === "EAGAIN") return { messages, lost };
      if (received === "EINTR") continue;
      if (received === "ENOBUFS" || received === "EMSGSIZE") {
        lost = true;
        continue;
      }
      if (typeof received === "string") throw kernelError("read netlink events", received);
      for (const message of messagesIn(this.#buffer.subarray(0, received))) {
        if (message.type === messageOverrun) lost = true;
        else messages.push(message);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    closeDescriptor(this.#socket);
  }

  *#answers(doing: string, sequence: number): Generator<Message> {
    for (;;) {
      const received = receiveBytes(this.#socket, this.#buffer, "wait");
      if (received === "EINTR") continue;
      if (typeof received === "string") throw kernelError(doing, received === "EAGAIN" ? "ETIMEDOUT" : received);
      // Copied messages, so that the generator may be resumed after the buffer was used again.
      for (const message of [...messagesIn(this.#buffer.subarray(0, received))])
        if (message.sequence === sequence) yield message;
    }
  }
}

function throwIfError(doing: string, message: Message): void {
  if (message.body.length < 4) return;
  const error = viewOf(message.body).getInt32(0, true);
  if (error >= 0) return;
  // struct nlmsgerr: error, the request's header (its payload is capped), then attributes; 1 is the text.
  const attributesAt = message.type === messageDone ? 4 : 4 + headerBytes;
  const detail =
    (message.flags & flag.ackAttributes) !== 0 ? textOf(attributesIn(message.body, attributesAt).get(1)) : "";
  throw kernelError(doing, errnoName(-error), detail);
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
