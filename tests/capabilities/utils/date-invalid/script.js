async function main() {
    const { date } = utils;
    return [
        await refusal(() => date.addDays("not a date", 1)),
        await refusal(() => date.format(undefined)),
        await refusal(() => date.toISO(null)),
        await refusal(() => date.toISO(new Date(NaN))),
        await refusal(() => date.toISO({})),
        await refusal(() => date.addDays("2024-01-01", "1")),
        await refusal(() => date.addMonths("2024-01-01")),
        await refusal(() => date.addHours("2024-01-01", Infinity)),
        await refusal(() => date.isBefore("2024-01-01", "later")),
        await refusal(() => date.diffDays("x", "2024-01-01")),
        await refusal(() => date.format("2024-01-01", 7)),
        await refusal(() => date.parse("2024-13-01")),
    ];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
