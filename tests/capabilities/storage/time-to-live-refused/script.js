async function main() {
    return [
        await refusal(() => storage.set("key", 1, 0)),
        await refusal(() => storage.set("key", 1, -1)),
        await refusal(() => storage.set("key", 1, NaN)),
        await refusal(() => storage.set("key", 1, "3600")),
        await refusal(() => storage.set("key", 1, Infinity)),
        await refusal(() => storage.increment("key", 1, 0)),
        await refusal(() => storage.compareAndSet("key", null, 1, -5)),
        await storage.has("key"),
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
