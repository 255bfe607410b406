// Identifiers, dates and cryptography. All answer at once, none returns a promise.

/** A Date, ISO text (UTC where it names no zone) or milliseconds since the Unix epoch. */
type DateLike = Date | string | number;

/** Everything works in UTC. Throws a TypeError for what is no date. */
interface DateUtils {
  now(): Date;
  parse(value: DateLike): Date;
  /** `2024-01-31T09:05:00.000Z` */
  toISO(value: DateLike): string;
  /**
   * `YYYY YY MMMM MMM MM M DD D dddd ddd HH H hh h mm m ss s SSS A a Z`; text in
   * [brackets] stands as it is. ISO text without a pattern.
   */
  format(value: DateLike, pattern?: string): string;
  addMilliseconds(value: DateLike, amount: number): Date;
  addSeconds(value: DateLike, amount: number): Date;
  addMinutes(value: DateLike, amount: number): Date;
  addHours(value: DateLike, amount: number): Date;
  addDays(value: DateLike, amount: number): Date;
  addWeeks(value: DateLike, amount: number): Date;
  /** A day that the month does not have becomes the month's last. */
  addMonths(value: DateLike, amount: number): Date;
  addYears(value: DateLike, amount: number): Date;
  startOfDay(value: DateLike): Date;
  /** The day's last millisecond. */
  endOfDay(value: DateLike): Date;
  /** Whole days from `b` to `a`. */
  diffDays(a: DateLike, b: DateLike): number;
  isBefore(a: DateLike, b: DateLike): boolean;
  isAfter(a: DateLike, b: DateLike): boolean;
}

/** Text stands for its UTF-8. */
type Bytes = string | Uint8Array | ArrayBuffer;
type HashAlgorithm = "sha256" | "sha512" | "sha1" | "md5";
type HashEncoding = "hex" | "base64" | "base64url";

interface CryptoUtils {
  /** `sha256` in `hex` if left out. */
  hash(data: Bytes, algorithm?: HashAlgorithm, encoding?: HashEncoding): string;
  hmac(key: Bytes, data: Bytes, algorithm?: HashAlgorithm, encoding?: HashEncoding): string;
  /** From the system's cryptographic generator; at most 1,048,576. */
  randomBytes(length: number): Uint8Array;
  /** In a time that tells nothing of where two values differ. */
  timingSafeEqual(a: Bytes, b: Bytes): boolean;
  base64Encode(data: Bytes): string;
  /** The URL-safe alphabet too, with or without padding. */
  base64Decode(text: string): Uint8Array;
}

interface Utils {
  /** A random UUID, version 4. */
  uuid(): string;
  readonly date: DateUtils;
  readonly crypto: CryptoUtils;
}

declare const utils: Utils;

// Under the names of the web, for packages that expect them.
declare const crypto: {
  randomUUID(): string;
  getRandomValues<T extends ArrayBufferView>(array: T): T;
};
declare function btoa(text: string): string;
declare function atob(text: string): string;
