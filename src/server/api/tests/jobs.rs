//! What is queued: runs that nobody waits for, and what becomes of them.

use super::*;
use crate::queue::Workers;

on_both_databases!(
    what_nobody_waits_for_is_done_by_whatever_host_lives,
    what_is_to_run_at_a_time_can_be_taken_back,
    a_dead_letter_is_replayed_or_discarded,
    a_tenant_queues_no_more_than_its_quota,
);

const APP: &str = "
    [[users]]
    id = 'app'
    tenant = 'acme'
    permissions = ['Script.Execute', 'Script.Execution.Read', 'orders.*']
    token = 'app'";

const SOURCE: &str = "
    export default (input) => {
        if (input === 'throw') throw new TypeError('never');
        const { user, execution } = context;
        return { input, by: user.id, permissions: user.permissions, trigger: execution.triggeredBy };
    };
    export const other = () => 'other';";

impl Fixture {
    async fn queue(&self, body: Value) -> String {
        let answer = self.ask("app", "POST", "/api/scripts/a/run", body).await;
        assert_eq!(answer.status, 202, "{}", answer.json);
        let id = answer.json["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.headers["location"], format!("/api/executions/{id}"));
        id
    }

    /// What is known of an execution once it has ended.
    async fn ended(&self, id: &str) -> Value {
        loop {
            let execution = self.get(&format!("/api/executions/{id}")).await;
            if !execution["ended_at"].is_null() {
                return execution;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn status(&self, method: &str, path: &str) -> (u16, String) {
        let answer = self.ask("ann", method, path, Value::Null).await;
        (answer.status.as_u16(), answer.json["code"].as_str().unwrap_or_default().to_owned())
    }
}

async fn host(kind: Kind, more: &str) -> Fixture {
    let host = Fixture::on(kind, &format!("{APP}\n{more}")).await;
    host.add(json!({ "name": "a", "type": "oneoff" }), &[SOURCE, "export default () => 'new'"]).await;
    host.deploy("a", 1).await;
    host
}

async fn what_nobody_waits_for_is_done_by_whatever_host_lives(kind: Kind) {
    let accepting = host(kind, "").await;
    let id = accepting.queue(json!({ "wait": false, "input": 7 })).await;
    let other = accepting.queue(json!({ "wait": false, "entry": "other" })).await;
    let execution = accepting.get(&format!("/api/executions/{id}")).await;
    assert_eq!((&execution["status"], &execution["script"]["name"]), (&json!("waiting"), &json!("a")));
    let job = accepting.get(&format!("/api/jobs/{id}")).await;
    let shown = ["state", "trigger", "user", "version", "attempt", "attempts"].map(|member| job[member].clone());
    assert_eq!(shown, [json!("waiting"), json!("api"), json!("app"), json!(1), json!(0), json!(1)]);
    // What is deployed later is not what was asked for.
    accepting.deploy("a", 2).await;

    let working = accepting.another().await;
    drop(accepting);
    let workers = Workers::start(working.host.clone());
    let execution = working.ended(&id).await;
    let shown = ["status", "version", "job", "attempt", "user"].map(|member| execution[member].clone());
    assert_eq!(shown, [json!("completed"), json!(1), json!(id), json!(1), json!("app")]);
    let permissions = json!(["Script.Execute", "Script.Execution.Read", "orders.*"]);
    let result = json!({ "input": 7, "by": "app", "permissions": permissions, "trigger": "api" });
    assert_eq!(execution["result"], result);
    assert_eq!(working.ended(&other).await["result"], "other");
    workers.stop(std::time::Duration::from_secs(30)).await;
    assert_eq!(working.get("/api/jobs").await["items"], json!([]));
    assert_eq!(working.get(&format!("/api/executions?job={id}")).await["items"][0]["id"], json!(id));
    assert_eq!(working.status("GET", &format!("/api/jobs/{id}")).await, (404, "not_found".into()));
}

async fn what_is_to_run_at_a_time_can_be_taken_back(kind: Kind) {
    let host = host(kind, "").await;
    let at = "2999-01-05T09:30:00+02:00";
    let later = host.queue(json!({ "at": at, "attempts": 3, "priority": -5 })).await;
    let now = host.queue(json!({ "at": "2020-01-01T00:00:00Z" })).await;
    let job = host.get(&format!("/api/jobs/{later}")).await;
    let shown = ["state", "trigger", "run_at", "version", "attempts", "priority"].map(|member| job[member].clone());
    let run_at = json!("2999-01-05T07:30:00.000Z");
    assert_eq!(shown, [json!("delayed"), json!("oneoff"), run_at, Value::Null, json!(3), json!(-5)]);
    let ids = async |query: &str| {
        let list = host.get(&format!("/api/jobs{query}")).await;
        list["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [now.clone(), later.clone()]);
    assert_eq!(ids("?state=delayed").await, std::slice::from_ref(&later));
    assert_eq!(ids("?trigger=cron").await, [""; 0]);
    let first = host.get("/api/jobs?limit=1").await;
    assert_eq!(ids(&format!("?after={}", first["next"].as_str().unwrap())).await, std::slice::from_ref(&later));

    let path = format!("/api/jobs/{later}");
    for method in ["GET", "DELETE"] {
        assert_eq!(host.ask("gus", method, &path, Value::Null).await.status, 404, "another tenant");
    }
    assert_eq!(host.status("POST", &format!("{path}/replay")).await, (409, "job_not_dead".into()));
    assert_eq!(host.status("DELETE", &path).await.0, 204);
    assert_eq!(host.status("DELETE", &path).await.0, 404);
    // By the id that was answered, as an execution.
    assert_eq!(host.status("POST", &format!("/api/executions/{now}/cancel")).await.0, 202);
    assert_eq!(ids("").await, [""; 0]);

    let whole = host.queue(json!({ "at": at, "attempts": 3.0, "priority": -5e0 })).await;
    let job = host.get(&format!("/api/jobs/{whole}")).await;
    assert_eq!((&job["attempts"], &job["priority"]), (&json!(3), &json!(-5)), "JSON has one kind of numbers");
    for (body, field) in [
        (json!({ "at": "tomorrow" }), "at"),
        (json!({ "at": at, "wait": true }), "wait"),
        (json!({ "attempts": 2 }), "wait"),
        (json!({ "wait": false, "attempts": 0 }), "attempts"),
        // No database takes that.
        (json!({ "wait": false, "entry": "a\0b" }), "entry"),
        (json!({ "wait": false, "attempts": 101 }), "attempts"),
        (json!({ "wait": false, "attempts": 2.5 }), "attempts"),
        (json!({ "wait": false, "attempts": 1e300 }), "attempts"),
        (json!({ "wait": false, "attempts": "2" }), "attempts"),
        (json!({ "wait": false, "priority": i64::MIN }), "priority"),
    ] {
        let refused = host.ask("app", "POST", "/api/scripts/a/run", body.clone()).await;
        assert_eq!((refused.status.as_u16(), &refused.json["field"]), (422, &json!(field)), "{body}");
    }
}

async fn a_dead_letter_is_replayed_or_discarded(kind: Kind) {
    let host = host(kind, "[queue]\nattempts = 2\nbackoff = '1ms'").await;
    let workers = Workers::start(host.host.clone());
    let id = host.queue(json!({ "wait": false, "input": "throw" })).await;
    let path = format!("/api/jobs/{id}");
    let dead = async || loop {
        let job = host.get(&path).await;
        if job["state"] == "dead" {
            return job;
        }
        tokio::task::yield_now().await;
    };
    let job = dead().await;
    assert_eq!((&job["attempt"], &job["error"]), (&json!(1), &json!({ "name": "TypeError", "message": "never" })));
    assert_eq!(host.status("POST", &format!("{path}/replay")).await.0, 202);
    // As often as the settings say.
    loop {
        if dead().await["attempt"] == 3 {
            break;
        }
    }
    let attempts = host.get(&format!("/api/executions?job={id}")).await;
    let attempts: Vec<_> = attempts["items"].as_array().unwrap().iter().map(|one| one["attempt"].clone()).collect();
    assert_eq!(attempts.len(), 3);
    // Whoever may stop executions may not discard it.
    assert_eq!(host.ask("app", "DELETE", &path, Value::Null).await.code(), "permission_missing");
    assert_eq!(host.status("POST", &format!("/api/executions/{id}/cancel")).await, (409, "execution_ended".into()));
    assert_eq!(host.status("DELETE", &path).await.0, 204);
    workers.stop(std::time::Duration::from_secs(30)).await;
    let text = host.host.metrics();
    for line in [r#"airlock_job_attempts_total{state="failed"} 3"#, "airlock_dead_letters_total 2"] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
}

async fn a_tenant_queues_no_more_than_its_quota(kind: Kind) {
    let host = host(kind, "[quotas]\njobs = 1\njob_bytes = '2KiB'").await;
    let large =
        host.ask("app", "POST", "/api/scripts/a/run", json!({ "wait": false, "input": "x".repeat(2048) })).await;
    assert_eq!((large.status.as_u16(), large.code()), (429, "quota_exceeded"), "{}", large.json);
    host.queue(json!({ "wait": false })).await;
    let refused = host.ask("app", "POST", "/api/scripts/a/run", json!({ "wait": false })).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "quota_exceeded"), "{}", refused.json);
    assert_eq!(host.get("/api/jobs").await["items"].as_array().unwrap().len(), 1);
    host.host.queue().count().await.unwrap();
    let text = host.host.metrics();
    assert!(text.lines().any(|line| line == r#"airlock_jobs{state="waiting"} 1"#), "{text}");
}
