use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::capabilities::secrets::Name;
use crate::host::Run;
use crate::runtime::limits::Limits;
use crate::server::api::tests::Fixture;
use crate::store::Kind;
use crate::store::fixture::on_both_databases;
use crate::tenant::{self, Identity, Tenant, User};

on_both_databases!(
    a_secret_that_a_script_shows_is_not_on_record,
    each_route_needs_its_permission,
    an_execution_shows_what_came_of_it_to_its_tenant_alone,
    a_list_is_read_in_parts,
    a_log_is_read_to_its_end_from_any_line,
    what_runs_is_followed_and_stopped,
    what_was_done_is_measured,
    a_quiet_stream_stays_open,
);

/// A user who may read executions, and one who may stop them.
const USERS: &str = r#"
[[users]]
id = "reader"
tenant = "acme"
permissions = ["Script.Execution.Read"]
token = "reader"

[[users]]
id = "runner"
tenant = "acme"
permissions = ["Script.Execute"]
token = "runner"
"#;

const SCRIPT: &str = "export async function main(input) {
    console.log('one');
    if (input === 'throw') throw new TypeError('no');
    if (input === 'wait') await new Promise((resolve) => setTimeout(resolve, 25_000));
    console.warn('two', { n: 2 });
    return { input };
}";

fn identity(id: &str) -> Identity {
    Identity {
        tenant: Tenant { id: "acme".into(), name: "Acme".into() },
        user: Some(User { id: "ann".into(), ..User::default() }),
        script: tenant::Script {
            id: "s-1".into(),
            name: "nightly".into(),
            kind: "cron".into(),
            file: "nightly.js".into(),
        },
        execution: tenant::Execution { id: id.into(), triggered_by: "cron".into(), cause: None },
    }
}

async fn run(fixture: &Fixture, id: &str, input: Value) {
    let program = fixture.host.compile("nightly.js", SCRIPT).await.unwrap();
    let run = Run { input: Some(input.to_string()), ..Run::new(identity(id)) };
    fixture.host.run(&program, run).await.unwrap();
}

async fn each_route_needs_its_permission(kind: Kind) {
    let host = Fixture::on(kind, USERS).await;
    run(&host, "1", json!(7)).await;
    for (method, path, allowed) in [
        ("GET", "/api/executions", "reader"),
        ("GET", "/api/executions/1", "reader"),
        ("GET", "/api/executions/1/logs", "reader"),
        ("POST", "/api/executions/1/cancel", "runner"),
    ] {
        assert_eq!(host.ask("", method, path, Value::Null).await.status, 401, "{path}");
        for user in ["nobody", "reader", "runner"] {
            let answer = host.ask(user, method, path, Value::Null).await;
            match user == allowed {
                // What has ended can't be stopped.
                true => assert!(matches!(answer.status.as_u16(), 200 | 409), "{user} {path}: {}", answer.json),
                false => {
                    assert_eq!((answer.status.as_u16(), answer.code()), (403, "permission_missing"), "{user} {path}")
                }
            }
        }
    }
}

