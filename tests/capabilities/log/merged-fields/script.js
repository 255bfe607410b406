function main() {
    console.info("User action", { action: "create", order: { id: 7 } });
    console.info("two", { a: 1, b: 1 }, "objects", { b: 2 });
    console.info({ alone: true });
    console.info("%s has %d of %i, %j 100%%", "Ada", "1.5", 2.9, { x: 1 }, "rest");
    console.info("words", 1, true, null, undefined, [1, "two"], Symbol("s"));
}
