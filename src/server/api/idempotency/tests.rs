//! What is sent twice, on a real host.

use serde_json::{Value, json};

use crate::queue::Workers;
use crate::server::api::tests::{Answer, Fixture};
use crate::store::Kind;
use crate::store::fixture::on_both_databases;

on_both_databases!(
    what_is_sent_twice_is_done_once,
    a_key_is_one_requests_and_one_users,
    a_run_happens_once,
    what_was_not_done_may_be_tried_again,
    what_a_dead_host_began_is_done_again_or_said_to_be_unknown,
    what_is_queued_twice_is_done_once,
    a_tokens_secret_is_not_kept_in_the_clear,
    a_tenant_is_remembered_so_much,
);

impl Fixture {
    async fn post(&self, user: &str, key: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.send(user, "POST", path, &headers, body.to_string()).await
    }

    /// As though the host had died after all that was done for the tenant, and
    /// before it was noted.
    async fn forget_answers(&self) {
        let done: sqlx::Result<()> = self
            .host
            .store()
            .write("acme", |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE idempotent_requests SET busy_until = 1, status = NULL, body = NULL")
                        .execute(connection)
                        .await
                        .map(drop)
                })
            })
            .await;
        done.unwrap();
    }
}

fn replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

async fn what_is_sent_twice_is_done_once(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let draft = json!({ "name": "a", "type": "embedded" });
    let first = host.post("ann", "one", "/api/scripts", &draft).await;
    assert_eq!((first.status.as_u16(), replayed(&first)), (201, false), "{}", first.text);
    let second = host.another().await.post("ann", "one", "/api/scripts", &draft).await;
    assert_eq!((second.status.as_u16(), replayed(&second)), (201, true), "on another host too");
    assert_eq!(second.text, first.text);
    for header in ["location", "content-type"] {
        assert_eq!(second.headers[header], first.headers[header]);
    }
    assert_ne!(second.headers["x-execution-id"], first.headers["x-execution-id"], "that one is the request's");
    let taken = host.post("ann", "two", "/api/scripts", &draft).await;
    assert_eq!(taken.code(), "name_taken");
    let again = host.post("ann", "two", "/api/scripts", &draft).await;
    assert_eq!((again.text.clone(), replayed(&again)), (taken.text, true), "a refusal stays as well");
}

async fn a_key_is_one_requests_and_one_users(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let draft = |name: &str| json!({ "name": name, "type": "embedded" });
    assert_eq!(host.post("ann", "key", "/api/scripts", &draft("a")).await.status, 201);
    let other = host.post("ann", "key", "/api/scripts", &draft("b")).await;
    assert_eq!((other.status.as_u16(), other.code()), (422, "idempotency_key_reused"));
    let other = host.post("ann", "key", "/api/scripts/a/disable", &Value::Null).await;
    assert_eq!(other.code(), "idempotency_key_reused");
    assert_eq!(host.post("gus", "key", "/api/scripts", &draft("b")).await.status, 201, "another tenant's");
    assert_eq!(host.post("nobody", "key", "/api/scripts", &draft("a")).await.status, 403, "another user's");
    for bad in ["", &"x".repeat(256)] {
        assert_eq!(host.post("ann", bad, "/api/scripts", &draft("c")).await.code(), "bad_header", "{bad}");
    }
    let twice = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(host.send("ann", "POST", "/api/scripts", &twice, "{}".to_owned()).await.code(), "bad_header");
}

const COUNTS: &str = "// @airlock capabilities: storage
    export default async (input) => {
        const count = await storage.increment('count');
        if (input === 'throw') throw new Error('no');
        return count;
    }";

