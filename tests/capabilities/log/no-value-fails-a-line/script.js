function main() {
    const circle = { name: "circle" };
    circle.self = circle;
    const shared = { x: 1 };
    const thrower = {
        get bad() {
            throw new Error("getter");
        },
    };
    console.info("cycle", circle);
    console.info("shared twice", { a: shared, b: shared });
    console.info("big", 10n ** 20n, { big: 5n });
    console.info("function", main, { call: () => 1 });
    console.info("map and set", { map: new Map([["k", 1]]), set: new Set([1, 2]) });
    console.info("getter", thrower);
    console.info("hostile", { toString: null, toJSON: 1 }, Object.create(null));
    console.info(new Proxy({}, { ownKeys() { throw new TypeError("trap"); } }));
    console.info("date", { at: new Date(0), bad: new Date(NaN) });
    return "reached";
}
