async function write(secret) {
    await storage.set("secret", secret);
    return (await storage.list()).entries;
}

async function read() {
    return { get: await storage.get("secret"), has: await storage.has("secret"), list: await storage.list(), deleted: await storage.delete("secret"), won: await storage.compareAndSet("secret", null, "own") };
}
