function main() {
    let kept = [];
    try {
        for (;;) kept.push("x".repeat(10_000) + kept.length);
    } catch (error) {
        kept = null;
        return { caught: error === null ? null : error.message, goes_on: "x".repeat(1000).length };
    }
}
