function main() {
    const value = await storage.get("key");
    return value;
}
