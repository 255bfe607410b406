// Whatever fills the memory, it is the limit that stops it.
function arrays() {
    const list = [];
    for (;;) list.push([1, 2, 3]);
}

function texts() {
    let text = "x";
    for (;;) {
        text += text;
        text.indexOf("y");
    }
}

function manyTexts() {
    const list = [];
    for (let n = 0; ; n++) list.push("x".repeat(1000) + n);
}

function typedArrays() {
    const list = [];
    for (;;) list.push(new Uint8Array(100_000));
}

function oneTypedArray() {
    return new Uint8Array(1_000_000_000).length;
}

function maps() {
    const map = new Map();
    for (let n = 0; ; n++) map.set(n, { n });
}

function closures() {
    const list = [];
    for (let n = 0; ; n++) list.push(() => n);
}

function holes() {
    const list = [];
    list[100_000_000] = 1;
    return list.fill(0).length;
}

function joined() {
    return Array(1_000_000).fill("x".repeat(1000)).join("").length;
}

async function promises() {
    const list = [];
    for (;;) list.push(new Promise(() => {}));
}
