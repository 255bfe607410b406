// The sandboxes that npm ships, on the work of Airlock's own benchmark:
//
//   node peers.mjs --script FILE --input JSON|@FILE [--entry NAME] [--seconds 2] [--turn 0.2] [--only NAME]
//
// A call makes what its name says, loads the script, calls the entry with the
// input, takes the result as JSON and disposes of what it made. Host functions
// cross the sandbox's border as JSON text and answer at once from memory.
// Prints one JSON object, a key a measurement.
//
// Every measurement runs in a process of its own, so that none starts with
// another's heap. No peer is given a time limit, which only costs them time.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const { values: options } = parseArgs({
  options: {
    script: { type: "string" },
    input: { type: "string" },
    entry: { type: "string", default: "validateOrder" },
    seconds: { type: "string", default: "2" },
    turn: { type: "string", default: "0.2" },
    only: { type: "string" },
  },
});

const RESIDENT = 200;
const MEMORY = 128 * 1024 * 1024;

// Host functions, by name. Their answers do not depend on the arguments.
const FAKES = {
  "products.get": { id: "p-1", name: "Widget", price: 25, stock: 100 },
  "clients.get": { id: "c-1", name: "Example Ltd", credit_limit: 10_000 },
  "db.query": [{ total: 1200 }],
};

function host(name, json) {
  JSON.parse(json);
  return JSON.stringify(FAKES[name]);
}

// What the script sees, the same in every sandbox.
const PRELUDE = `
  const call = (name) => async (...args) => JSON.parse(host(name, JSON.stringify(args)));
  globalThis.services = { products: { get: call("products.get") }, clients: { get: call("clients.get") } };
  globalThis.db = { query: call("db.query") };
`;
const FIBONACCI = `function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); } fib(27);`;

if (!options.script || !options.input) {
  console.error("usage: node peers.mjs --script FILE --input JSON|@FILE [--entry NAME] [--seconds 2] [--turn 0.2] [--only NAME]");
  process.exit(2);
}
if (!/^[A-Za-z_$][\w$]*$/.test(options.entry)) {
  console.error(`--entry ${options.entry} is not a function's name`);
  process.exit(2);
}
const script = readFileSync(options.script, "utf8");
const input = options.input.startsWith("@") ? readFileSync(options.input.slice(1), "utf8") : options.input;
const SOURCE = `${PRELUDE}\n${script}`;
const CALL = `${options.entry}(JSON.parse(input)).then(
  (value) => finish(JSON.stringify(value)),
  (error) => finish(JSON.stringify({ failed: String(error) })),
); undefined;`;

// The result without a sandbox, which every peer must reproduce.
function expected() {
  return new Promise((finish) => {
    runInNewContext(`${SOURCE}\n${CALL}`, { host, input, finish });
  });
}

async function quickjs() {
  const { getQuickJS } = await import("quickjs-emscripten");
  const module = await getQuickJS();

  // Loads the script into a context; the answer calls it once.
  function load(context) {
    let result;
    const functions = {
      host: (name, json) => context.newString(host(context.getString(name), context.getString(json))),
      finish: (json) => {
        result = context.getString(json);
      },
    };
    for (const [name, implementation] of Object.entries(functions)) {
      context.newFunction(name, implementation).consume((handle) => context.setProp(context.global, name, handle));
    }
    context.newString(input).consume((handle) => context.setProp(context.global, "input", handle));
    evaluate(context, SOURCE);
    return () => {
      result = undefined;
      evaluate(context, CALL);
      const jobs = context.runtime.executePendingJobs();
      if (jobs.error) {
        const error = jobs.error.consume((handle) => context.dump(handle));
        throw new Error(JSON.stringify(error));
      }
      return result;
    };
  }

  function evaluate(context, code) {
    return context.unwrapResult(context.evalCode(code)).consume((handle) => context.dump(handle));
  }

  function newRuntime() {
    const runtime = module.newRuntime();
    runtime.setMemoryLimit(MEMORY);
    return runtime;
  }

  function inNewContext(runtime) {
    const context = runtime.newContext();
    try {
      return load(context)();
    } finally {
      context.dispose();
    }
  }

  function inNewRuntime() {
    const runtime = newRuntime();
    try {
      return inNewContext(runtime);
    } finally {
      runtime.dispose();
    }
  }

  return { load, evaluate, newRuntime, inNewContext, inNewRuntime };
}

function isolated() {
  const ivm = createRequire(import.meta.url)("isolated-vm");
  const newIsolate = () => new ivm.Isolate({ memoryLimit: MEMORY / 1024 / 1024 });

  // Loads the script into a context; the answer calls it once.
  function load(context, compiled) {
    let result;
    context.global.setSync("host", new ivm.Callback(host));
    context.global.setSync("finish", new ivm.Callback((json) => void (result = json)));
    context.global.setSync("input", input);
    compiled.source.runSync(context);
    return () => {
      result = undefined;
      compiled.call.runSync(context);
      return result;
    };
  }

  const compile = (isolate) => ({
    source: isolate.compileScriptSync(SOURCE),
    call: isolate.compileScriptSync(CALL),
  });

  function inNewContext(isolate, compiled) {
    const context = isolate.createContextSync();
    try {
      return load(context, compiled)();
    } finally {
      context.release();
    }
  }

  function inNewIsolate() {
    const isolate = newIsolate();
    try {
      return inNewContext(isolate, compile(isolate));
    } finally {
      isolate.dispose();
    }
  }

  return { newIsolate, load, compile, inNewContext, inNewIsolate };
}

