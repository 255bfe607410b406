async function main() {
    const sums = [await storage.increment("n"), await storage.increment("n", 4), await storage.increment("n", -0.5)];
    await storage.set("text", "seven");
    const together = await Promise.all(Array.from({ length: 50 }, () => storage.increment("together")));
    return {
        sums,
        stored: await storage.get("n"),
        together: Math.max(...together),
        distinct: new Set(together).size,
        refused: [
            await refusal(() => storage.increment("text")),
            await refusal(() => storage.increment("n", "1")),
            await refusal(() => storage.increment("n", NaN)),
            await refusal(() => storage.increment("n", Infinity)),
        ],
        unchanged: [await storage.get("text"), await storage.get("n")],
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
