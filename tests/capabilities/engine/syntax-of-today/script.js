// What editors and packages write.
export default async function main() {
    class Counter {
        static #made = 0;
        #n = 0;
        static {
            Counter.start = 5;
        }
        get value() {
            return this.#n;
        }
        add = (by = 1) => ((this.#n += by), Counter.#made++, this);
    }
    let nothing = null;
    nothing ??= { deep: [1, { a: 2 }] };
    const { deep: [first, { a, ...rest }] } = nothing;
    const list = [];
    for await (const item of (async function* () { yield 1; yield 2; })()) list.push(item);
    label: for (const i of [1, 2]) for (const j of [1, 2]) if (j === 2) continue label; else list.push(i * 10 + j);
    return {
        counter: new Counter().add().add(2).value,
        start: Counter.start,
        first, a, rest,
        list,
        optional: nothing?.missing?.[0]?.() ?? "none",
        power: 2 ** 10,
        separated: 1_000_000,
        named: "2024-01-31".match(/(?<year>\d{4})-(?<month>\d\d)/).groups.year,
        sticky: "aXbX".replaceAll("X", "-"),
        at: [1, 2, 3].at(-1),
        grouped: Object.groupBy([1, 2, 3], (n) => (n % 2 ? "odd" : "even")),
        sorted: [3, 1, 2].toSorted(),
        unicode: [..."😀é"].length,
        tagged: ((parts, ...values) => parts.raw.join("|") + values.join())`a${1}b${2}`,
        flat: [[1, [2]]].flat(Infinity),
        weak: new WeakRef(nothing).deref() === nothing,
    };
}
