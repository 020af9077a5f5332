/**
 * Commands run inside a running container (`docker exec`). The Engine has no call to end one: an aborted command's process
 * goes on until it ends by itself or its container does. Source: reference/docker.md 5.5.
 */
import { z } from "zod";
import { type EngineConnection, segment } from "./engine-connection.ts";
import { outputChunks } from "./log-stream.ts";

const OUTPUT_BYTES_MAX_DEFAULT = 64 * 1024;

const createdCommand = z.looseObject({ Id: z.string().min(1) });
const commandState = z.looseObject({
  Running: z.boolean(),
  ExitCode: z.number().nullish(),
  Pid: z.number().default(0),
});

export interface CommandResult {
  readonly exitCode: number;
  /** stdout and stderr in the order they came, cut at the limit. */
  readonly output: string;
}

export class ContainerCommands {
  readonly #connection: EngineConnection;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
  }

  /** Runs to its end; `signal` gives the time. */
  async run(
    containerId: string,
    argv: readonly string[],
    options: { signal?: AbortSignal; env?: readonly string[]; user?: string; outputBytesMax?: number } = {},
  ): Promise<CommandResult> {
    const { Id } = await this.#connection.json(createdCommand, {
      method: "POST",
      path: `/containers/${segment(containerId)}/exec`,
      body: {
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
        Cmd: argv,
        Env: options.env ?? [],
        User: options.user ?? "",
      },
      signal: options.signal,
    });
    const response = await this.#connection.request({
      method: "POST",
      path: `/exec/${segment(Id)}/start`,
      body: { Detach: false, Tty: false },
      timeoutMs: "none",
      signal: options.signal,
    });
    const output =
      response.body === null ? "" : await textOf(response.body, options.outputBytesMax ?? OUTPUT_BYTES_MAX_DEFAULT);
    const state = await this.#connection.json(commandState, {
      method: "GET",
      path: `/exec/${segment(Id)}/json`,
      signal: options.signal,
    });
    return { exitCode: state.ExitCode ?? -1, output };
  }
}

async function textOf(body: ReadableStream<Uint8Array>, bytesMax: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytesLeft = bytesMax;
  for await (const chunk of outputChunks(body, false)) {
    const bytes = chunk.bytes.subarray(0, bytesLeft);
    bytesLeft -= bytes.length;
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}
