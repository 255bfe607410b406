//! On both databases, by a clock that stands still until it is moved.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::capabilities::progress::Report;
use crate::queue::Queue;
use crate::runtime::outcome::{self, LimitInfo, ScriptError};
use crate::runtime::trace::Parent;
use crate::scripts::shelf::Places;
use crate::settings::{MetricsSettings, Retention, ScriptKind, ScriptSettings, Settings, TenantSettings};
use crate::store::Kind;
use crate::store::clock::Clock;
use crate::store::fixture::{self, Lasting, on_both_databases};
use crate::store::usage::{self, Room, Usage};
use crate::tenant::{self, Tenant};
use crate::triggers::events::Subscription;

const NOW: Millis = 1_700_000_000_000;
const SECOND: Millis = 1_000;

/// A host's executions.
struct Scene {
    executions: Executions,
    clock: Clock,
}

impl Scene {
    async fn new(kind: Kind) -> Scene {
        Scene::with(Store::fresh(kind).await, Clock::manual(NOW), ExecutionSettings::default())
    }

    fn with(store: Store, clock: Clock, settings: ExecutionSettings) -> Scene {
        let metrics = Arc::new(Metrics::new(&MetricsSettings::default()));
        let store = store.with_clock(clock.clone());
        let queue = Queue::new(store.clone());
        let known = Settings {
            tenants: vec![TenantSettings {
                tenant: Tenant { id: "acme".into(), name: "Acme".into() },
                schema: None,
                seed: None,
                quotas: None,
            }],
            scripts: vec![Arc::new(ScriptSettings {
                name: "listens".into(),
                kind: ScriptKind::Event,
                event: Some(Subscription { events: vec!["execution.failed".into()], ..Subscription::default() }),
                ..ScriptSettings::default()
            })],
            ..Settings::default()
        };
        let places = Arc::new(Places::new(&known));
        let events = Outbox::new(store.clone(), &known, places, queue, metrics.clone());
        let executions = Executions::new(store, settings, metrics, events);
        Scene { executions, clock }
    }

    fn begin(&self, tenant: &str, id: &str, change: impl FnOnce(&mut Identity)) -> Recording {
        let mut identity = Identity::clone(&fixture::identity(tenant));
        identity.execution.id = id.to_owned();
        change(&mut identity);
        self.executions.begin(Arc::new(identity), Origin::default(), None, None)
    }

    fn ran(&self, tenant: &str, id: &str) {
        self.begin(tenant, id, |_| ()).end(&Ok(completed("1")));
    }

    async fn get(&self, tenant: &str, id: &str) -> Option<Execution> {
        self.executions.get(&key(tenant, id)).await.unwrap()
    }

    /// Of which executions the host told that they failed, and how.
    async fn told(&self, tenant: &str) -> Vec<(String, String)> {
        let events = &self.executions.0.events;
        let mut told = Vec::new();
        for event in events.list(tenant, Some("execution.failed"), None, 100).await.unwrap() {
            let event = events.get(tenant, &event.id).await.unwrap().unwrap();
            let data: Value = serde_json::from_str(&event.data).unwrap();
            let text = |member: &str| data["execution"][member].as_str().unwrap().to_owned();
            told.push((text("id"), text("status")));
        }
        told.sort();
        told
    }

    async fn ids(&self, tenant: &str, filter: Filter) -> Vec<String> {
        let listed = self.executions.list(tenant, filter, None, 100).await.unwrap();
        listed.into_iter().map(|execution| execution.id).collect()
    }

    async fn used(&self, tenant: &'static str) -> Usage {
        let used: sqlx::Result<Usage> = self
            .executions
            .0
            .store
            .read(move |connection| Box::pin(usage::of(connection, tenant, Room::Executions)))
            .await;
        used.unwrap()
    }
}

fn key(tenant: &str, id: &str) -> Key {
    Key { tenant: tenant.to_owned(), id: id.to_owned() }
}