// Calls for the given time, after a fifth of it to warm up: how long a call takes in
// each of its turns.
function time(call, wanted) {
  const run = (nanoseconds) => {
    const start = process.hrtime.bigint();
    let calls = 0;
    let elapsed;
    do {
      const result = call();
      if (result !== wanted) throw new Error(`answered ${result}, expected ${wanted}`);
      calls += 1;
      elapsed = Number(process.hrtime.bigint() - start);
    } while (elapsed < nanoseconds);
    return Math.round(elapsed / calls);
  };
  const [seconds, turn] = [Number(options.seconds), Number(options.turn)];
  run(seconds * 2e8);
  return { ns_per_call: Array.from({ length: Math.ceil(seconds / turn) }, () => run(turn * 1e9)) };
}

// The resident memory that each more costs, once the first exists.
function memory(make) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const kept = [make()];
  collect();
  const before = process.memoryUsage.rss();
  while (kept.length <= RESIDENT) kept.push(make());
  collect();
  const bytes = process.memoryUsage.rss() - before;
  return { bytes_each: Math.round(bytes / RESIDENT), resident: kept.length - 1 };
}

const MEASUREMENTS = {
  async quickjs_new_context() {
    const { newRuntime, inNewContext } = await quickjs();
    const runtime = newRuntime();
    return time(() => inNewContext(runtime), await expected());
  },
  async quickjs_new_runtime() {
    const { inNewRuntime } = await quickjs();
    return time(inNewRuntime, await expected());
  },
  async quickjs_fib27() {
    const { newRuntime, evaluate } = await quickjs();
    const context = newRuntime().newContext();
    return time(() => evaluate(context, FIBONACCI), 196418);
  },
  async quickjs_context_memory() {
    const { newRuntime, load } = await quickjs();
    const runtime = newRuntime();
    // The limit is the runtime's, and here one holds them all.
    runtime.setMemoryLimit(-1);
    return memory(() => {
      const call = load(runtime.newContext());
      call();
      return call;
    });
  },
  async quickjs_runtime_memory() {
    const { newRuntime, load } = await quickjs();
    return memory(() => {
      const call = load(newRuntime().newContext());
      call();
      return call;
    });
  },
  async isolated_vm_new_isolate() {
    const { inNewIsolate } = isolated();
    return time(inNewIsolate, await expected());
  },
  async isolated_vm_new_context() {
    const { newIsolate, compile, inNewContext } = isolated();
    const isolate = newIsolate();
    const compiled = compile(isolate);
    return time(() => inNewContext(isolate, compiled), await expected());
  },
  async isolated_vm_reused_context() {
    const { newIsolate, compile, load } = isolated();
    const isolate = newIsolate();
    return time(load(isolate.createContextSync(), compile(isolate)), await expected());
  },
  async isolated_vm_fib27() {
    const { newIsolate } = isolated();
    const isolate = newIsolate();
    const context = isolate.createContextSync();
    const compiled = isolate.compileScriptSync(FIBONACCI);
    return time(() => compiled.runSync(context), 196418);
  },
  async isolated_vm_context_memory() {
    const { newIsolate, compile, load } = isolated();
    const isolate = newIsolate();
    const compiled = compile(isolate);
    return memory(() => {
      const context = isolate.createContextSync();
      const call = load(context, compiled);
      call();
      return { context, call };
    });
  },
  async isolated_vm_isolate_memory() {
    const { newIsolate, compile, load } = isolated();
    return memory(() => {
      const isolate = newIsolate();
      const context = isolate.createContextSync();
      const call = load(context, compile(isolate));
      call();
      return { isolate, context, call };
    });
  },
};

if (options.only) {
  const measure = MEASUREMENTS[options.only];
  if (!measure) {
    console.error(`there is no measurement ${options.only}; there are ${Object.keys(MEASUREMENTS).join(", ")}`);
    process.exit(2);
  }
  console.log(JSON.stringify({ [options.only]: await measure() }));
  // A V8 heap full of isolates takes seconds to tear down, and QuickJS asserts
  // that nothing was left in it.
  process.exit(0);
}

const results = {};
for (const name of Object.keys(MEASUREMENTS)) {
  const child = [
    // isolated-vm cannot load into a Node.js that started from a snapshot.
    "--no-node-snapshot",
    fileURLToPath(import.meta.url),
    "--script", options.script,
    "--input", options.input,
    "--entry", options.entry,
    "--seconds", options.seconds,
    "--turn", options.turn,
    "--only", name,
  ];
  try {
    const output = execFileSync(process.execPath, child, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    Object.assign(results, JSON.parse(output));
  } catch (error) {
    // One peer that fails must not take the others' numbers with it.
    const reason = (error.stderr || error.message).split("\n").find((line) => /Error|error/.test(line));
    results[name] = { failed: (reason ?? "it ended without a result").trim() };
  }
}
console.log(JSON.stringify(results, null, 2));
