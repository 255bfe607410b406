function main() {
    return /(/.test("x");
}
