// Requests to the hosts that the script's `http` list in airlock.toml names.
// Any other is refused with a PermissionDenied before a name is looked up.
// A status such as 404 is an answer and not an error. Errors: see HostError.

interface HttpOptions {
  /** Added to the address. An array repeats the name; null and undefined are left out. */
  query?: { [name: string]: string | number | boolean | Date | null | undefined | (string | number | boolean | Date | null | undefined)[] };
  headers?: { [name: string]: string | number | (string | number)[] } | [string, string][];
  /** Milliseconds; at most `limits.http_timeout`, which is also the default. */
  timeout?: number;
}

/** Text and bytes are sent as they are, everything else as JSON. */
type HttpBody = string | Uint8Array | ArrayBuffer | object | number | boolean | null;

interface HttpRequest extends HttpOptions {
  /** `GET` if left out. */
  method?: string;
  url: string | { href: string };
  body?: HttpBody;
}

interface HttpResponse {
  readonly status: number;
  /** Whether the status is from 200 to 299. */
  readonly ok: boolean;
  /** The address that answered, after redirects. */
  readonly url: string;
  /** Names in lower case; repeated ones joined with `, `. */
  readonly headers: { readonly [name: string]: string };
  /** The body as text. */
  readonly body: string;
  /** The body parsed, where the content type is JSON and it can be; else undefined. */
  readonly data: any;
  /** The body parsed. Throws a SyntaxError where it is not JSON. */
  json(): any;
  text(): string;
  bytes(): Uint8Array;
}

interface Http {
  request(request: HttpRequest): Promise<HttpResponse>;
  get(url: string, options?: HttpOptions): Promise<HttpResponse>;
  head(url: string, options?: HttpOptions): Promise<HttpResponse>;
  delete(url: string, options?: HttpOptions): Promise<HttpResponse>;
  post(url: string, body?: HttpBody, options?: HttpOptions): Promise<HttpResponse>;
  put(url: string, body?: HttpBody, options?: HttpOptions): Promise<HttpResponse>;
  patch(url: string, body?: HttpBody, options?: HttpOptions): Promise<HttpResponse>;
}

declare const http: Http;
