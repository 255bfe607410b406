// How far the call is, for whoever follows it: in the API, as server-sent events
// and as a bar in the terminal. What was said last counts, and nothing waits.

interface ExecutionProgress {
  /**
   * `done` of `total`, in any unit; without a total it is not known how much there
   * is. Of the message, 200 characters are shown. Throws a TypeError where a
   * number is none, is negative or is not finite.
   */
  progress(done: number, total?: number | null, message?: string): void;
}

declare const execution: ExecutionProgress;
