//! Airlock beside its peers, on the same work in the same run. Prints a table
//! and the ratios that the project holds itself to; asserts nothing, because a
//! machine's noise is no failure.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airlock::capabilities::Grant;
use airlock::compile;
use airlock::host::{self, Host, Run};
use airlock::runtime::call::Call;
use airlock::runtime::limits::Limits;
use airlock::runtime::outcome::Outcome;
use airlock::runtime::sandbox::{self, Program, Sandbox};
use airlock::settings::{ExecutionSettings, Settings};
use airlock::tenant::{Execution, Identity, Script, Tenant};

use support::{bar, is_listing, median};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long calls are counted that run at once.
const TIME: Duration = Duration::from_secs(2);
/// What is compared takes turns: in each round the peers have one, which they divide
/// into turns as long as Airlock's, and Airlock so many. The fastest counts: what else a
/// machine does takes half of its speed for seconds, and never adds any.
const ROUNDS: usize = 3;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(200);
/// What peers do, and how long it is measured each time, in seconds. Node.js is slow
/// at first: measured for 0.4, a QuickJS there took twice as long.
const PEERS: [&str; 7] = [
    "quickjs_new_context",
    "quickjs_new_runtime",
    "quickjs_fib27",
    "isolated_vm_new_isolate",
    "isolated_vm_new_context",
    "isolated_vm_reused_context",
    "isolated_vm_fib27",
];
const PEERS_TURN: &str = "2";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        tenant: Tenant { id: "bench".into(), name: "Bench".into() },
        user: None,
        script: Script { id: "bench".into(), name: "bench".into(), kind: "embedded".into(), file: "bench.js".into() },
        execution: Execution { id: "bench".into(), triggered_by: "api".into(), cause: None },
    })
}

struct Bench {
    host: Host,
    limits: Arc<Limits>,
    grant: Arc<Grant>,
}

impl Bench {
    async fn program(&self, name: &str) -> Result<Program> {
        Ok(host::program(self.host.engine(), &folder().join(name), name, &self.limits).await?)
    }

    fn run(&self, input: &str) -> Run {
        Run {
            identity: identity(),
            limits: self.limits.clone(),
            grant: self.grant.clone(),
            entry: None,
            input: Some(input.to_owned()),
            sink: None,
            origin: Default::default(),
        }
    }

    /// A sandbox is made, used and dropped.
    async fn fresh(&self, program: &Program, input: &str, time: Duration) -> Result<Duration> {
        let run = async || {
            let call = self.call(self.limits.clone());
            completed(sandbox::run(self.host.engine(), program, call, None, Some(input.to_owned())).await?)
        };
        each(time, run).await
    }

    /// The same through the host, which knows of the call while it runs.
    async fn through_host(&self, program: &Program, input: &str, time: Duration) -> Result<Duration> {
        each(time, async || completed(self.host.run(program, self.run(input)).await?)).await
    }

    async fn reused(&self, program: &Program, input: &str, time: Duration) -> Result<Duration> {
        // One call's deadline would pass in the middle.
        let call = self.call(Arc::new(Limits { timeout: 3_600_000, ..(*self.limits).clone() }));
        let mut sandbox = Sandbox::new(self.host.engine(), call);
        let run = async || {
            sandbox.invoke(program, None, Some(input.to_owned())).await.map_err(|error| error.message)?;
            Ok(())
        };
        each(time, run).await
    }

    fn call(&self, limits: Arc<Limits>) -> Call {
        Call::new(identity(), limits, self.host.shared_process(), self.grant.clone())
    }

    async fn parallel(self: &Arc<Self>, program: &Program, input: &str, tasks: u32) -> Result<f64> {
        let started = Instant::now();
        let mut running = Vec::new();
        for _ in 0..tasks {
            let (bench, program, input) = (self.clone(), program.clone(), input.to_owned());
            running.push(tokio::spawn(async move {
                let mut calls = 0u32;
                while started.elapsed() < TIME {
                    if bench.host.run(&program, bench.run(&input)).await.is_err() {
                        break;
                    }
                    calls += 1;
                }
                calls
            }));
        }
        let mut calls = 0;
        for task in running {
            calls += task.await?;
        }
        Ok(f64::from(calls) / started.elapsed().as_secs_f64())
    }
}

