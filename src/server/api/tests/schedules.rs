//! Schedules over HTTP.

use super::*;

on_both_databases!(
    a_schedule_is_shown_from_its_beginning_to_its_ticks,
    a_schedule_follows_its_script,
    a_schedule_of_the_settings_is_listed_beside_the_others,
    what_is_no_schedule_is_refused,
);

const HOUR: i64 = 3_600_000;
/// 2027-01-15 08:00 UTC.
const NOW: i64 = 1_800_000_000_000;

const SCRIPT: &str = "export default () => 1";

fn hourly() -> Value {
    json!({ "name": "hourly", "type": "cron", "cron": { "schedule": "0 * * * *" } })
}

async fn settle(host: &Fixture) {
    while host.host.schedules().turn().await.unwrap().is_zero() {}
}

async fn a_schedule_is_shown_from_its_beginning_to_its_ticks(kind: Kind) {
    let host = Fixture::at(kind, "", Clock::manual(NOW)).await;
    host.add(hourly(), &[SCRIPT]).await;
    let schedule = host.get("/api/schedules/hourly").await;
    assert_eq!((&schedule["state"], &schedule["next"], &schedule["last"]), (&json!("off"), &json!([]), &Value::Null));
    host.deploy("hourly", 1).await;
    let schedule = host.get("/api/schedules/hourly").await;
    assert_eq!(schedule["state"], "active");
    let next: Vec<String> = (9..14).map(|hour| format!("2027-01-15T{hour:02}:00:00.000Z")).collect();
    assert_eq!(schedule["next"], json!(next));
    let cron = json!({
        "schedule": "0 * * * *", "timezone": "UTC", "overlap": "skip", "catch_up": "latest", "catch_up_window": null,
        "jitter": null, "attempts": null, "paused": false,
    });
    assert_eq!(schedule["cron"], cron);

    host.clock.advance(4 * HOUR);
    settle(&host).await;
    host.clock.advance(HOUR);
    settle(&host).await;
    let ticks = host.get("/api/schedules/hourly/ticks?limit=3").await;
    let shown: Vec<_> = ticks["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tick| (&tick["tick"], &tick["status"], &tick["reason"]))
        .collect();
    let expected = [
        (json!("2027-01-15T13:00:00.000Z"), json!("skipped"), json!("overlap")),
        (json!("2027-01-15T12:00:00.000Z"), json!("queued"), Value::Null),
        (json!("2027-01-15T11:00:00.000Z"), json!("missed"), json!("superseded")),
    ];
    assert_eq!(shown, expected.iter().map(|(tick, status, reason)| (tick, status, reason)).collect::<Vec<_>>());
    assert_eq!(ticks["items"][0]["detail"], "The run of a tick before it was not done.");
    assert_eq!(ticks["items"][1]["run"]["state"], "waiting");
    let rest = host.get(&format!("/api/schedules/hourly/ticks?after={}", ticks["next"].as_str().unwrap())).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (2, &Value::Null));
    let list = host.get("/api/schedules").await;
    assert_eq!(list["items"][0]["last"], ticks["items"][0]);
}

async fn a_schedule_follows_its_script(kind: Kind) {
    let host = Fixture::at(kind, "", Clock::manual(NOW)).await;
    host.add(hourly(), &[SCRIPT]).await;
    host.deploy("hourly", 1).await;
    let state = async || host.get("/api/schedules/hourly").await["state"].clone();
    let next = async || host.get("/api/schedules/hourly").await["next"][0].clone();
    let post = async |path: &str| {
        let answer = host.ask("ann", "POST", path, Value::Null).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.json);
        answer.json
    };
    for (path, expected) in [
        ("/api/scripts/hourly/disable", "off"),
        ("/api/scripts/hourly/enable", "active"),
        ("/api/schedules/hourly/pause", "paused"),
        ("/api/schedules/hourly/pause", "paused"),
        ("/api/schedules/hourly/resume", "active"),
    ] {
        post(path).await;
        assert_eq!(state().await, expected, "{path}");
    }
    let change = async |cron: Value| {
        let answer = host.ask("ann", "PATCH", "/api/scripts/hourly", json!({ "cron": cron })).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
    };
    change(json!({ "schedule": "30 14 * * *", "timezone": "Asia/Kolkata" })).await;
    assert_eq!(next().await, "2027-01-15T09:00:00.000Z");
    change(json!({ "paused": true })).await;
    assert_eq!(state().await, "paused");
    post("/api/schedules/hourly/resume").await;
    assert_eq!(state().await, "active", "the last word stands");
    change(json!({ "jitter": "1m" })).await;
    assert_eq!(state().await, "active");

    let run = post("/api/schedules/hourly/run").await;
    assert!(run["id"].is_string(), "{run}");
    assert_eq!(host.get("/api/schedules/hourly/ticks").await["items"], json!([]), "that is no tick");
    post("/api/scripts/hourly/disable").await;
    let refused = host.ask("ann", "POST", "/api/schedules/hourly/run", Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "script_disabled"));

    assert_eq!(host.ask("ann", "DELETE", "/api/scripts/hourly", Value::Null).await.status, 204);
    assert_eq!(host.ask("ann", "GET", "/api/schedules/hourly", Value::Null).await.status, 404);
    assert_eq!(host.get("/api/schedules").await["items"], json!([]));
}

async fn a_schedule_of_the_settings_is_listed_beside_the_others(kind: Kind) {
    let more = "[[scripts]]\nname = \"double\"\nfile = \"double.js\"\ntype = \"cron\"\ncron.schedule = \"0 9 * * *\"";
    let host = Fixture::at(kind, more, Clock::manual(NOW)).await;
    host.host.schedules().begin().await.unwrap();
    host.add(hourly(), &[SCRIPT]).await;
    let list = host.get("/api/schedules?limit=1").await;
    assert_eq!((&list["items"][0]["name"], &list["items"][0]["state"]), (&json!("double"), &json!("active")));
    let list = host.get(&format!("/api/schedules?after={}", list["next"].as_str().unwrap())).await;
    assert_eq!(list["items"][0]["name"], "hourly");
    let paused = host.ask("ann", "POST", "/api/schedules/double/pause", Value::Null).await;
    assert_eq!((paused.status.as_u16(), &paused.json["state"]), (200, &json!("paused")));
    // A restart leaves it so.
    host.host.schedules().begin().await.unwrap();
    assert_eq!(host.get("/api/schedules/double").await["state"], "paused");
    assert_eq!(host.get("/api/scripts/double").await["cron"]["schedule"], "0 9 * * *");
}

async fn what_is_no_schedule_is_refused(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    host.add(json!({ "name": "plain", "type": "embedded" }), &[SCRIPT]).await;
    assert_eq!(host.ask("ann", "GET", "/api/schedules/plain", Value::Null).await.status, 404);
    for (cron, field) in [
        (json!({ "schedule": "0 0 30 2 *" }), "cron.schedule"),
        (json!({ "schedule": "0 9 * * *", "timezone": "CEST" }), "cron.timezone"),
        (json!({ "schedule": "0 9 * * *", "overlap": "perhaps" }), "cron.overlap"),
    ] {
        let draft = json!({ "name": "timed", "type": "cron", "cron": cron });
        let refused = host.ask("ann", "POST", "/api/scripts", draft).await;
        assert_eq!((refused.status.as_u16(), &refused.json["field"]), (422, &json!(field)), "{}", refused.json);
    }
}