async fn a_run_happens_once(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    host.add(json!({ "name": "count", "type": "embedded" }), &[COUNTS]).await;
    host.deploy("count", 1).await;
    for (key, path, body, status) in [
        ("a", "/api/scripts/count/invoke", json!("x"), 200),
        ("b", "/api/scripts/count/run", json!({}), 200),
        ("c", "/api/scripts/count/invoke", json!("throw"), 422),
    ] {
        let first = host.post("ann", key, path, &body).await;
        let second = host.post("ann", key, path, &body).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16(), replayed(&second)), (status, status, true));
        assert_eq!(second.text, first.text);
    }
    let one = json!("x");
    let (one, other) = tokio::join!(
        host.post("ann", "d", "/api/scripts/count/invoke", &one),
        host.post("ann", "d", "/api/scripts/count/invoke", &one),
    );
    let ran = [&one, &other].into_iter().filter(|answer| answer.status == 200 && !replayed(answer)).count();
    assert_eq!(ran, 1, "{} {}", one.text, other.text);
    let busy = [one, other].into_iter().find(|answer| answer.status == 409);
    assert!(busy.is_none_or(|busy| busy.code() == "idempotency_in_progress" && busy.headers["retry-after"] == "1"));
    assert_eq!(host.ask("ann", "POST", "/api/scripts/count/invoke", Value::Null).await.json, 5);
}

async fn what_was_not_done_may_be_tried_again(kind: Kind) {
    let host = Fixture::on(kind, "[quotas]\ncalls_per_minute = 1").await;
    host.add(json!({ "name": "count", "type": "embedded" }), &[COUNTS]).await;
    host.deploy("count", 1).await;
    let invoke = async |key: &str| host.post("ann", key, "/api/scripts/count/invoke", &json!("x")).await;
    assert_eq!(invoke("a").await.status, 200);
    for _ in 0..2 {
        let refused = invoke("b").await;
        assert_eq!((refused.status.as_u16(), replayed(&refused)), (429, false));
    }
    assert!(replayed(&invoke("a").await), "needs no quota");
}

async fn what_a_dead_host_began_is_done_again_or_said_to_be_unknown(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let draft = json!({ "name": "count", "type": "embedded" });
    let made = host.post("ann", "a", "/api/scripts", &draft).await;
    let version = host.post("ann", "b", "/api/scripts/count/versions", &json!({ "source": COUNTS })).await;
    host.deploy("count", 1).await;
    let token = json!({ "name": "ci", "scopes": ["Script.Read"] });
    let lost = host.post("ann", "c", "/api/tokens", &token).await;
    let ran = host.post("ann", "d", "/api/scripts/count/invoke", &json!(1)).await;
    assert_eq!(
        (made.status, version.status, lost.status, ran.status.as_u16()),
        (made.status, made.status, made.status, 200)
    );
    host.forget_answers().await;

    let again = host.post("ann", "a", "/api/scripts", &draft).await;
    assert_eq!((again.status.as_u16(), &again.json["id"]), (201, &made.json["id"]));
    let again = host.post("ann", "b", "/api/scripts/count/versions", &json!({ "source": COUNTS })).await;
    assert_eq!((again.status.as_u16(), &again.json["number"]), (200, &json!(1)));
    let again = host.post("ann", "c", "/api/tokens", &token).await;
    assert_eq!((again.status.as_u16(), &again.json["id"]), (201, &lost.json["id"]));
    let bearer = |answer: &Answer| answer.json["token"].as_str().unwrap().to_owned();
    assert_eq!(host.ask(&bearer(&again), "GET", "/api/scripts", Value::Null).await.status, 200);
    assert_eq!(host.get("/api/tokens").await["items"].as_array().unwrap().len(), 1);
    for _ in 0..2 {
        let unknown = host.post("ann", "d", "/api/scripts/count/invoke", &json!(1)).await;
        assert_eq!((unknown.status.as_u16(), unknown.code()), (409, "outcome_unknown"));
    }
    assert_eq!(host.ask("ann", "POST", "/api/scripts/count/invoke", Value::Null).await.json, 2, "it ran once");
}

