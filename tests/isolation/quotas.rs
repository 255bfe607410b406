//! One tenant's floods, and what they cost the others.

use std::sync::Arc;

use airlock::capabilities::services::{Service, ServiceError};
use airlock::host::{Host, Refused};
use airlock::runtime::outcome::{Outcome, Status};
use airlock::runtime::sandbox::Program;
use airlock::settings::Settings;
use airlock::store::clock::Clock;
use airlock::tenant::Identity;
use airlock::tenant::quota::{Quota, Quotas, Refusal};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::{call, support};

const SCRIPT: &str = "
    async function main({ work, number }) {
        switch (work) {
            case 'wait': return services.gate.pass(number);
            case 'loop': { let n = 0; while (n < number) n++; return n; }
            case 'publish': for (let n = 0; n < number; n++) await events.publish('flood', n);
        }
        return 'done';
    }
";

/// A service that says who is inside, and lets out as many as it is told to.
#[derive(Clone)]
struct Gate {
    inside: mpsc::UnboundedSender<String>,
    out: Arc<Semaphore>,
}

impl Service for Gate {
    fn call<'a>(
        &'a self,
        caller: &'a Identity,
        _: &'a str,
        arguments: Vec<Value>,
    ) -> BoxFuture<'a, Result<Value, ServiceError>> {
        async move {
            let number = arguments.first().cloned().unwrap_or_default();
            self.inside.send(format!("{}{number}", caller.tenant.id)).map_err(ServiceError::internal)?;
            self.out.acquire().await.map_err(ServiceError::internal)?.forget();
            Ok(number)
        }
        .boxed()
    }
}

struct Flood {
    host: Arc<Host>,
    program: Program,
    clock: Clock,
    inside: mpsc::UnboundedReceiver<String>,
    out: Arc<Semaphore>,
    _data: tempfile::TempDir,
}

impl Flood {
    async fn new(sandboxes: u32, quotas: Quotas) -> Flood {
        let data = tempfile::tempdir().unwrap();
        let mut settings = Settings { data: data.path().to_owned(), quotas, ..Settings::default() };
        settings.sandboxes.count = sandboxes;
        let (sender, inside) = mpsc::unbounded_channel();
        let out = Arc::new(Semaphore::new(0));
        let clock = Clock::manual(0);
        let builder = Host::builder(settings).cache(support::cache()).clock(clock.clone());
        let host = builder.service("gate", Gate { inside: sender, out: out.clone() }).open().await.unwrap();
        let program = host.compile("flood.js", SCRIPT).await.unwrap();
        Flood { host: Arc::new(host), program, clock, inside, out, _data: data }
    }

    async fn run(&self, tenant: &str, work: &str, number: u64) -> Result<Outcome, Refused> {
        self.host.run(&self.program, call(tenant, &json!({ "work": work, "number": number }))).await
    }

    /// A call that waits at the gate once it runs. It has asked for a sandbox
    /// when this returns.
    fn enter(&self, tenant: &'static str, number: u64) -> tokio::task::JoinHandle<Result<Outcome, Refused>> {
        let (host, program) = (self.host.clone(), self.program.clone());
        let input = json!({ "work": "wait", "number": number });
        let mut run = async move { host.run(&program, call(tenant, &input)).await }.boxed();
        let refused = (&mut run).now_or_never();
        assert!(refused.is_none(), "{tenant}{number}: {refused:?}");
        tokio::spawn(run)
    }

    /// The next that are inside, in the order of their names.
    async fn next(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.inside.recv().await.expect("the gate is open"));
        }
        names.sort();
        names
    }

    fn count(&self, tenant: &str, quota: Quota) -> u64 {
        let refusals: Vec<Refusal> = self.host.refusals();
        let found = refusals.into_iter().find(|refusal| refusal.tenant == tenant && refusal.quota == quota);
        found.map_or(0, |refusal| refusal.count)
    }
}

