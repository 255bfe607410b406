async function main() {
    return [
        await refusal(() => storage.set("", 1)),
        await refusal(() => storage.set("a\0b", 1)),
        await refusal(() => storage.list("a\0")),
        await refusal(() => storage.list("a", { after: "a\0" })),
        await refusal(() => storage.set("k".repeat(513), 1)),
        await refusal(() => storage.get(7)),
        await refusal(() => storage.get()),
        await refusal(() => storage.delete(null)),
        await refusal(() => storage.has({})),
        await refusal(() => storage.set("k".repeat(512), 1)),
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
