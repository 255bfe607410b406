async function main() {
    const results = [];
    results.push(await storage.compareAndSet("key", null, { version: 1, by: "a" }));
    results.push(await storage.compareAndSet("key", null, "too late"));
    results.push(await storage.compareAndSet("key", { by: "a", version: 1 }, { version: 2 }));
    results.push(await storage.compareAndSet("key", { version: 1 }, "stale"));
    const race = await Promise.all(Array.from({ length: 20 }, (_, index) => storage.compareAndSet("race", undefined, index)));
    return { results, stored: await storage.get("key"), winners: race.filter(Boolean).length };
}
