// A Date, ISO text and milliseconds are the same to every function; UTC throughout.
function main() {
    const { date } = utils;
    const given = new Date(Date.UTC(2024, 1, 29, 23, 59, 59, 7));
    const changed = date.addDays(given, 1);
    return {
        date: date.toISO(given),
        milliseconds: date.toISO(given.getTime()),
        iso: date.toISO("2024-02-29T23:59:59.007Z"),
        zone: date.toISO("2024-03-01T01:29:59.007+01:30"),
        day: date.toISO("2024-02-29"),
        without_zone: date.toISO("2024-02-29T23:59:59"),
        with_space: date.toISO("2024-02-29 23:59:59"),
        parsed: date.parse("2024-02-29") instanceof Date,
        now: date.now() instanceof Date && Math.abs(date.now() - Date.now()) < 1000,
        given_unchanged: given.toISOString(),
        changed,
        epoch: date.toISO(0),
        before_epoch: date.toISO(-1),
    };
}