fn exceeded(result: Result<Outcome, Refused>) -> (Quota, u64) {
    match result {
        Err(Refused::Quota(exceeded)) => (exceeded.quota, exceeded.retry_after.as_secs()),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_flood_of_long_calls_leaves_others_their_turns() {
    let quotas = Quotas { concurrent_calls: 100, waiting_calls: 5, ..Quotas::default() };
    let mut flood = Flood::new(4, quotas).await;
    let mut calls: Vec<_> = (0..105).map(|number| flood.enter("a", number)).collect();
    assert_eq!(flood.next(3).await, ["a0", "a1", "a2"], "the last sandbox is not the flood's");
    assert_eq!(exceeded(flood.run("a", "wait", 0).await), (Quota::WaitingCalls, 1));
    calls.push(flood.enter("b", 0));
    assert_eq!(flood.next(1).await, ["b0"]);
    calls.push(flood.enter("b", 1));
    calls.push(flood.enter("c", 0));
    // One leaves, and c is next: all others have a sandbox already.
    flood.out.add_permits(1);
    assert_eq!(flood.next(1).await, ["c0"]);
    assert_eq!(flood.count("a", Quota::WaitingCalls), 1);
    assert_eq!((flood.count("b", Quota::WaitingCalls), flood.count("c", Quota::WaitingCalls)), (0, 0));
    flood.out.add_permits(1000);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status, Status::Completed);
    }
}

#[tokio::test]
async fn calls_by_the_minute_are_each_tenants_own() {
    let flood = Flood::new(2, Quotas { calls_per_minute: 3, ..Quotas::default() }).await;
    for _ in 0..3 {
        flood.run("a", "nothing", 0).await.unwrap();
    }
    assert_eq!(exceeded(flood.run("a", "nothing", 0).await), (Quota::CallsPerMinute, 20));
    flood.run("b", "nothing", 0).await.unwrap();
    flood.clock.advance(20_000);
    flood.run("a", "nothing", 0).await.unwrap();
    assert_eq!(flood.count("a", Quota::CallsPerMinute), 1);
}

#[tokio::test]
async fn fuel_by_the_minute_stops_a_call_and_then_refuses_the_next() {
    let flood = Flood::new(2, Quotas { fuel_per_minute: 20_000_000, ..Quotas::default() }).await;
    assert_eq!(flood.run("a", "loop", 10).await.unwrap().status, Status::Completed);
    let stopped = flood.run("a", "loop", 1_000_000_000).await.unwrap();
    assert_eq!(stopped.status, Status::Limit);
    let limit = stopped.error.unwrap().limit.unwrap();
    assert_eq!((limit.name.as_str(), limit.setting.as_str()), ("fuel_per_minute", "quotas.fuel_per_minute"));
    assert_eq!(exceeded(flood.run("a", "nothing", 0).await).0, Quota::FuelPerMinute);
    assert_eq!(flood.run("b", "loop", 10).await.unwrap().status, Status::Completed);
    flood.clock.advance(60_000);
    assert_eq!(flood.run("a", "loop", 10).await.unwrap().status, Status::Completed);
}

#[tokio::test]
async fn leaving_early_is_charged_for() {
    let mut flood = Flood::new(2, Quotas { fuel_per_minute: 1_000_000_000, ..Quotas::default() }).await;
    let account = flood.host.process().quotas.account("a");
    let call = flood.enter("a", 0);
    flood.next(1).await;
    assert_eq!(account.left(Quota::FuelPerMinute), Some(1_000_000_000), "charged at the end");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert!(account.left(Quota::FuelPerMinute).unwrap() < 1_000_000_000);
}

#[tokio::test]
async fn events_by_the_minute_are_counted_over_calls() {
    let flood = Flood::new(2, Quotas { events_per_minute: 6, ..Quotas::default() }).await;
    assert_eq!(flood.run("a", "publish", 5).await.unwrap().status, Status::Completed);
    let stopped = flood.run("a", "publish", 5).await.unwrap();
    assert_eq!(stopped.error.unwrap().limit.unwrap().name, "events_per_minute");
    assert_eq!(flood.run("b", "publish", 5).await.unwrap().status, Status::Completed);
    assert_eq!(flood.host.process().events.list("a", None, None, 100).await.unwrap().len(), 6);
    assert_eq!(flood.count("a", Quota::EventsPerMinute), 1);
    flood.clock.advance(30_000);
    assert_eq!(flood.run("a", "publish", 3).await.unwrap().status, Status::Completed);
}
