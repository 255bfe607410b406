// What the application and other scripts are told. Errors: see HostError.

interface EventOptions {
  /** Seconds until it is delivered, up to a year. */
  delay?: number | null;
  /** Each script handles the events of one key one after the other, in the order of publishing. 1 to 200 characters. */
  key?: string | null;
  /** A second event of that name with the same one is not published: its id is the first one's. 1 to 200 characters. */
  dedupKey?: string | null;
  /** From -100 to 100, 0 if left out: of the tenant's events that wait, those with a higher one go first. */
  priority?: number | null;
}

interface Events {
  /** Resolves with the event's id once it is durable. `data` must be JSON. */
  publish(name: string, data?: unknown, options?: EventOptions): Promise<string>;
}

/** What a script of the type `event` is called with. */
interface TenantEvent<T = any> {
  id: string;
  name: string;
  data: T;
  /** The tenant's id. */
  tenant: string;
  /** When it was published, as ISO text. */
  occurredAt: string;
  /** From 1. The same event may come more than once; its `id` tells. */
  attempt: number;
}

declare const events: Events;
