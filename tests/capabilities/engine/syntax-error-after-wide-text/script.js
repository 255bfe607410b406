function main() {
    const name = "é€😀"; let = = 1;
}
