async function main() {
    for (const key of ["b", "a/2", "a/1", "a/10", "a%", "a_", "é"]) await storage.set(key, key.length);
    const pages = [];
    let after;
    do {
        const page = await storage.list("", { limit: 3, after });
        pages.push(page.entries.map((entry) => entry.key));
        after = page.next;
    } while (after);
    return {
        all: await storage.list(),
        prefix: (await storage.list("a/")).entries.map((entry) => entry.key),
        no_wildcard: [(await storage.list("a%")).entries.length, (await storage.list("a_")).entries.length],
        none: await storage.list("zzz"),
        pages,
        refused: [await refusal(() => storage.list("", { limit: 0 })), await refusal(() => storage.list("", { limit: 1001 })), await refusal(() => storage.list(7))],
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
