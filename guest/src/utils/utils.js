(function (native, shared) {
  const DAY = 86_400_000;
  const pad = (number, length) => String(number).padStart(length, "0");

  // Every function takes a Date, ISO text or milliseconds, and works in UTC.
  function toDate(value, what = "the date") {
    const date =
      value instanceof Date ? new Date(value.getTime())
      : typeof value === "number" ? new Date(value)
      : typeof value === "string" ? new Date(zoned(value))
      : new Date(NaN);
    if (Number.isNaN(date.getTime())) {
      throw new TypeError(`${what} must be a Date, an ISO text or milliseconds, not ${show(value)}`);
    }
    return date;
  }

  // ISO text without a zone is UTC here, not local time.
  const zoned = (text) => (/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text) ? text.replace(" ", "T") + "Z" : text);
  const show = (value) => (typeof value === "string" ? JSON.stringify(value) : value instanceof Date ? "an invalid Date" : String(value));

  function amount(number) {
    if (typeof number !== "number" || !Number.isFinite(number)) throw new TypeError(`the amount must be a number, not ${show(number)}`);
    return number;
  }

  const later = (unit) => (value, number) => new Date(toDate(value).getTime() + amount(number) * unit);

  // A day that the month does not have becomes the month's last.
  function addMonths(value, number) {
    const date = toDate(value);
    const day = date.getUTCDate();
    date.setUTCDate(1);
    date.setUTCMonth(date.getUTCMonth() + Math.trunc(amount(number)));
    const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
    date.setUTCDate(Math.min(day, last));
    return date;
  }

  const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
  const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
  const PARTS = {
    YYYY: (d) => pad(d.getUTCFullYear(), 4),
    YY: (d) => pad(d.getUTCFullYear() % 100, 2),
    MMMM: (d) => MONTHS[d.getUTCMonth()],
    MMM: (d) => MONTHS[d.getUTCMonth()].slice(0, 3),
    MM: (d) => pad(d.getUTCMonth() + 1, 2),
    M: (d) => String(d.getUTCMonth() + 1),
    DD: (d) => pad(d.getUTCDate(), 2),
    D: (d) => String(d.getUTCDate()),
    dddd: (d) => DAYS[d.getUTCDay()],
    ddd: (d) => DAYS[d.getUTCDay()].slice(0, 3),
    HH: (d) => pad(d.getUTCHours(), 2),
    H: (d) => String(d.getUTCHours()),
    hh: (d) => pad(d.getUTCHours() % 12 || 12, 2),
    h: (d) => String(d.getUTCHours() % 12 || 12),
    mm: (d) => pad(d.getUTCMinutes(), 2),
    m: (d) => String(d.getUTCMinutes()),
    ss: (d) => pad(d.getUTCSeconds(), 2),
    s: (d) => String(d.getUTCSeconds()),
    SSS: (d) => pad(d.getUTCMilliseconds(), 3),
    A: (d) => (d.getUTCHours() < 12 ? "AM" : "PM"),
    a: (d) => (d.getUTCHours() < 12 ? "am" : "pm"),
    Z: () => "+00:00",
  };

  // Text in [brackets] stands as it is.
  function format(value, pattern = "YYYY-MM-DDTHH:mm:ss.SSS[Z]") {
    if (typeof pattern !== "string") throw new TypeError(`the pattern must be a string, not ${show(pattern)}`);
    const date = toDate(value);
    return pattern.replace(/\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|dddd|ddd|HH|H|hh|h|mm|m|ss|s|SSS|A|a|Z/g, (part, literal) =>
      literal === undefined ? PARTS[part](date) : literal,
    );
  }

  function startOfDay(value) {
    const date = toDate(value);
    date.setUTCHours(0, 0, 0, 0);
    return date;
  }

  const date = {
    now: () => new Date(),
    parse: (value) => toDate(value),
    toISO: (value) => toDate(value).toISOString(),
    format,
    addMilliseconds: later(1),
    addSeconds: later(1000),
    addMinutes: later(60_000),
    addHours: later(3_600_000),
    addDays: later(DAY),
    addWeeks: later(7 * DAY),
    addMonths,
    addYears: (value, number) => addMonths(value, amount(number) * 12),
    startOfDay,
    endOfDay: (value) => new Date(startOfDay(value).getTime() + DAY - 1),
    diffDays: (a, b) => Math.trunc((toDate(a, "the first date") - toDate(b, "the second date")) / DAY),
    isBefore: (a, b) => toDate(a, "the first date") < toDate(b, "the second date"),
    isAfter: (a, b) => toDate(a, "the first date") > toDate(b, "the second date"),
  };

  const crypto = {
    hash: (data, algorithm = "sha256", encoding = "hex") => native.hash(data, String(algorithm), String(encoding)),
    hmac: (key, data, algorithm = "sha256", encoding = "hex") => native.hmac(key, data, String(algorithm), String(encoding)),
    randomBytes: (length) => native.randomBytes(Number(length)),
    timingSafeEqual: (a, b) => native.timingSafeEqual(a, b),
    base64Encode: (data) => native.base64Encode(data),
    base64Decode: (text) => native.base64Decode(String(text)),
  };

  globalThis.utils = { uuid: () => native.uuid(), date, crypto };

  // What packages expect to find under the names of the web.
  globalThis.crypto = {
    randomUUID: () => native.uuid(),
    getRandomValues(array) {
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(native.randomBytes(array.byteLength));
      return array;
    },
  };
  globalThis.btoa = (text) => {
    const bytes = Uint8Array.from(String(text), (character) => {
      const code = character.charCodeAt(0);
      if (code > 255) throw new TypeError("btoa takes characters up to U+00FF");
      return code;
    });
    return native.base64Encode(bytes);
  };
  globalThis.atob = (text) => Array.from(native.base64Decode(String(text)), (byte) => String.fromCharCode(byte)).join("");
});
