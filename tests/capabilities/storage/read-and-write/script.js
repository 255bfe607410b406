async function main() {
    const values = [null, true, 0, -0.5, "", "text é😀", [1, [2]], { a: { b: null } }, new Date(0)];
    for (const [index, value] of values.entries()) await storage.set(`value/${index}`, value);
    const read = await Promise.all(values.map((_, index) => storage.get(`value/${index}`)));
    await storage.set("value/0", "overwritten");
    return {
        read,
        overwritten: await storage.get("value/0"),
        missing: await storage.get("missing"),
        has: [await storage.has("value/1"), await storage.has("missing")],
        deleted: [await storage.delete("value/1"), await storage.delete("value/1"), await storage.has("value/1")],
        undefined_is_null: [await storage.set("undefined", undefined), await storage.get("undefined")],
    };
}
