// The application's services, as [services.NAME] in airlock.toml names them. An
// unknown service or method rejects with a TypeError that lists those there are.
// Arguments and answers are JSON. What a service says against a call rejects with
// a ServiceError. Errors: see HostError.

interface ServiceError extends HostError {
  readonly name: "ServiceError";
  /** For programs, such as `out_of_stock`, where the service gives one. */
  readonly code?: string;
  /** The HTTP status, where the service answered over HTTP. */
  readonly status?: number;
}

type ServiceOperator =
  | "eq" | "ne" | "lt" | "lte" | "gt" | "gte" | "in" | "not_in" | "like" | "contains" | "starts_with" | "is_null"
  | "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=" | "nin";

interface ServiceFilter {
  field: string;
  /** `eq` if left out. */
  operator?: ServiceOperator;
  /** An array for `in` and `not_in`; true or false, or nothing, for `is_null`. */
  value?: any;
}

/** `"name"`, `"-name"` for descending, or an object. */
type ServiceOrder = string | { field: string; direction?: "asc" | "desc" };

interface ServiceFilters {
  /** All must hold; an object compares each field for equality. */
  filters?: ServiceFilter[] | { [field: string]: any };
}

interface ListOptions extends ServiceFilters {
  order?: ServiceOrder | ServiceOrder[];
  /** 100 if left out. */
  limit?: number;
  offset?: number;
  /** The columns to read; all if left out. */
  fields?: string[];
}

/**
 * A service over one of the tenant's tables. An id is what the service's key
 * column holds. Integers beyond 2^53 come as text, blobs as base64.
 */
interface TableService<T = any> {
  list(options?: ListOptions): Promise<T[]>;
  count(options?: ServiceFilters): Promise<number>;
  get(id: string | number): Promise<T | null>;
  /** The row as it was written. */
  create(row: { [column: string]: any }): Promise<T>;
  /** The row as it was written, or null where there is none of that id. */
  update(id: string | number, changes: { [column: string]: any }): Promise<T | null>;
  /** Whether there was one. */
  delete(id: string | number): Promise<boolean>;
}

interface Mail {
  /** An address such as `Ada <ada@example.com>`, or up to 50 with `cc`. */
  to: string | string[];
  subject: string;
  /** Plain text. */
  body: string;
  html?: string;
  cc?: string | string[];
  reply_to?: string;
}

interface NotificationService {
  /** Resolves once the mail is durable: `sent` if a mail server has taken it, else `queued`. */
  sendEmail(mail: Mail): Promise<{ id: string; status: "sent" | "queued" }>;
}

/** A service of the kind `http`, or of the application's own code. */
interface CustomService {
  [method: string]: (...args: any[]) => Promise<any>;
}

/**
 * An application adds what it knows: `interface Services { clients: TableService<Client> }`,
 * `interface Services { billing: CustomService }`.
 */
interface Services {
  notifications: NotificationService;
}

declare const services: Services & { [service: string]: TableService };
