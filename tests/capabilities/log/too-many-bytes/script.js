function main() {
    for (let line = 1; line <= 1000; line++) console.info("x".repeat(1000));
    return "completes all the same";
}
