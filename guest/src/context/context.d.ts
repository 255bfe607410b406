// For whom, as what and why this call runs. The host says so; frozen. Reading it
// while the top level runs throws a NotAvailableError.

interface Context {
  readonly tenant: { readonly id: string; readonly name: string };
  /** Null where no user started the call, as in a scheduled one. */
  readonly user: {
    readonly id: string;
    readonly email: string;
    readonly name: string;
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
