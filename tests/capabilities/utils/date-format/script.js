function main() {
    const { format } = utils.date;
    const morning = "2024-02-05T00:04:09.007Z";
    const afternoon = "2024-12-31T13:45:59.120Z";
    const tokens = ["YYYY", "YY", "MMMM", "MMM", "MM", "M", "DD", "D", "dddd", "ddd", "HH", "H", "hh", "h", "mm", "m", "ss", "s", "SSS", "A", "a", "Z"];
    return {
        morning: tokens.map((token) => format(morning, token)).join("|"),
        afternoon: tokens.map((token) => format(afternoon, token)).join("|"),
        iso: format(afternoon),
        day: format(afternoon, "YYYY-MM-DD"),
        literal: format(afternoon, "[Day] D [of] MMMM, h:mm a"),
        noon: format("2024-01-01T12:00:00Z", "h A"),
        no_tokens: format(afternoon, "–/."),
        early: format("0099-03-04T00:00:00Z", "YYYY YY"),
    };
}
