class Money {
    constructor(amount) {
        this.amount = amount;
    }
    toJSON() {
        return { amount: this.amount, again: { toJSON: () => "nested" } };
    }
}

const values = {
    undefined: undefined,
    null: null,
    nan: [NaN, Infinity, -0],
    date: { at: new Date(Date.UTC(2024, 0, 31, 1, 2, 3, 4)), invalid: new Date(NaN) },
    map: { map: new Map([["a", 1]]), set: new Set([1]) },
    toJson: new Money(5),
    regularExpression: /x/g,
    typed: new Uint8Array([1, 2]),
    boxed: [new Number(1), new String("s"), new Boolean(false)],
    holes: [1, , 3],
    left_out: { a: undefined, b: 1 },
    error: { error: new Error("message") },
    text: "é€😀\u2028 \u0000",
    proxy: new Proxy({ a: 1 }, {}),
    inherited: Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true } }),
    large: 1e21,
    keys: { 2: "b", 1: "a", __proto__: null, "": 0 },
};

function main(name) {
    return values[name];
}

async function promised() {
    return Promise.resolve({ nested: await 7 });
}

function thenable() {
    return { then: (resolve) => resolve("a thenable"), other: 1 };
}
