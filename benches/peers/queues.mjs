// Queues of npm on PostgreSQL, on the work of Airlock's own benchmark:
//
//   node queues.mjs --url URL --queue pg-boss|graphile-worker --events 20000 [--at-once 64]
//
// Events are put in, 100 with a statement, while a handler takes them out and
// writes one row for each. Prints the events a second from the first one that
// was put in to the last row. Each queue has as many connections as Airlock.

import { parseArgs } from "node:util";
import pg from "pg";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    queue: { type: "string" },
    events: { type: "string", default: "20000" },
    "at-once": { type: "string", default: "64" },
  },
});
const EVENTS = Number(options.events);
const AT_ONCE = Number(options["at-once"]);
const BATCH = 100;
const CONNECTIONS = 16;

const pool = new pg.Pool({ connectionString: options.url, max: CONNECTIONS });
await pool.query("CREATE TABLE handled (key text PRIMARY KEY, value jsonb NOT NULL)");

let handled = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));

// What the handler does: one write, as storage.set.
async function handle(event) {
  await pool.query(
    "INSERT INTO handled (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [`event:${event.n}`, JSON.stringify(event)],
  );
  handled += 1;
  if (handled === EVENTS) finish();
}

function* batches() {
  for (let first = 0; first < EVENTS; first += BATCH) {
    yield Array.from({ length: Math.min(BATCH, EVENTS - first) }, (_, index) => ({ n: first + index, total: 25 }));
  }
}

const QUEUES = {
  async "pg-boss"() {
    const { default: PgBoss } = await import("pg-boss");
    const boss = new PgBoss({ connectionString: options.url, max: CONNECTIONS });
    boss.on("error", console.error);
    await boss.start();
    await boss.createQueue("events");
    return {
      // Its fastest way: batches, handled side by side, looked for as often as it allows.
      async work() {
        for (let worker = 0; worker < 4; worker += 1) {
          await boss.work("events", { batchSize: AT_ONCE, pollingIntervalSeconds: 0.5 }, async (jobs) => {
            await Promise.all(jobs.map((job) => handle(job.data)));
          });
        }
      },
      put: (events) => boss.insert(events.map((data) => ({ name: "events", data }))),
      stop: () => boss.stop({ graceful: false, wait: false }),
    };
  },
  async "graphile-worker"() {
    const { run, makeWorkerUtils } = await import("graphile-worker");
    const { Logger } = await import("graphile-worker");
    const logger = new Logger(() => () => {});
    const utils = await makeWorkerUtils({ pgPool: pool, logger });
    await utils.migrate();
    let runner;
    return {
      async work() {
        runner = await run({
          pgPool: pool,
          logger,
          concurrency: AT_ONCE,
          noHandleSignals: true,
          pollInterval: 500,
          taskList: { handle: (event) => handle(event) },
          // Its fastest way: jobs fetched and completed many at once.
          preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
        });
      },
      put: (events) => utils.addJobs(events.map((payload) => ({ identifier: "handle", payload }))),
      stop: () => runner.stop(),
    };
  },
};

const make = QUEUES[options.queue];
if (!options.url || !make) {
  console.error("usage: node queues.mjs --url URL --queue pg-boss|graphile-worker [--events 20000] [--at-once 64]");
  process.exit(2);
}
const queue = await make();
await queue.work();
const began = performance.now();
for (const events of batches()) {
  await queue.put(events);
}
await finished;
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ rate: EVENTS / seconds }));
await Promise.race([queue.stop(), new Promise((resolve) => setTimeout(resolve, 2000))]);
process.exit(0);
