async function main() {
    for (;;) await storage.has("key");
}

async function caught() {
    for (let n = 1; ; n++) {
        try {
            await storage.has("key");
        } catch (error) {
            return [n, error.name, error.limit.name];
        }
    }
}