fn completed(result: &str) -> Outcome {
    Outcome {
        status: outcome::Status::Completed,
        result: Some(RawValue::from_string(result.to_owned()).unwrap()),
        error: None,
        logs: Vec::new(),
        fuel: 0,
        duration: Duration::from_micros(1234),
        memory_bytes: 0,
        host_calls: 0,
        shows_secret: false,
    }
}

fn failed(status: outcome::Status, error: ScriptError) -> Outcome {
    Outcome { status, result: None, error: Some(error), ..completed("null") }
}

fn write(recording: &Recording, message: &str) {
    let line = RawValue::from_string(json!({ "message": message }).to_string()).unwrap();
    recording.sink(None).unwrap()(&line);
}

fn said(lines: &[Arc<str>]) -> Vec<String> {
    let message =
        |line: &Arc<str>| serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned();
    lines.iter().map(message).collect()
}

async fn how_far_a_call_is_shows_on_every_host(kind: Kind) {
    let (database, clock) = (Lasting::new(kind).await, Clock::manual(NOW));
    let scene = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    let other = Scene::with(database.open().await, clock, ExecutionSettings::default());
    let recording = scene.begin("acme", "long", |_| ());
    let (long, report) = (key("acme", "long"), |done| Report::new(done, Some(3.0), "orders"));
    recording.progress().report(report(1.0));
    assert_eq!(scene.executions.follow(&long, 0, None).await.unwrap(), Followed::Progress(report(1.0)));
    for done in [1.0, 2.0] {
        scene.clock.advance(SECOND);
        recording.progress().report(report(done));
        scene.executions.tick().await;
    }
    assert_eq!(other.executions.follow(&long, 0, None).await.unwrap(), Followed::Progress(report(2.0)));
    let seen = report(2.0);
    recording.progress().report(report(3.0));
    assert_eq!(scene.executions.follow(&long, 0, Some(&seen)).await.unwrap(), Followed::Progress(report(3.0)));
    assert_eq!(scene.get("acme", "long").await.unwrap().progress, Some(json!(report(3.0)).to_string()));
    recording.end(&Ok(completed("1")));
    scene.executions.settle().await;
    assert_eq!(other.executions.follow(&long, 0, Some(&seen)).await.unwrap(), Followed::End("completed".to_owned()));
    assert!(other.get("globex", "long").await.is_none());
}

