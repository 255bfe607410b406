// One JSON object a line, with the tenant, the user, the script, the execution
// and the source file. The members of plain objects stand beside the message,
// everything else becomes its words; `%s %d %i %f %j %o` work in the first text.
// What is beyond `limits.log_bytes` and `limits.log_lines` is left out, and one
// line says so. Never throws.

interface Console {
  /** The same as `info`. */
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  debug(...values: unknown[]): void;
  /** The same as `debug`. */
  trace(...values: unknown[]): void;
  /** Logs an error unless the condition holds. */
  assert(condition?: unknown, ...values: unknown[]): void;
}

declare const console: Console;
