function main() {
    if (true) {
        return 1;
}
