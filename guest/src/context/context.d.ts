// For whom, as what and why this call runs. The host says so; frozen. Reading it
// while the top level runs throws a NotAvailableError.

interface Context {
  readonly tenant: { readonly id: string; readonly name: string };
  /**
   * As whom the call runs: its user, or the service account of a scheduled
   * script. Null where there is neither; then the call has no permissions.
   */
  readonly user: {
    readonly id: string;
    readonly email: string;
    readonly name: string;
    /** Of when the call began. Names with `*`, such as `reports.*`, hold for all below. */
    readonly permissions: readonly string[];
  } | null;
  readonly script: {
    readonly id: string;
    readonly name: string;
    readonly type: "http" | "cron" | "oneoff" | "event" | "embedded";
  };
  readonly execution: {
    /** Also in the answer's header `x-execution-id` and in every log line. */
    readonly id: string;
    /** `api`, `cron`, `event` or `manual`. */
    readonly triggeredBy: string;
  };
}

declare const context: Context;
