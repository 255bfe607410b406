function bigInt() {
    return 5n;
}

function nestedBigInt() {
    return { orders: [{ id: 1 }, { id: 2n ** 64n }] };
}

function cycle() {
    const parent = { children: [] };
    parent.children.push({ parent });
    return parent;
}

function aFunction() {
    return { "odd name": [main] };
}

function main() {
    return main;
}

function symbol() {
    return { tag: Symbol("s") };
}

function fromToJson() {
    return { when: { toJSON: () => ({ n: 1n }) } };
}

function throwing() {
    return {
        get value() {
            throw new RangeError("in the getter");
        },
    };
}