async fn an_execution_shows_what_came_of_it_to_its_tenant_alone(kind: Kind) {
    let host = Fixture::on(kind, USERS).await;
    run(&host, "1", json!({ "a": [1, null] })).await;
    run(&host, "2", json!("throw")).await;
    let one = host.ask("reader", "GET", "/api/executions/1", Value::Null).await.json;
    assert_eq!(one["script"], json!({ "id": "s-1", "name": "nightly" }));
    assert_eq!(
        [&one["status"], &one["trigger"], &one["user"], &one["version"], &one["log_lines"], &one["error"]],
        [&json!("completed"), &json!("cron"), &json!("ann"), &Value::Null, &json!(2), &Value::Null]
    );
    assert_eq!(one["result"], json!({ "input": { "a": [1, null] } }));
    for measure in ["fuel", "memory_bytes", "duration_ms"] {
        assert!(one[measure].as_f64().is_some_and(|measure| measure > 0.0), "{measure}: {one}");
    }
    let two = host.ask("reader", "GET", "/api/executions/2", Value::Null).await.json;
    assert_eq!(
        (&two["status"], &two["error"]["name"], &two["error"]["line"]),
        (&json!("failed"), &json!("TypeError"), &json!(3))
    );
    let list = host.ask("reader", "GET", "/api/executions?status=failed&script=nightly", Value::Null).await.json;
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["id"]), (1, &json!("2")));

    assert_eq!(host.ask("gus", "GET", "/api/executions", Value::Null).await.json["items"], json!([]));
    for (method, path) in [("GET", "1"), ("GET", "1/logs"), ("POST", "1/cancel"), ("GET", "3"), ("GET", "%00")] {
        let answer = host.ask("gus", method, &format!("/api/executions/{path}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{path}");
    }
}

async fn a_list_is_read_in_parts(kind: Kind) {
    let host = Fixture::on(kind, USERS).await;
    for id in ["1", "2", "3"] {
        run(&host, id, json!(1)).await;
    }
    let first = host.ask("reader", "GET", "/api/executions?limit=2", Value::Null).await.json;
    let next = first["next"].as_str().unwrap();
    let second = host.ask("reader", "GET", &format!("/api/executions?limit=2&after={next}"), Value::Null).await.json;
    assert_eq!(second["next"], Value::Null);
    let items = [&first, &second].map(|part| part["items"].as_array().unwrap().clone()).concat();
    let mut ids: Vec<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
    // Those of one millisecond are in the order of their ids.
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "3"]);
    for query in ["status=asleep", "since=yesterday", "until=2026", "limit=0", "after=nonsense"] {
        let answer = host.ask("reader", "GET", &format!("/api/executions?{query}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_query"), "{query}");
    }
}

/// The events of a stream, as (event, id, data).
fn events(text: &str) -> Vec<(String, String, Value)> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start().to_owned()
    };
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data:")).unwrap();
            (field(block, "event:"), field(block, "id:"), data)
        })
        .collect()
}

async fn a_log_is_read_to_its_end_from_any_line(kind: Kind) {
    let host = Fixture::on(kind, USERS).await;
    run(&host, "1", json!(1)).await;
    let logs = async |headers: &[(&str, &str)]| {
        let answer = host.send("reader", "GET", "/api/executions/1/logs", headers, String::new()).await;
        (answer.status, answer.text)
    };
    let (status, text) = logs(&[]).await;
    let all = events(&text);
    assert_eq!(status, StatusCode::OK);
    let shown: Vec<_> = all.iter().map(|(event, id, data)| (event.as_str(), id.as_str(), &data["message"])).collect();
    assert_eq!(shown, [("line", "1", &json!("one")), ("line", "2", &json!("two")), ("end", "", &Value::Null)]);
    assert_eq!((&all[1].2["n"], &all[1].2["level"]), (&json!(2), &json!("warn")));
    assert_eq!(all[2].2, json!({ "status": "completed" }));
    assert_eq!(events(&logs(&[("last-event-id", "1")]).await.1), all[1..]);
    assert_eq!(events(&logs(&[("last-event-id", "99")]).await.1), all[2..]);
    assert_eq!(logs(&[("last-event-id", "-1")]).await.0, StatusCode::BAD_REQUEST);
}

