async function main() {
    await storage.set("short", 1, 0.001);
    await storage.set("long", 1, 3600);
    await storage.increment("counter", 1, 3600);
    // The clock goes on while the script waits.
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { short: await storage.get("short"), has: await storage.has("short"), long: await storage.get("long"), listed: (await storage.list()).entries.map((entry) => entry.key) };
}
