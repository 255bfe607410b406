// What the top level has made is not counted any more (guest/build/quickjs.rs):
// a call may drop, change, share and collect it like anything else.
const cache = new Map([["a", { n: 1 }], ["b", { n: 2 }]]);
const list = ["x", "y", { deep: [1, 2, 3] }];
let text = "begun";
const shared = [{ p: 1 }, { p: 2 }];
class Point {
  constructor(x) {
    this.x = x;
  }
  twice() {
    return this.x * 2;
  }
}
let point = new Point(21);
const symbol = Symbol("kept");
const counter = (() => {
  let count = 0;
  return () => ++count;
})();
const weak = new WeakRef(point);
const pending = new Promise((resolve) => (list.resolve = resolve));

// Cycles, so many that the engine looks for them again and again.
function churn() {
  for (let round = 0; round < 200; round++) {
    const ring = [];
    for (let n = 0; n < 400; n++) ring.push({ ring, n, cache, point, text: `${text}-${n}` });
  }
}

async function main() {
  const out = {};
  churn();
  for (let n = 0; n < 1000; n++) {
    cache.delete("a");
    cache.set("a", { n, list });
    text += ".";
    shared[0]["q" + (n % 3)] = n;
    counter();
  }
  out.cache = [cache.get("a").n, cache.get("b").n, cache.size];
  out.text = text.length;
  out.shared = [Object.keys(shared[0]), Object.keys(shared[1]), shared[1].p];
  point = null;
  list.length = 2;
  list.push(...Array.from({ length: 3 }, (_, n) => n));
  churn();
  out.list = list;
  out.weak = weak.deref()?.twice();
  Point.prototype.twice = function () {
    return this.x * 3;
  };
  out.point = new Point(5).twice();
  out.symbol = { [symbol]: "value", plain: 1 }[symbol];
  out.counter = counter();
  list.resolve("settled");
  out.pending = await pending;
  Array.prototype.first = function () {
    return this[0];
  };
  out.first = [7, 8].first();
  globalThis.later = "set";
  out.later = later;
  delete globalThis.later;
  out.gone = typeof later;
  return out;
}
