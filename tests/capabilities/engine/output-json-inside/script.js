// What the returned value may not hold, a text that is made meanwhile may.
function main() {
    return {
        left: undefined,
        list: [undefined, null],
        when: { toJSON: () => JSON.stringify({ f: main, s: Symbol("s"), list: [main] }) },
        date: new Date(0),
        map: new Map([[1, 2]]),
        deep: { toJSON: () => ({ inner: { toJSON: () => "ok" } }) },
    };
}
