function main() {
    try {
        for (;;) {}
    } catch {
        return "fuel can't be caught";
    }
}