async fn what_ended_is_on_record(kind: Kind) {
    let scene = Scene::new(kind).await;
    let origin = Origin {
        trigger: Some("http"),
        version: Some(3),
        parent: Parent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        attempt: None,
        progress: Progress::default(),
    };
    let identity = fixture::identity("acme");
    let trace = Trace::of("0190163d-8694-7398-9a53-b2f3ea0b5c1d", origin.parent);
    let recording = scene.executions.begin(identity, origin, trace, None);
    scene.clock.advance(50);
    recording.end(&Ok(completed(r#"{"total":7}"#)));
    let execution = scene.get("acme", "execution-1").await.unwrap();
    assert_eq!(
        execution,
        Execution {
            id: "execution-1".to_owned(),
            script_id: "script-1".to_owned(),
            script: "nightly".to_owned(),
            version: Some(3),
            triggered_by: "http".to_owned(),
            user_id: Some("user-1".to_owned()),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            status: "completed".to_owned(),
            started_at: NOW,
            ended_at: Some(NOW + 50),
            queue_us: Some(0),
            duration_us: Some(1234),
            fuel: Some(0),
            memory_bytes: Some(0),
            host_calls: Some(0),
            error: None,
            result: Some(r#"{"total":7}"#.to_owned()),
            result_bytes: Some(11),
            log_lines: 0,
            job: None,
            attempt: None,
            cause: None,
            progress: None,
        }
    );
    assert_eq!(scene.get("globex", "execution-1").await, None, "it is nobody else's");
    assert!(scene.ids("globex", Filter::default()).await.is_empty());
}

async fn every_end_has_its_status(kind: Kind) {
    let scene = Scene::new(kind).await;
    let error =
        |name: &str| ScriptError { name: name.to_owned(), message: "m".repeat(40_000), ..ScriptError::default() };
    let limit = LimitInfo { name: "memory".into(), value: 1, used: 2, setting: "limits.memory".into() };
    for (id, outcome) in [
        ("failed", Ok(failed(outcome::Status::Failed, error("TypeError")))),
        ("timeout", Ok(failed(outcome::Status::Timeout, error("TimeoutError")))),
        ("limit", Ok(failed(outcome::Status::Limit, ScriptError { limit: Some(limit), ..error("LimitError") }))),
        ("busy", Err(Busy(Duration::from_secs(30)))),
    ] {
        scene.begin("acme", id, |_| ()).end(&outcome);
    }
    // Its caller has left.
    drop(scene.begin("acme", "cancelled", |_| ()));
    for (id, status, name) in [
        ("failed", "failed", "TypeError"),
        ("timeout", "timeout", "TimeoutError"),
        ("limit", "limit", "LimitError"),
        ("busy", "limit", "Busy"),
        ("cancelled", "cancelled", ""),
    ] {
        let execution = scene.get("acme", id).await.unwrap();
        assert_eq!(execution.status, status, "{id}");
        let error = execution.error.unwrap_or_else(|| r#"{"name":""}"#.to_owned());
        assert!(error.len() < 16 << 10);
        assert_eq!(serde_json::from_str::<Value>(&error).unwrap()["name"], name, "{id}");
    }
}

async fn a_large_result_is_not_kept(kind: Kind) {
    let settings = ExecutionSettings { max_result: 10, ..ExecutionSettings::default() };
    let scene = Scene::with(Store::fresh(kind).await, Clock::manual(NOW), settings);
    for (id, result) in [("small", "1234567890"), ("large", "12345678901")] {
        scene.begin("acme", id, |_| ()).end(&Ok(completed(result)));
    }
    let small = scene.get("acme", "small").await.unwrap();
    assert_eq!((small.result.as_deref(), small.result_bytes), (Some("1234567890"), Some(10)));
    let large = scene.get("acme", "large").await.unwrap();
    assert_eq!((large.result, large.result_bytes), (None, Some(11)));
}

async fn lists_are_filtered_and_read_in_parts(kind: Kind) {
    let scene = Scene::new(kind).await;
    for number in 0..100 {
        let id = format!("{number:03}");
        let recording = scene.begin("acme", &id, |identity| {
            identity.script = tenant::Script { name: format!("s{}", number % 3), ..identity.script.clone() };
            identity.execution.triggered_by = if number % 2 == 0 { "cron" } else { "api" }.to_owned();
            identity.user.as_mut().unwrap().id = format!("user-{}", number % 5);
        });
        let failure = || failed(outcome::Status::Failed, ScriptError::default());
        recording.end(&Ok(if number % 10 == 0 { failure() } else { completed("1") }));
        // Several begin at the same time.
        scene.clock.advance(i64::from(number % 4 == 3));
    }
    let of = |keep: fn(usize) -> bool| -> Vec<String> {
        (0..100).rev().filter(|number| keep(*number)).map(|number| format!("{number:03}")).collect()
    };
    let filter = Filter::default;
    assert_eq!(scene.ids("acme", filter()).await, of(|_| true));
    let by_script = Filter { script: Some("s1".into()), ..filter() };
    assert_eq!(scene.ids("acme", by_script).await, of(|number| number % 3 == 1));
    let by_id = Filter { script: Some("script-1".into()), ..filter() };
    assert_eq!(scene.ids("acme", by_id).await.len(), 100);
    let failed = Filter { status: Some(Status::Failed), ..filter() };
    assert_eq!(scene.ids("acme", failed).await, of(|number| number % 10 == 0));
    let trigger = Filter { trigger: Some("cron".into()), user: Some("user-2".into()), ..filter() };
    assert_eq!(scene.ids("acme", trigger).await, of(|number| number % 2 == 0 && number % 5 == 2));
    let then = Filter { since: Some(NOW + 5), until: Some(NOW + 7), ..filter() };
    assert_eq!(scene.ids("acme", then).await, of(|number| (20..28).contains(&number)));
    let hostile = Filter { script: Some("' OR 1=1 --".into()), ..filter() };
    assert!(scene.ids("acme", hostile).await.is_empty());

    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let part = scene.executions.list("acme", filter(), after, 7).await.unwrap();
        let Some(last) = part.last() else { break };
        assert!(part.len() <= 7 && last.result.is_none());
        after = Some((last.started_at, last.id.clone()));
        all.extend(part.into_iter().map(|execution| execution.id));
    }
    assert_eq!(all, of(|_| true));
}

async fn what_runs_long_is_on_record_meanwhile(kind: Kind) {
    let database = Lasting::new(kind).await;
    let clock = Clock::manual(NOW);
    let scene = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    let other = Scene::with(database.open().await, clock, ExecutionSettings::default());
    let recording = scene.begin("acme", "long", |_| ());
    write(&recording, "one");
    scene.executions.tick().await;
    assert_eq!(other.get("acme", "long").await, None, "not yet");
    assert_eq!(scene.get("acme", "long").await.unwrap().status, "running", "here it is known");

    scene.clock.advance(SECOND);
    scene.executions.tick().await;
    let execution = other.get("acme", "long").await.unwrap();
    assert_eq!((execution.status.as_str(), execution.ended_at, execution.log_lines), ("running", None, 1));
    let running = Filter { status: Some(Status::Running), ..Filter::default() };
    assert_eq!(other.ids("acme", running.clone()).await, ["long"]);
    let long = key("acme", "long");
    let from = |after| other.executions.follow(&long, after, None);
    let Ok(Followed::Lines(0, lines)) = from(0).await.map_err(drop) else { panic!("no lines") };
    assert_eq!(said(&lines), ["one"]);

    // What is written later follows.
    write(&recording, "two");
    scene.clock.advance(SECOND);
    scene.executions.tick().await;
    let Ok(Followed::Lines(1, lines)) = from(1).await.map_err(drop) else { panic!("no lines") };
    assert_eq!(said(&lines), ["two"]);

    write(&recording, "three");
    recording.end(&Ok(completed("1")));
    scene.executions.settle().await;
    let execution = other.get("acme", "long").await.unwrap();
    assert_eq!((execution.status.as_str(), execution.log_lines), ("completed", 3));
    let Ok(Followed::Lines(1, lines)) = from(1).await.map_err(drop) else { panic!("no lines") };
    assert_eq!(said(&lines), ["two", "three"], "no line is lost or twice there");
    assert_eq!(from(3).await.unwrap(), Followed::End("completed".to_owned()));
    assert!(other.ids("acme", running).await.is_empty());
    let used = scene.used("acme").await;
    assert_eq!(used.items, 1);
}

async fn another_host_may_stop_what_runs(kind: Kind) {
    let database = Lasting::new(kind).await;
    let clock = Clock::manual(NOW);
    let scene = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    let other = Scene::with(database.open().await, clock, ExecutionSettings::default());
    let (here, there) = (scene.begin("acme", "here", |_| ()), scene.begin("acme", "there", |_| ()));
    let cancel = async |by: &Scene, tenant: &str, id: &str| by.executions.cancel(&key(tenant, id)).await.unwrap();
    assert_eq!(cancel(&scene, "globex", "here").await, Cancelled::Unknown, "not somebody else's");
    assert_eq!(cancel(&scene, "acme", "here").await, Cancelled::Told);
    assert_eq!((here.control().is_cancelled(), there.control().is_cancelled()), (true, false));

    scene.clock.advance(SECOND);
    scene.executions.tick().await;
    assert_eq!(cancel(&other, "globex", "there").await, Cancelled::Unknown);
    assert_eq!(cancel(&other, "acme", "there").await, Cancelled::Told);
    assert!(!there.control().is_cancelled(), "it learns with the next second");
    scene.executions.tick().await;
    assert!(there.control().is_cancelled());
    drop(there);
    scene.executions.settle().await;
    assert_eq!(cancel(&other, "acme", "there").await, Cancelled::Ended);
    assert_eq!(scene.get("acme", "there").await.unwrap().status, "cancelled");
}

async fn what_a_host_left_when_it_died_is_lost(kind: Kind) {
    let database = Lasting::new(kind).await;
    let clock = Clock::manual(NOW);
    let dead = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    let alive = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    let (left, goes_on) = (dead.begin("acme", "left", |_| ()), alive.begin("acme", "goes-on", |_| ()));
    clock.advance(SECOND);
    dead.executions.tick().await;
    alive.executions.tick().await;
    clock.advance(61 * SECOND);
    alive.executions.tick().await;
    alive.executions.note_lost().await.unwrap();
    let lost = alive.get("acme", "left").await.unwrap();
    assert_eq!((lost.status.as_str(), lost.ended_at), ("lost", Some(NOW + SECOND)));
    let running = Filter { status: Some(Status::Running), ..Filter::default() };
    assert_eq!(alive.ids("acme", running).await, ["goes-on"]);
    assert_eq!(alive.told("acme").await, [("left".to_owned(), "lost".to_owned())]);

    // It was only silent.
    left.end(&Ok(completed("1")));
    dead.executions.settle().await;
    assert_eq!(alive.get("acme", "left").await.unwrap().status, "completed");
    drop(goes_on);
}

async fn old_executions_go_and_so_does_what_is_too_much(kind: Kind) {
    let mut settings =
        ExecutionSettings { keep: Duration::from_secs(60), max_per_tenant: 600, ..ExecutionSettings::default() };
    let longer = Retention { keep: Duration::from_secs(100), ..settings.retention("initech") };
    settings.own.insert("initech".to_owned(), longer);
    let scene = Scene::with(Store::fresh(kind).await, Clock::manual(NOW), settings);
    let running = scene.begin("acme", "running", |_| ());
    for number in 0..10 {
        let recording = scene.begin("acme", &format!("old-{number}"), |_| ());
        write(&recording, "a line");
        recording.end(&Ok(completed("1")));
    }
    scene.ran("initech", "kept");
    scene.clock.advance(61 * SECOND);
    scene.ran("acme", "young");
    scene.ran("globex", "young");
    scene.executions.tick().await;
    scene.executions.delete_old().await.unwrap();
    assert_eq!(scene.ids("acme", Filter::default()).await, ["young", "running"]);
    assert_eq!(scene.ids("initech", Filter::default()).await, ["kept"], "it has settings of its own");
    assert_eq!(scene.executions.lines_after(&key("acme", "old-0"), 0).await.unwrap(), [], "with their lines");
    drop(running);

    for number in 0..1300 {
        scene.ran("acme", &format!("many-{number:04}"));
    }
    scene.ran("acme", "zz-last");
    scene.executions.settle().await;
    scene.executions.delete_old().await.unwrap();
    assert_eq!(scene.used("acme").await.items, 600);
    assert_eq!(scene.ids("acme", Filter::default()).await[..2], ["zz-last", "young"]);
    assert_eq!(scene.used("globex").await.items, 1, "one tenant's flood deletes nothing of another's");

    scene.clock.advance(61 * SECOND);
    scene.executions.delete_old().await.unwrap();
    for tenant in ["acme", "globex"] {
        assert_eq!(scene.used(tenant).await, Usage::default(), "{tenant}: nothing is left on the account");
    }
}

async fn bytes_are_bounded_too(kind: Kind) {
    let settings = ExecutionSettings { max_bytes_per_tenant: 100_000, ..ExecutionSettings::default() };
    let scene = Scene::with(Store::fresh(kind).await, Clock::manual(NOW), settings);
    for number in 0..20 {
        let recording = scene.begin("acme", &format!("{number:02}"), |_| ());
        write(&recording, &"x".repeat(10_000));
        recording.end(&Ok(completed("1")));
    }
    scene.executions.settle().await;
    scene.executions.delete_old().await.unwrap();
    let used = scene.used("acme").await;
    assert!((50_000..=100_000).contains(&used.bytes), "{used:?}");
    assert_eq!(scene.ids("acme", Filter::default()).await[0], "19", "the oldest went");
}

async fn a_failing_database_loses_no_more_than_it_must(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.ran("acme", "with\0zero");
    scene.ran("acme", "same");
    scene.ran("acme", "same");
    assert_eq!(scene.ids("acme", Filter::default()).await, ["with\u{fffd}zero", "same"]);
    assert_eq!(scene.used("acme").await.items, 2);
}

async fn what_is_on_record_counts_once_whatever_is_new_beside_it(kind: Kind) {
    let scene = Scene::new(kind).await;
    for part in [["1", "2", "3", "4"], ["3", "4", "5", "6"]] {
        part.iter().for_each(|id| scene.ran("acme", id));
        scene.executions.tick().await;
    }
    let mut ids = scene.ids("acme", Filter::default()).await;
    ids.sort();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"]);
    let one = scene.used("acme").await;
    scene.ran("other", "1");
    scene.executions.tick().await;
    let each = scene.used("other").await;
    assert_eq!(one, Usage { items: 6, bytes: 6 * each.bytes });
}

async fn what_runs_of_several_scripts_is_recorded_together(kind: Kind) {
    let scene = Scene::new(kind).await;
    for n in 0..6 {
        let name = |identity: &mut Identity| {
            identity.script.id = format!("s-{}", n % 3);
            identity.script.name = format!("script {}", n % 3);
        };
        scene.begin("acme", &n.to_string(), name).end(&Ok(completed(&n.to_string())));
    }
    scene.executions.tick().await;
    for n in 0..6 {
        let execution = scene.get("acme", &n.to_string()).await.unwrap();
        let expected = (format!("s-{}", n % 3), format!("script {}", n % 3), Some(n.to_string()));
        assert_eq!((execution.script_id, execution.script, execution.result), expected);
        assert_eq!((execution.status.as_str(), execution.duration_us), ("completed", Some(1234)));
    }
    assert_eq!(scene.used("acme").await.items, 6);
}

async fn what_the_database_refuses_takes_nothing_with_it(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.executions.0.store.refuse("executions", "NEW.id = 'bad'").await;
    ["1", "2", "bad", "3"].iter().for_each(|id| scene.ran("acme", id));
    scene.executions.tick().await;
    let mut ids = scene.ids("acme", Filter::default()).await;
    ids.sort();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(scene.used("acme").await.items, 3);
}

on_both_databases!(
    how_far_a_call_is_shows_on_every_host,
    what_ended_is_on_record,
    every_end_has_its_status,
    a_large_result_is_not_kept,
    lists_are_filtered_and_read_in_parts,
    what_runs_long_is_on_record_meanwhile,
    another_host_may_stop_what_runs,
    what_a_host_left_when_it_died_is_lost,
    old_executions_go_and_so_does_what_is_too_much,
    bytes_are_bounded_too,
    a_failing_database_loses_no_more_than_it_must,
    what_is_on_record_counts_once_whatever_is_new_beside_it,
    what_runs_of_several_scripts_is_recorded_together,
    what_the_database_refuses_takes_nothing_with_it,
    what_scripts_log_is_followed_on_all_hosts,
);

#[tokio::test]
async fn who_follows_sees_a_line_as_it_is_written() {
    let scene = Scene::new(Kind::Sqlite).await;
    let recording = scene.begin("acme", "1", |_| ());
    write(&recording, "one");
    let key = key("acme", "1");
    let Followed::Lines(0, lines) = scene.executions.follow(&key, 0, None).await.unwrap() else { panic!("no lines") };
    assert_eq!(said(&lines), ["one"]);
    let mut next = Box::pin(scene.executions.follow(&key, 1, None));
    assert!(futures_util::poll!(&mut next).is_pending(), "nothing follows yet");
    write(&recording, "two");
    assert!(matches!(next.await.unwrap(), Followed::Lines(1, _)));
    let mut next = Box::pin(scene.executions.follow(&key, 2, None));
    assert!(futures_util::poll!(&mut next).is_pending());
    recording.end(&Ok(completed("1")));
    assert_eq!(next.await.unwrap(), Followed::End("completed".to_owned()));
    let theirs = Key { tenant: "globex".to_owned(), ..key };
    assert_eq!(scene.executions.follow(&theirs, 0, None).await.unwrap(), Followed::Unknown);
}

/// As where the disk does not answer: nothing is taken off the queue.
#[tokio::test]
async fn a_full_queue_drops_lines_first_and_never_waits() {
    let scene = Scene::new(Kind::Sqlite).await;
    let (queue, mut messages) = mpsc::channel(4);
    let load = Load::default();
    for number in 0..6 {
        let mut recording = scene.begin("acme", &number.to_string(), |_| ());
        write(&recording, "a line");
        let running = recording.running.take().unwrap();
        load.send(&queue, Ended::new(running, &Ok(completed("1")), NOW, 100));
    }
    assert_eq!(load.left_out.load(Ordering::Relaxed), 2);
    assert_eq!(load.without_details.load(Ordering::Relaxed), 3);
    let mut kept = HashMap::new();
    while let Ok(Message::Ended(ended)) = messages.try_recv() {
        kept.insert(ended.running.identity.execution.id.clone(), ended.with_lines);
    }
    let expected = [("0", true), ("1", true), ("2", true), ("3", false)];
    assert_eq!(kept, expected.map(|(id, with_lines)| (id.to_owned(), with_lines)).into());
}

#[tokio::test]
async fn without_a_record_all_else_goes_on() {
    let settings = ExecutionSettings { record: false, ..ExecutionSettings::default() };
    let scene = Scene::with(Store::in_memory().await.unwrap(), Clock::manual(NOW), settings);
    let recording = scene.begin("acme", "1", |_| ());
    assert_eq!(scene.executions.cancel(&key("acme", "1")).await.unwrap(), Cancelled::Told);
    assert!(recording.control().is_cancelled());
    scene.clock.advance(5 * SECOND);
    scene.executions.tick().await;
    recording.end(&Ok(completed("1")));
    assert_eq!(scene.get("acme", "1").await, None);
    assert_eq!(scene.used("acme").await, Usage::default());
}

async fn what_scripts_log_is_followed_on_all_hosts(kind: Kind) {
    let (clock, database) = (Clock::manual(NOW), Lasting::new(kind).await);
    let here = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    let there = Scene::with(database.open().await, clock.clone(), ExecutionSettings::default());
    here.ran("acme", "before");
    let long = there.begin("acme", "long", |_| ());
    write(&long, "one");
    clock.advance(2 * SECOND);
    there.executions.tick().await;
    let follow = async |script: Option<&str>| {
        Watch::begin(here.executions.clone(), "acme".into(), script.map(str::to_owned)).await.unwrap()
    };
    let (mut all, mut other) = (follow(None).await, follow(Some("another")).await);
    assert_eq!(all.look().await.unwrap(), [], "what was before is not told");

    let short = here.begin("acme", "short", |_| ());
    write(&short, "two");
    here.begin("globex", "theirs", |_| ()).end(&Ok(completed("1")));
    let told = |watched: Vec<Watched>| {
        let text = |one| match one {
            Watched::Line(line) => said(&[line]).remove(0),
            Watched::End(execution) => format!("{} {}", execution.id, execution.status),
            Watched::Skipped => "skipped".to_owned(),
        };
        watched.into_iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(told(all.look().await.unwrap()), ["two"], "as it is written");
    write(&short, "three");
    short.end(&Ok(completed("1")));
    assert_eq!(told(all.look().await.unwrap()), ["three", "short completed"]);
    // Long after it began, on the other host.
    clock.advance(60 * SECOND);
    write(&long, "four");
    long.end(&Ok(completed("1")));
    there.executions.tick().await;
    assert_eq!(told(all.look().await.unwrap()), ["four", "long completed"]);
    assert_eq!(told(all.look().await.unwrap()), Vec::<String>::new());
    assert_eq!(told(other.look().await.unwrap()), Vec::<String>::new());
    assert!(all.seen.is_empty(), "nothing is remembered for longer than it may be found");
}
