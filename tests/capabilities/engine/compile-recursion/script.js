function main() {
    return main();
}

main();
