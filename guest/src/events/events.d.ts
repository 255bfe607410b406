// What the application and other scripts are told. Errors: see HostError.

interface Events {
  /** Resolves with the event's id once it is durable. `data` must be JSON. */
  publish(name: string, data?: unknown): Promise<string>;
}

declare const events: Events;
