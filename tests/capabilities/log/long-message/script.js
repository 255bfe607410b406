function main() {
    console.info("x".repeat(100_000));
    console.info("fields", { long: "y".repeat(100_000) });
}
