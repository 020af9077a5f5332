/**
 * libnftables in this process: text in, yes or a reason out. A run is one atomic transaction of the kernel.
 * It reads the chains and interval sets of ALL tables of the namespace before it writes, so its cost grows with what
 * others keep there; what changes while a host is in use goes through direct-transaction.ts instead.
 */
import { CString, dlopen, ptr } from "bun:ffi";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { OperationError } from "../../base/errors.ts";

/** NFT_CTX_OUTPUT_STATELESS, _HANDLE, _JSON, _NUMERIC_PROTO, _NUMERIC_PRIO, _NUMERIC_SYMBOL (libnftables.h). */
const jsonOutput = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 7) | (1 << 8) | (1 << 9);

type Library = ReturnType<typeof load>;
let library: Library | undefined;

const file = "libnftables.so.1";

function load() {
  return dlopen(file, {
    nft_ctx_new: { args: ["u32"], returns: "ptr" },
    nft_ctx_free: { args: ["ptr"], returns: "void" },
    nft_ctx_set_dry_run: { args: ["ptr", "bool"], returns: "void" },
    nft_ctx_output_get_flags: { args: ["ptr"], returns: "u32" },
    nft_ctx_output_set_flags: { args: ["ptr", "u32"], returns: "void" },
    nft_ctx_buffer_output: { args: ["ptr"], returns: "i32" },
    nft_ctx_buffer_error: { args: ["ptr"], returns: "i32" },
    nft_ctx_get_output_buffer: { args: ["ptr"], returns: "ptr" },
    nft_ctx_get_error_buffer: { args: ["ptr"], returns: "ptr" },
    nft_run_cmd_from_buffer: { args: ["ptr", "ptr"], returns: "i32" },
  }).symbols;
}

function loadOnce(): Library {
  if (library !== undefined) return library;
  // Bun 1.4.5 looks there last, and root would run what anybody may have put there.
  if (existsSync(file))
    throw new OperationError("NFT_MISSING", `${resolve(file)} might be loaded in place of the system's`, {
      remedy: "start it in another directory",
      retry: "after-change",
    });
  try {
    library = load();
    return library;
  } catch (cause) {
    throw new OperationError("NFT_MISSING", `cannot load ${file}`, {
      remedy: "install it with: apt-get install libnftables1",
      retry: "after-change",
      cause,
    });
  }
}

/** Works in the network namespace the thread was in when it was opened. */
export class Libnftables implements Disposable {
  readonly #symbols = loadOnce();
  readonly #context: NonNullable<ReturnType<Library["nft_ctx_new"]>>;

  constructor() {
    const context = this.#symbols.nft_ctx_new(0);
    if (context === null) throw new OperationError("NFT_MISSING", "libnftables gives no context", { retry: "backoff" });
    this.#context = context;
    this.#symbols.nft_ctx_buffer_output(context);
    this.#symbols.nft_ctx_buffer_error(context);
  }

  /** @throws OperationError NFT_REFUSED; then nothing was changed. */
  run(commands: string): string {
    const bytes = Buffer.from(`${commands}\0`);
    const result = this.#symbols.nft_run_cmd_from_buffer(this.#context, ptr(bytes));
    const output = this.#text(this.#symbols.nft_ctx_get_output_buffer(this.#context));
    const errors = this.#text(this.#symbols.nft_ctx_get_error_buffer(this.#context));
    if (result !== 0)
      throw new OperationError("NFT_REFUSED", `nftables refuses the transaction: ${firstLines(errors)}`, {
        retry: "backoff",
      });
    return output;
  }

  /** Would the kernel take it? It looks at everything and commits nothing. */
  accepts(commands: string): boolean {
    this.#symbols.nft_ctx_set_dry_run(this.#context, true);
    try {
      this.run(commands);
      return true;
    } catch (error) {
      if (error instanceof OperationError && error.code === "NFT_REFUSED") return false;
      throw error;
    } finally {
      this.#symbols.nft_ctx_set_dry_run(this.#context, false);
    }
  }

  /** What a list command answers, as libnftables-json(5) with numbers instead of names of protocols and types. */
  list(command: string): unknown {
    const before = this.#symbols.nft_ctx_output_get_flags(this.#context);
    this.#symbols.nft_ctx_output_set_flags(this.#context, jsonOutput);
    try {
      return JSON.parse(this.run(command));
    } finally {
      this.#symbols.nft_ctx_output_set_flags(this.#context, before);
    }
  }

  [Symbol.dispose](): void {
    this.#symbols.nft_ctx_free(this.#context);
  }

  #text(pointer: ReturnType<Library["nft_ctx_get_output_buffer"]>): string {
    return pointer === null ? "" : new CString(pointer).toString();
  }
}

/** libnftables prints each failing command with a line of carets; the first one says enough. */
function firstLines(errors: string): string {
  const lines = errors.split("\n").filter((line) => !/^[\s^]*$/.test(line));
  return lines.slice(0, 2).join(" | ").slice(0, 600) || "no reason given";
}
