async function main() {
    return storage.increment("calls");
}
