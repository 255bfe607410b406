const table = new Map(Array.from({ length: 100 }, (_, n) => [n, { n, text: `entry ${n}` }]));

async function main({ list }) {
    const sorted = [...list].sort((a, b) => a - b);
    await null;
    const text = JSON.stringify(sorted.map((n) => table.get(n)));
    return { hash: utils.crypto.hash(text), words: text.match(/\w+/g).length };
}
