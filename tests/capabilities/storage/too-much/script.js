async function main() {
    const written = [];
    for (let index = 0; index < 5; index++) written.push(await refusal(() => storage.set(`key/${index}`, index)));
    const replaced = await refusal(() => storage.set("key/0", "again"));
    await storage.delete("key/1");
    return { written, replaced, after_a_deletion: await refusal(() => storage.set("key/9", 9)) };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
