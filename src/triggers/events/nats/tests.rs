//! With a real server, where `nats-server` is installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, consumer, stream};
use serde_json::json;
use tempfile::TempDir;

use super::Bridge;
use super::connection::Connection;
use super::outgoing::{LEASE, Sender, claim};
use crate::host::Host;
use crate::settings::Settings;
use crate::store::Kind;
use crate::store::clock::{Clock, Millis};
use crate::store::fixture::{identity, on_both_databases, postgres};
use crate::triggers::events::{Event, New, Publisher};

const NOW: Millis = 1_700_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

on_both_databases!(
    what_is_published_goes_out_once_from_whichever_host,
    what_a_dead_host_had_sent_is_known_to_the_stream,
    what_no_stream_takes_waits_and_holds_nothing_up,
    what_others_send_is_published_once,
    a_server_that_is_away_is_waited_for,
);

/// A server with JetStream, ended with this.
struct Server {
    child: Child,
    url: String,
    folder: TempDir,
}

impl Server {
    /// None where none is installed, which is said.
    async fn start() -> Option<Server> {
        if Command::new("nats-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: there is no nats-server; `apt-get install nats-server` brings it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // Port -1 is any free one.
        let child = spawn(folder.path(), "-1");
        let file = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let mut url = String::new();
        until("the server names its port", async || {
            let ports: Option<serde_json::Value> =
                std::fs::read(&file).ok().and_then(|ports| serde_json::from_slice(&ports).ok());
            url = ports.and_then(|ports| Some(ports["nats"][0].as_str()?.to_owned())).unwrap_or_default();
            !url.is_empty()
        })
        .await;
        Some(Server { child, url, folder })
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Again, at the same address and with what it had.
    fn revive(&mut self) {
        self.child = spawn(self.folder.path(), self.url.rsplit(':').next().unwrap());
    }

    async fn jetstream(&self) -> Context {
        jetstream::new(async_nats::connect(&self.url).await.unwrap())
    }

    /// Makes the streams of both ways.
    async fn streams(&self) -> Context {
        let jetstream = self.jetstream().await;
        for (name, subject) in [("EVENTS", "shop.events.>"), ("INBOX", "shop.inbox.>")] {
            jetstream.create_stream(config(name, subject)).await.unwrap();
        }
        jetstream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, port: &str) -> Child {
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"]).arg(folder).arg("--ports_file_dir").arg(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn config(name: &str, subject: &str) -> stream::Config {
    stream::Config { name: name.to_owned(), subjects: vec![subject.to_owned()], ..stream::Config::default() }
}

/// Hosts that share a database.
struct Scene {
    hosts: Vec<Arc<Host>>,
    clock: Clock,
    _folder: TempDir,
}

impl Scene {
    async fn new(kind: Kind, url: &str, hosts: usize) -> Scene {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
        let store = match kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => format!("[store]\nurl = {:?}", postgres().await),
        };
        let text = format!(
            "tenants = [{{ id = 'a' }}, {{ id = 'b-eu' }}, {{ id = 'few', quotas = {{ events_per_minute = 1 }} }}]
             scripts = [{{ name = 'handler', file = 'handler.js', type = 'event', event = {{ events = ['order.*'] }} }}]
             [events.nats]
             url = '{url}'
             publish = 'shop.events'
             receive = 'shop.inbox'
             stream = 'INBOX'
             consumer = 'airlock'
             {store}"
        );
        let file = folder.path().join("airlock.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("handler.js"), "export default (event) => event.data").unwrap();
        let mut opened = Vec::new();
        for _ in 0..hosts {
            let settings = Settings::load(Some(&file), |_| None).unwrap_or_else(|error| panic!("{error}"));
            let cache = std::env::current_exe().unwrap().with_file_name("airlock-machine-code");
            opened.push(Arc::new(Host::builder(settings).cache(cache).clock(clock.clone()).open().await.unwrap()));
        }
        Scene { hosts: opened, clock, _folder: folder }
    }

    fn bridges(&self) -> Vec<Bridge> {
        (0..self.hosts.len()).map(|host| self.bridge(host)).collect()
    }

    fn bridge(&self, host: usize) -> Bridge {
        Bridge::start(&self.hosts[host]).unwrap().unwrap()
    }

    async fn publish(&self, host: usize, tenant: &str, new: New) -> String {
        let process = self.hosts[host].process();
        let (limits, account) = (&self.hosts[host].settings().limits, process.quotas.account(tenant));
        let publisher = Publisher::script(&identity(tenant));
        process.events.publish(tenant, limits, &account, publisher, new).await.unwrap().id
    }

    async fn events(&self, tenant: &str) -> Vec<Event> {
        let mut events = self.hosts[0].process().events.list(tenant, None, None, 1000).await.unwrap();
        events.reverse();
        events
    }

    /// How many are to be sent.
    async fn waiting(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM outgoing").await
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let count: sqlx::Result<i64> = self.hosts[0]
            .store()
            .read(move |connection| Box::pin(async move { sqlx::query_scalar(sql).fetch_one(connection).await }))
            .await;
        count.unwrap()
    }

    /// Of all hosts together.
    fn measured(&self, way: &str, state: &str) -> u64 {
        let line = format!("airlock_nats_events_total{{way=\"{way}\",state=\"{state}\"}} ");
        let of = |host: &Arc<Host>| {
            host.metrics().lines().find_map(|known| known.strip_prefix(&line)?.parse::<u64>().ok()).unwrap_or_default()
        };
        self.hosts.iter().map(of).sum()
    }
}

fn event(name: &str, data: impl Into<serde_json::Value>) -> New {
    New { name: name.to_owned(), data: data.into().to_string(), ..New::default() }
}

async fn stop(bridges: Vec<Bridge>) {
    for bridge in bridges {
        bridge.stop(PATIENCE).await;
    }
}

async fn messages(jetstream: &Context, stream: &str) -> u64 {
    jetstream.get_stream(stream).await.unwrap().cached_info().state.messages
}

/// Waits for something, and fails where it does not come.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

async fn what_is_published_goes_out_once_from_whichever_host(kind: Kind) {
    let Some(server) = Server::start().await else { return };
    let jetstream = server.streams().await;
    let scene = Scene::new(kind, &server.url, 2).await;
    let first = scene.publish(0, "b-eu", event("order.created", json!({ "total": 7 }))).await;
    let bridges = scene.bridges();
    for number in 0..300 {
        let tenant = if number % 3 == 0 { "a" } else { "b-eu" };
        scene.publish(number % 2, tenant, event("order.paid", number)).await;
    }
    let delayed = New { delay: Some(3600.0), ..event("odd..name", 1) };
    scene.publish(0, "a", delayed).await;
    until("all but the delayed one are sent", async || scene.waiting().await == 1).await;
    assert_eq!(messages(&jetstream, "EVENTS").await, 301);
    scene.clock.advance(3600 * 1000);
    until("the delayed one is sent", async || scene.waiting().await == 0).await;
    stop(bridges).await;

    let stream = jetstream.get_stream("EVENTS").await.unwrap();
    let mut subjects = std::collections::BTreeMap::new();
    for number in 1..=302 {
        let message = stream.get_raw_message(number).await.unwrap();
        *subjects.entry(message.subject.to_string()).or_insert(0) += 1;
        if number == 1 {
            let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
            assert_eq!(header(NATS_MESSAGE_ID.as_ref()), Some(&*first));
            assert_eq!(header("Airlock-Occurred-At"), Some("2023-11-14T22:13:20.000Z"));
            assert_eq!(header("Airlock-Depth"), Some("0"));
            assert_eq!(message.payload, r#"{"total":7}"#);
        }
    }
    let expected = [
        ("shop.events.a.odd%2E%2Ename", 1),
        ("shop.events.a.order.paid", 100),
        ("shop.events.b-eu.order.created", 1),
        ("shop.events.b-eu.order.paid", 200),
    ];
    assert_eq!(subjects, expected.map(|(subject, count)| (subject.to_owned(), count)).into());
    assert_eq!((scene.measured("out", "sent"), scene.measured("out", "known")), (302, 0));
}

fn sender(scene: &Scene, server: &Server) -> Sender {
    let connection = Connection::new(vec![server.url.parse().unwrap()], None).unwrap();
    Sender::new(Arc::new(connection), scene.hosts[0].process(), "shop.events".to_owned())
}

async fn what_a_dead_host_had_sent_is_known_to_the_stream(kind: Kind) {
    let Some(server) = Server::start().await else { return };
    let jetstream = server.streams().await;
    let scene = Scene::new(kind, &server.url, 1).await;
    for number in 0..3 {
        scene.publish(0, "a", event("order.created", number)).await;
    }
    // It sends two of three, and dies before it has noted that.
    let taken = claim(scene.hosts[0].store()).await.unwrap();
    for event in &taken[..2] {
        let message = PublishMessage::build().message_id(&event.id).payload("1".into());
        jetstream.send_publish("shop.events.a.order.created", message).await.unwrap().await.unwrap();
    }
    let sender = sender(&scene, &server);
    assert_eq!(sender.send_some().await, Ok(0), "another host may be at it");
    scene.clock.advance(LEASE.as_millis() as Millis);
    assert_eq!(sender.send_some().await, Ok(3));
    assert_eq!((messages(&jetstream, "EVENTS").await, scene.waiting().await), (3, 0));
    assert_eq!((scene.measured("out", "sent"), scene.measured("out", "known")), (1, 2));
}

async fn what_no_stream_takes_waits_and_holds_nothing_up(kind: Kind) {
    let Some(server) = Server::start().await else { return };
    let scene = Scene::new(kind, &server.url, 1).await;
    let sender = sender(&scene, &server);
    scene.publish(0, "a", event("bill.created", "x".repeat(2000))).await;
    let small = scene.publish(0, "a", event("bill.created", 1)).await;
    let reason = sender.send_some().await.unwrap_err();
    assert!(reason.contains("no stream has the subjects `shop.events.>`"), "{reason}");
    // An event that waits to be sent is not deleted.
    scene.clock.advance(30 * 24 * 3600 * 1000);
    scene.hosts[0].process().events.delete_old().await.unwrap();
    assert_eq!((scene.waiting().await, scene.events("a").await.len()), (2, 2));

    let jetstream = server.jetstream().await;
    let narrow = stream::Config { max_message_size: 1000, ..config("EVENTS", "shop.events.a.>") };
    jetstream.create_stream(narrow).await.unwrap();
    scene.publish(0, "b-eu", event("bill.created", 1)).await;
    assert_eq!(sender.send_some().await, Ok(3), "what goes is not held up by what does not");
    assert_eq!(scene.waiting().await, 1, "what no stream has is tried again");
    assert_eq!(sender.send_some().await, Ok(0), "and not at once");
    assert_eq!((scene.measured("out", "refused"), scene.measured("out", "failed")), (1, 3));
    let stream = jetstream.get_stream("EVENTS").await.unwrap();
    let only = stream.get_raw_message(1).await.unwrap();
    assert_eq!(only.headers.get(NATS_MESSAGE_ID).unwrap().as_str(), small);
    scene.hosts[0].process().events.delete_old().await.unwrap();
    assert!(scene.events("a").await.is_empty());
}

async fn what_others_send_is_published_once(kind: Kind) {
    let Some(server) = Server::start().await else { return };
    let jetstream = server.streams().await;
    let scene = Scene::new(kind, &server.url, 2).await;
    let send = async |subject: &str, id: &str, depth: &str, data: &[u8]| {
        let mut message = PublishMessage::build().payload(data.to_vec().into());
        if !id.is_empty() {
            message = message.message_id(id);
        }
        if !depth.is_empty() {
            message = message.header("Airlock-Depth", depth);
        }
        jetstream.send_publish(format!("shop.inbox.{subject}"), message).await.unwrap().await.unwrap();
    };
    // A host counts a tenant's quota alone: the second comes later.
    for number in 0..2 {
        send("few.order.created", &format!("few-{number}"), "", b"1").await;
    }
    let mut bridges = vec![scene.bridge(0)];
    until("one is taken and one put off", async || {
        (scene.events("few").await.len(), scene.measured("in", "put_off")) == (1, 1)
    })
    .await;
    bridges.push(scene.bridge(1));
    until("both hosts wait for more", async || {
        let found: Result<consumer::PullConsumer, _> = jetstream.get_consumer_from_stream("airlock", "INBOX").await;
        found.unwrap().cached_info().num_waiting == 2
    })
    .await;

    let long = "i".repeat(500);
    for (subject, id, depth, data) in [
        ("a.order.created", "one", "", br#"{"total":7}"#.as_slice()),
        ("a.order.created", "two", "3", b"1"),
        ("b-eu.odd%2E%2Ename", "other", "", b"2"),
        ("a.order.created", "", "", b""),
        ("a.order.created", &long, "nonsense", b"3"),
    ] {
        send(subject, id, depth, data).await;
    }
    // What can never be an event.
    for (number, (subject, depth, data)) in [
        ("a", "", b"1".as_slice()),
        ("nobody.order.created", "", b"1"),
        ("a.script.created", "", b"1"),
        ("a.b%20c", "", b"1"),
        ("a.%ff", "", b"1"),
        ("a.order.created", "", b"{"),
        ("a.order.created", "", b"\"\xff\""),
        ("a.order.created", "4000000000", b"1"),
        ("a.order.created", "", "1".repeat(1_000_000).as_bytes()),
    ]
    .into_iter()
    .enumerate()
    {
        send(subject, &format!("bad-{number}"), depth, data).await;
    }
    until("all is taken", async || {
        let taken = (scene.events("a").await.len(), scene.events("b-eu").await.len(), scene.measured("in", "refused"));
        taken == (4, 1, 9)
    })
    .await;
    // As another stream, or a sender that does not know whether it has sent it.
    jetstream.delete_stream("INBOX").await.unwrap();
    jetstream.create_stream(config("INBOX", "shop.inbox.>")).await.unwrap();
    send("a.order.created", "one", "", br#"{"total":7}"#).await;
    until("it is taken again", async || scene.measured("in", "known") == 1).await;
    stop(bridges).await;

    let mut known: Vec<_> = scene.events("a").await.into_iter().map(|event| (event.execution, event.depth)).collect();
    let hashed = known.iter().position(|(id, _)| id.len() == 64).expect("a long id is hashed");
    known.remove(hashed);
    known.sort();
    assert_eq!(known, [("INBOX:6".to_owned(), 0), ("one".to_owned(), 0), ("two".to_owned(), 4)]);
    let events = scene.events("a").await;
    let event = events.iter().find(|event| event.execution == "two").unwrap();
    assert_eq!((event.source.as_str(), event.cause.as_deref()), ("nats", Some("two")));
    assert_eq!(scene.count("SELECT COUNT(*) FROM jobs").await, 5, "a handler's each");
    assert_eq!(scene.waiting().await, 0, "what came from there does not go back");
    assert_eq!((scene.measured("in", "published"), scene.measured("in", "refused")), (6, 9));
}

async fn a_server_that_is_away_is_waited_for(kind: Kind) {
    let Some(mut server) = Server::start().await else { return };
    drop(server.streams().await);
    server.kill();
    let scene = Scene::new(kind, &server.url, 1).await;
    let bridges = scene.bridges();
    scene.publish(0, "a", event("order.created", 1)).await;
    server.revive();
    until("it is sent", async || scene.waiting().await == 0).await;
    server.kill();
    scene.publish(0, "a", event("order.created", 2)).await;
    server.revive();
    until("the other is sent", async || scene.waiting().await == 0).await;
    let jetstream = server.jetstream().await;
    let message = PublishMessage::build().message_id("one").payload("1".into());
    jetstream.send_publish("shop.inbox.a.order.created", message).await.unwrap().await.unwrap();
    until("what came meanwhile is taken", async || scene.events("a").await.len() == 3).await;
    stop(bridges).await;
    assert_eq!(messages(&jetstream, "EVENTS").await, 2);
}
