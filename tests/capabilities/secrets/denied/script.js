// @airlock secrets: DECLARED, GRANTED
async function main() {
    return [
        await refusal(() => secrets.get("GRANTED")),
        await refusal(() => secrets.get("DECLARED")),
        await refusal(() => secrets.get("OTHER")),
        await refusal(() => secrets.get("granted")),
        await refusal(() => secrets.get("../GRANTED")),
        await refusal(() => secrets.get("*")),
        await refusal(() => secrets.get("")),
        await refusal(() => secrets.get(7)),
        await refusal(() => secrets.get()),
    ];
}

async function refusal(work) {
    try {
        return { length: (await work()).length };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
