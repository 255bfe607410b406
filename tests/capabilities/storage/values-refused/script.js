async function main() {
    const circle = {};
    circle.self = circle;
    return [
        await refusal(() => storage.set("key", 5n)),
        await refusal(() => storage.set("key", { list: [1, () => 1] })),
        await refusal(() => storage.set("key", circle)),
        await refusal(() => storage.set("key", "x".repeat(1025))),
        await refusal(() => storage.set("key", "x".repeat(1000))),
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
