// What an administrator entrusted to the tenant's scripts, such as keys of other
// services. A script gets those that it was granted, by `grants.secrets` on the
// script in airlock.toml. Values do not show in logs and errors: there stands
// `[secret NAME]` instead. Errors: see HostError.

interface Secrets {
  /** The value. Rejects with a NotFoundError where the tenant has none of that name. */
  get(name: string): Promise<string>;
}

declare const secrets: Secrets;
