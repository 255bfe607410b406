async function main() {
    for (let index = 0; index < 5; index++) await storage.set(`key/${index}`, "x".repeat(400));
}
