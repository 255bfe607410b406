// What scripts see, for editors and for TypeScript:
//
//   { "compilerOptions": { "lib": ["es2023"], "types": [], "checkJs": true, "noEmit": true },
//     "files": ["path/to/guest/src/airlock.d.ts", "my-script.js"] }
//
// The rest of the language is ECMAScript 2023 as QuickJS has it. There is no
// `fetch`, `require`, `process`, `window`, and nothing of WASI or Node.js.

/// <reference path="context/context.d.ts" />
/// <reference path="db/db.d.ts" />
/// <reference path="events/events.d.ts" />
/// <reference path="http/http.d.ts" />
/// <reference path="log/log.d.ts" />
/// <reference path="progress/progress.d.ts" />
/// <reference path="secrets/secrets.d.ts" />
/// <reference path="services/services.d.ts" />
/// <reference path="storage/storage.d.ts" />
/// <reference path="tasks/tasks.d.ts" />
/// <reference path="utils/utils.d.ts" />

/** A limit that stopped something. */
interface LimitHit {
  /** Such as `http_calls`. */
  readonly name: string;
  /** Milliseconds, bytes or a count, as the limit is one of time, size or number. */
  readonly value: number;
  readonly used: number;
  /** The setting that changes it, such as `limits.http_calls`. */
  readonly setting: string;
}

/**
 * What a function of the host rejects with. Its `name` is one of:
 *
 * - `TypeError`, `RangeError`: an argument is not what the function takes
 * - `PermissionDenied`: the script was not granted this, or its user lacks a permission
 * - `NotFoundError`: there is no secret of that name
 * - `TimeoutError`: the call's deadline passed, or the operation's own
 * - `LimitError`: another limit was reached; `limit` says which
 * - `DatabaseError`: the database refused the statement
 * - `HttpError`: a request got no proper answer
 * - `ServiceError`: a service said no, or failed
 * - `NotAvailableError`: called while the script's top level runs, when there is no tenant
 * - `InternalError`: the host could not do it, through no fault of the script
 */
interface HostError extends Error {
  readonly limit?: LimitHit;
}

interface Error {
  /**
   * What a script throws with `retry: false` ends the job that it runs for: no
   * further attempt is made. `throw Object.assign(new Error('no such customer'), { retry: false })`
   */
  retry?: boolean;
}

/** The argument of an HTTP script's entry. */
interface ScriptRequest {
  /** `HEAD` reads `GET`. */
  method: string;
  /** As it was sent, escapes and all: `/api/custom/orders/7`. */
  path: string;
  /** A name that is there more than once has an array. */
  query: { [name: string]: string | string[] };
  /** Names in lower case; repeated ones joined with `, `. Without Authorization and Cookie. */
  headers: { [name: string]: string };
  /** The parameters of the script's path, decoded. */
  params: { [name: string]: string };
  /**
   * Null without one; the value where the content type is JSON; an object like
   * `query` for a form; text where it is text; else base64.
   */
  body: any;
  /** The body as it came, for signatures. */
  rawBody: string;
  /** How `rawBody` stands for bytes. */
  bodyEncoding: "utf-8" | "base64";
  /** The body read as JSON, whatever its content type. Throws a SyntaxError where it is none. */
  json(): any;
  /** The body as text. Throws a TypeError where it is none. */
  text(): string;
}

/**
 * What an HTTP script's entry may return. An object with `body`, or with a
 * number as `status`, is a response; any other value is the JSON body of a 200,
 * and undefined or null is a 204.
 */
interface ScriptResponse {
  /** From 200 to 599; 200 if left out. */
  status?: number;
  /** Not Set-Cookie, and nothing that concerns the connection. */
  headers?: { [name: string]: string | number | (string | number)[] };
  /** Text is sent as it is, null is empty, everything else is JSON. */
  body?: any;
}

// What QuickJS brings along beside ECMAScript.
declare function queueMicrotask(callback: () => void): void;
declare const performance: {
  /** Milliseconds, with a fraction. Only differences mean anything. */
  now(): number;
  readonly timeOrigin: number;
};
declare class TextEncoder {
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: "utf-8", options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
