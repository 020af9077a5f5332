/** A role is one way to call the program: words in, exit code out. */

export interface RoleIo {
  stdout(text: string): void;
  stderr(text: string): void;
  stdin(): Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Role {
  /** One line for `margay --help`. */
  readonly summary: string;
  run(argv: readonly string[], io: RoleIo): Promise<number>;
}