async fn what_runs_is_followed_and_stopped(kind: Kind) {
    let host = Arc::new(Fixture::on(kind, USERS).await);
    let running = tokio::spawn({
        let host = host.clone();
        async move { run(&host, "1", json!("wait")).await }
    });
    // It is under way once it has logged its first line.
    let executions = host.host.executions();
    let key = crate::executions::Key { tenant: "acme".into(), id: "1".into() };
    loop {
        match executions.follow(&key, 0, None).await.unwrap() {
            crate::executions::Followed::Lines(..) => break,
            _ => tokio::task::yield_now().await,
        }
    }
    let one = host.ask("reader", "GET", "/api/executions/1", Value::Null).await.json;
    assert_eq!((&one["status"], &one["ended_at"], &one["log_lines"]), (&json!("running"), &Value::Null, &json!(1)));
    let follows = tokio::spawn({
        let host = host.clone();
        async move { host.send("reader", "GET", "/api/executions/1/logs", &[], String::new()).await.text }
    });
    assert_eq!(host.ask("runner", "POST", "/api/executions/1/cancel", Value::Null).await.status, 202);
    running.await.unwrap();
    let followed = events(&follows.await.unwrap());
    assert_eq!(followed.last().unwrap().2, json!({ "status": "cancelled" }));
    let one = host.ask("reader", "GET", "/api/executions/1", Value::Null).await.json;
    assert_eq!((&one["status"], &one["error"]["name"]), (&json!("cancelled"), &json!("CancelledError")));
    assert!(one["fuel"].as_i64().is_some_and(|fuel| fuel > 0), "what it burnt counts");
    let again = host.ask("runner", "POST", "/api/executions/1/cancel", Value::Null).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "execution_ended"));
}

async fn what_was_done_is_measured(kind: Kind) {
    let host = Fixture::on(kind, USERS).await;
    run(&host, "1", json!(1)).await;
    host.host.executions().settle().await;
    let text = host.host.metrics();
    let line = r#"airlock_executions_total{tenant="acme",script="nightly",trigger="cron",status="completed"} 1"#;
    assert!(text.lines().any(|other| other == line), "{text}");
}

async fn a_secret_that_a_script_shows_is_not_on_record(kind: Kind) {
    const SECRET: &str = "hunter2-hunter2-hunter2";
    let keys = format!("[secrets]\nkeys = [{{ id = \"k1\", key = \"{}\" }}]\n", "ab".repeat(32));
    let host = Fixture::on(kind, &keys).await;
    let name: Name = "KEY".parse().unwrap();
    host.host.process().secrets.set("acme", &name, SECRET, &Limits::default()).await.unwrap();
    let draft = json!({ "name": "leaky", "type": "embedded", "grants": { "secrets": ["KEY"] } });
    let source = "export default async (fails) => {
        const key = await secrets.get('KEY');
        console.log(`it is ${key}`, { key });
        if (fails) throw new Error(key);
        return { key };
    }";
    host.add(draft, &[source]).await;
    host.deploy("leaky", 1).await;
    for fails in [false, true] {
        let run = host.ask("ann", "POST", "/api/scripts/leaky/run", json!({ "input": fails })).await.json;
        assert_eq!(run["status"], if fails { "failed" } else { "completed" }, "{run}");
        let path = format!("/api/executions/{}", run["id"].as_str().unwrap());
        let record = host.get(&path).await;
        assert_eq!((&record["result"], &record["log_lines"], &record["version"]), (&Value::Null, &json!(1), &json!(1)));
        let logs = host.send("ann", "GET", &format!("{path}/logs"), &[], String::new()).await.text;
        assert!(logs.contains("it is "), "{logs}");
        assert!(!format!("{record}{logs}").contains("hunter2"), "{record}{logs}");
    }
}

/// Longer than the listener lets a connection be silent.
async fn a_quiet_stream_stays_open(kind: Kind) {
    let host = Fixture::on(kind, "[server]\nlisten = '127.0.0.1:0'\nheader_timeout = '300ms'").await;
    let server = crate::server::Server::bind(host.host.clone()).await.unwrap();
    let address = server.address();
    tokio::spawn(server.run(std::future::pending()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /api/logs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ann\r\n\r\n").await.unwrap();
    let (mut said, mut buffer) = (String::new(), [0; 1024]);
    // Each says that it lives, and each comes after a third of that time.
    while said.matches(":\n\n").count() < 7 {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the stream was closed after {said:?}");
        said.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}