/// Before it is done, and after.
async fn what_is_queued_twice_is_done_once(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    host.add(json!({ "name": "count", "type": "embedded" }), &[COUNTS]).await;
    host.deploy("count", 1).await;
    let cron = json!({ "name": "nightly", "type": "cron", "cron": { "schedule": "0 0 1 1 *" } });
    host.add(cron, &[COUNTS]).await;
    host.deploy("nightly", 1).await;
    let on_order = json!({ "name": "on-order", "type": "event", "event": { "events": ["order.*"] } });
    host.add(on_order, &[COUNTS]).await;
    host.deploy("on-order", 1).await;
    let requests = [
        ("a", "/api/scripts/count/run", json!({ "wait": false, "input": 1 })),
        ("b", "/api/scripts/count/run", json!({ "at": "2026-01-05T09:30:00Z", "input": 1 })),
        ("c", "/api/schedules/nightly/run", Value::Null),
        ("d", "/api/events", json!({ "name": "order.created" })),
        ("e", "/api/events", json!({ "name": "order.paid", "dedup_key": "7" })),
        ("f", "/api/events", json!({ "name": "order.paid", "dedup_key": "7" })),
    ];
    let send = async || {
        let mut answers = Vec::new();
        for (key, path, body) in &requests {
            let answer = host.post("ann", key, path, body).await;
            answers.push((answer.status.as_u16(), answer.json, answer.headers["location"].clone()));
        }
        answers
    };
    let first = send().await;
    assert_eq!(first.iter().map(|(status, ..)| *status).collect::<Vec<_>>(), [202, 202, 202, 202, 202, 200]);
    host.forget_answers().await;
    assert_eq!(send().await, first, "while they wait");
    assert_eq!(host.get("/api/jobs").await["items"].as_array().unwrap().len(), 5);

    let workers = Workers::start(host.host.clone());
    while host.get("/api/jobs").await["items"] != json!([]) {
        tokio::task::yield_now().await;
    }
    host.forget_answers().await;
    assert_eq!(send().await, first, "once they are done");
    assert_eq!(host.get("/api/jobs").await["items"], json!([]));
    workers.stop(std::time::Duration::from_secs(30)).await;
    assert_eq!(host.get("/api/events").await["items"].as_array().unwrap().len(), 2);
    assert_eq!(host.ask("ann", "POST", "/api/scripts/count/invoke", Value::Null).await.json, 6, "each ran once");
}

async fn a_tokens_secret_is_not_kept_in_the_clear(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let new = json!({ "name": "ci", "scopes": ["*"] });
    let made = host.post("ann", "a", "/api/tokens", &new).await;
    let token = made.json["token"].as_str().unwrap();
    assert_eq!(host.post("ann", "a", "/api/tokens", &new).await.text, made.text);
    let bodies: sqlx::Result<Vec<Vec<u8>>> = host
        .host
        .store()
        .read(|connection| {
            Box::pin(
                async move { sqlx::query_scalar("SELECT body FROM idempotent_requests").fetch_all(connection).await },
            )
        })
        .await;
    let bodies = bodies.unwrap();
    assert_eq!(bodies.len(), 1);
    assert!(!String::from_utf8_lossy(&bodies[0]).contains("token"), "{bodies:?}");
    // The same user with the same permissions, and other credentials.
    let other = host.post(token, "a", "/api/tokens", &new).await;
    assert_eq!((other.status.as_u16(), other.code()), (409, "answer_not_kept"));
}

async fn a_tenant_is_remembered_so_much(kind: Kind) {
    let host = Fixture::on(kind, "[quotas]\nidempotent_requests = 1").await;
    host.add(json!({ "name": "a", "type": "embedded" }), &[]).await;
    assert_eq!(host.post("ann", "a", "/api/scripts/a/disable", &Value::Null).await.status, 200);
    assert_eq!(host.post("ann", "b", "/api/scripts/a/enable", &Value::Null).await.code(), "quota_exceeded");
    assert_eq!(host.post("gus", "b", "/api/scripts/a/enable", &Value::Null).await.code(), "not_found");
}
