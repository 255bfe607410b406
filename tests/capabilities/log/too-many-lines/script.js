function main() {
    for (let line = 1; line <= 100; line++) console.info(`line ${line}`);
    return "completes all the same";
}
