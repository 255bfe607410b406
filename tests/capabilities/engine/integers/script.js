// The interpreter takes short ways with small integers. Each line goes the short
// way and beside it, at the edges: overflow, other types, jumps to its middle.
function arithmetic(n) {
    return [n + 1, n - 1, n + 7, n - 100, 1 + n, 1 - n, n + 1 + 1];
}

function comparisons(n) {
    return [n < 2, n <= 2, n > 2, n >= 2, 2 < n, n < 100 ? "less" : "more", n >= -1 && n <= 5];
}

function branches(n) {
    const seen = [];
    if (n < 3) seen.push("if");
    else seen.push("else");
    while (n < 3) n += 1;
    do n -= 1;
    while (n > 0);
    for (let i = 0; i < 3; i++) if (i > 0) seen.push(i);
    const middle = (n === 0 ? 5 : 6) + 1;
    const not = !(n < 1);
    return [...seen, n, middle, not];
}

function main() {
    const values = [0, 2, -1, 2147483647, -2147483648, 1.5, NaN, "2", null, undefined, true, [3], { valueOf: () => 2 }];
    const text = (value) => (Object.is(value, -0) ? "-0" : String(value));
    const of = (f) => values.map((value) => f(value).map(text).join(" "));
    const big = [2n + 1n, 2n - 1n, 2n < 3, 2n >= 2].map(String);
    const map = new Map();
    for (let i = -50; i < 50; i++) map.set(i, i * 2).set(i + 0.5, i);
    let sum = 0;
    for (const [key, value] of map) sum += map.get(key) === value ? 1 : 0;
    return {
        arithmetic: of(arithmetic),
        comparisons: of(comparisons),
        branches: [0, 2, 5, 3.5].map((n) => branches(n).map(text).join(" ")),
        big,
        map: [sum, map.get(-0), map.get(49), map.has(50), map.get(2.5)],
    };
}
