function main() {
    try {
        while (true) {}
    } catch (error) {
        console.error("Script timeout");
        return { name: error.name, message: error.message, limit: error.limit.name };
    }
}