/// The process's resident memory, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// A script of about five kilobytes, different for each number.
fn script(number: usize) -> String {
    let mut text = format!("const id = {number};\n");
    for function in 0..30 {
        text += &format!(
            "function step{function}(order) {{\n  const total = order.items.reduce((sum, item) => sum + item.price * item.quantity, 0);\n  \
             if (total > {}) return {{ id, step: {function}, total, message: `Too much: ${{total}}` }};\n  return null;\n}}\n",
            number * 100 + function
        );
    }
    text + "function main(order) {\n  return step0(order);\n}\n"
}

/// How long a call takes, of as many as there is time for, one after the other.
async fn each(time: Duration, mut call: impl AsyncFnMut() -> Result<()>) -> Result<Duration> {
    let mut calls = 0;
    let started = Instant::now();
    while started.elapsed() < time {
        for _ in 0..4 {
            call().await?;
        }
        calls += 4;
    }
    Ok(started.elapsed() / calls)
}

fn completed(outcome: Outcome) -> Result<()> {
    match outcome.error {
        Some(error) => Err(error.message.into()),
        None => Ok(()),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// How long a call takes, in the fastest turn and in the median one.
#[derive(Clone, Copy)]
struct Taken {
    fastest: Duration,
    median: Duration,
}

impl Taken {
    fn of(turns: Vec<Duration>) -> Taken {
        Taken { fastest: turns.iter().copied().min().unwrap_or_default(), median: median(turns) }
    }
}

/// How long a call by a peer takes, in each of its turns.
fn peer(name: &str, input: &str) -> Option<Vec<Duration>> {
    let output = Command::new("node")
        .current_dir(folder().join("peers"))
        // isolated-vm cannot load into a Node.js that started from a snapshot.
        .arg("--no-node-snapshot")
        .args(["peers.mjs", "--only", name, "--entry", "validateOrder"])
        .args(["--seconds", PEERS_TURN, "--turn", &TURN.as_secs_f64().to_string()])
        .args(["--input", input, "--script"])
        .arg(folder().join("validate-order.js"))
        .output()
        .ok()?;
    if !output.status.success() {
        eprintln!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let printed = serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()?;
    printed[name]["ns_per_call"].as_array()?.iter().map(|turn| turn.as_u64().map(Duration::from_nanos)).collect()
}

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<()> {
    if is_listing() {
        return Ok(());
    }
    let data = tempfile::tempdir()?;
    // The sandbox alone, as of the peers; benches/serve.rs measures the record too.
    let executions = ExecutionSettings { record: false, ..ExecutionSettings::default() };
    let settings = Settings { data: data.path().to_owned(), executions, ..Settings::default() };
    let started = Instant::now();
    let host = Host::open(settings.clone()).await?;
    let first_start = started.elapsed();
    drop(host);
    let started = Instant::now();
    let host = Host::open(settings).await?;
    let start = started.elapsed();
    let bench = Arc::new(Bench { host, limits: Arc::new(Limits::default()), grant: Arc::default() });
    let order = std::fs::read_to_string(folder().join("order.json"))?;

    println!("start of the host: {:.0} ms without, {:.0} ms with cached machine code\n", ms(first_start), ms(start));
    let validate = bench.program("validate-order.js").await?;
    let fib = bench.program("fib.js").await?;
    let [mut fresh, mut through_host, mut reused, mut fib27] = [const { Vec::new() }; 4];
    let has_peers = folder().join("peers/node_modules").exists();
    if !has_peers {
        eprintln!("the peers are not installed: run `npm install` in benches/peers");
    }
    let mut of_peers = PEERS.map(|name| (name, Vec::new()));
    for _ in 0..ROUNDS {
        for _ in 0..TURNS {
            fresh.push(bench.fresh(&validate, &order, TURN).await?);
            reused.push(bench.reused(&validate, &order, TURN).await?);
            through_host.push(bench.through_host(&validate, &order, TURN).await?);
            fib27.push(bench.fresh(&fib, "27", TURN).await?);
        }
        for (name, turns) in of_peers.iter_mut().filter(|_| has_peers) {
            turns.extend(peer(name, &order).unwrap_or_default());
        }
    }
    let [fresh, through_host, reused, fib27] = [fresh, through_host, reused, fib27].map(Taken::of);
    let of_peers: BTreeMap<&str, Taken> = of_peers
        .into_iter()
        .filter(|(_, turns)| !turns.is_empty())
        .map(|(name, turns)| (name, Taken::of(turns)))
        .collect();
    let two = bench.parallel(&validate, &order, 2).await?;
    let many = bench.parallel(&validate, &order, 64).await?;

    println!("µs a call                               fastest     median");
    let line = |name: &str, taken: Taken| println!("  {name:34} {:10.1} {:10.1}", us(taken.fastest), us(taken.median));
    line("airlock, fresh sandbox per call", fresh);
    line("airlock, the same through the host", through_host);
    line("airlock, reused instance", reused);
    line("airlock, fib(27)", fib27);
    for (name, taken) in &of_peers {
        line(name, *taken);
    }
    println!("calls a second through the host: {two:.0} by 2 tasks, {many:.0} by 64");

    // Loading and compiling.
    let engine = bench.host.engine();
    let text = script(0);
    let mut compiling = Duration::MAX;
    for number in 0..10 {
        let text = script(number);
        let started = Instant::now();
        compile::compile(engine, "script.js", &text, &bench.limits).await?;
        compiling = compiling.min(started.elapsed());
    }
    let count = 1000;
    let mut compiled = Vec::new();
    for number in 0..count {
        compiled.push(compile::compile(engine, "script.js", &script(number), &bench.limits).await?);
    }
    // The first load writes the cache; the figure is that of a cached one.
    for compiled in &compiled {
        Program::from_snapshot(engine, &compiled.snapshot, compiled.description.clone())?;
    }
    let snapshots: Vec<_> = compiled.iter().map(|compiled| compiled.snapshot.len()).collect();
    let before = resident();
    let started = Instant::now();
    let mut programs = Vec::with_capacity(count);
    for compiled in &compiled {
        programs.push(Program::from_snapshot(engine, &compiled.snapshot, compiled.description.clone())?);
    }
    let loading = started.elapsed() / count as u32;
    let order = r#"{"items":[{"price":3,"quantity":4}]}"#;
    for program in &programs {
        bench.host.run(program, bench.run(order)).await?;
    }
    let each = resident().saturating_sub(before) / count;
    println!(
        "\nscripts ({} bytes of source, {} KiB of snapshot)",
        text.len(),
        snapshots.iter().sum::<usize>() / count / 1024
    );
    println!("  compile                             {:9.2} ms", ms(compiling));
    println!("  load, cached                        {:9.3} ms", ms(loading));
    println!("  resident memory, of {count} each      {:9.1} KiB", each as f64 / 1024.0);

    println!("\nratios");
    let ratio = |one: Taken, other: Taken| one.fastest.as_secs_f64() / other.fastest.as_secs_f64();
    println!("  fresh / reused instance                   {}", bar(ratio(fresh, reused), 2.5, true));
    if let Some(context) = of_peers.get("quickjs_new_context") {
        println!("  quickjs-emscripten new context / fresh    {}", bar(ratio(*context, fresh), 5.0, false));
    }
    if let Some(isolate) = of_peers.get("isolated_vm_new_isolate") {
        println!("  isolated-vm new isolate / fresh           {}", bar(ratio(*isolate, fresh), 40.0, false));
    }
    if let Some(fib) = of_peers.get("quickjs_fib27") {
        println!("  fib(27) / quickjs-emscripten              {}", bar(ratio(fib27, *fib), 1.3, true));
    }
    println!("  resident memory of a script, KiB          {}", bar(each as f64 / 1024.0, 350.0, true));
    println!("  load of a cached script, ms               {}", bar(ms(loading), 0.5, true));
    println!("  compile of a 5 KB script, ms              {}", bar(ms(compiling), 30.0, true));
    Ok(())
}
