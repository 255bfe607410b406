//! The examples run: those of this repository, and those of the reference,
//! unchanged, where they are there.
//!
//! `AIRLOCK_REFERENCE` names the reference's folder, `../shared/reference` by
//! default.

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A copy of the shop with data of its own, so that no run sees another's.
struct Shop(tempfile::TempDir);

struct Done {
    outcome: Value,
    status: i32,
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts-examples")
}

/// A file of the reference. None, with a word of it, where the folder is absent.
fn reference(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AIRLOCK_REFERENCE").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference"));
    let folder = root.join("examples");
    if folder.is_dir() {
        Some(folder.join(file))
    } else {
        eprintln!("{file} is skipped: {} is not there", folder.display());
        None
    }
}

impl Shop {
    fn open() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        support::share_cache(folder.path());
        Shop(folder)
    }

    fn run(&self, script: &Path, context: &str, more: &[&str]) -> Done {
        let context = format!("@{}", examples().join(format!("inputs/context-{context}.json")).display());
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_airlock"))
            .arg("run")
            .arg(script)
            .arg("--config")
            .arg(examples().join("airlock.toml"))
            .arg("--data")
            .arg(self.0.path())
            .args(["--context", &context, "--json"])
            .args(more)
            .env_remove("SCRIPT_TIMEOUT_SECONDS")
            .output()
            .unwrap();
        let outcome = serde_json::from_slice(&stdout).unwrap_or_else(|error| {
            panic!("{error}: {} {}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
        });
        Done { outcome, status: status.code().unwrap() }
    }

    /// Runs an example of this repository.
    fn example(&self, script: &str, context: &str, input: Option<&str>) -> Value {
        let input = input.map(|input| match input.starts_with(['{', '[']) {
            true => input.to_owned(),
            false => format!("@{}", examples().join("inputs").join(input).display()),
        });
        let more: Vec<&str> = input.iter().flat_map(|input| ["--input", input.as_str()]).collect();
        self.run(&examples().join(script), context, &more).completed()
    }

    /// One value of the host's own database.
    fn count(&self, sql: &str) -> i64 {
        let store = rusqlite::Connection::open(self.0.path().join("airlock.db")).unwrap();
        store.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Done {
    #[track_caller]
    fn completed(&self) -> Value {
        assert_eq!((self.status, &self.outcome["status"]), (0, &"completed".into()), "{:#}", self.outcome);
        self.outcome["result"].clone()
    }

    fn logs(&self) -> Vec<&str> {
        self.outcome["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect()
    }
}

#[test]
fn every_example_is_tested() {
    let mut names: Vec<_> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".js"))
        .collect();
    names.sort();
    let tested = [
        "daily-takings.js",
        "data-sync.js",
        "hello.js",
        "report-generator.js",
        "send-notifications.js",
        "validation-rules.js",
        "webhook-processor.js",
    ];
    assert_eq!(names, tested, "a new example needs a test here");
}

#[test]
fn hello() {
    let shop = Shop::open();
    let answer = shop.example("hello.js", "acme", None);
    assert_eq!(answer["body"]["message"], "Hello, Maya Lindqvist of Acme Outdoor!");
    let answer = shop.example("hello.js", "globex", Some(r#"{"query": {"greeting": "Ahoy"}}"#));
    assert_eq!(answer["body"]["message"], "Ahoy, Inês Carvalho of Globex Kitchen Supply!");
}

#[test]
fn report_generator() {
    let shop = Shop::open();
    let report = shop.example("report-generator.js", "acme", Some("report-request.json"));
    assert_eq!(report["status"], 200);
    assert_eq!(
        (&report["body"]["summary"]["orders"], &report["body"]["summary"]["revenue"]),
        (&14.into(), &4883.45.into())
    );
    assert_eq!(report["body"]["period"], json!({ "start": "2024-01-01", "end": "2024-01-31", "days": 31 }));

    let other = shop.example("report-generator.js", "globex", Some("report-request.json"));
    assert_eq!(other["body"]["tenant"], "Globex Kitchen Supply");
    assert_ne!(other["body"]["summary"]["revenue"], report["body"]["summary"]["revenue"]);

    let refused = shop.example("report-generator.js", "acme-warehouse", Some("report-request.json"));
    assert_eq!(refused["status"], 403);
    let wrong = shop.example("report-generator.js", "acme", Some(r#"{"query": {"start": "2024-02-30"}}"#));
    assert_eq!(wrong["status"], 400);
    let csv = shop.example(
        "report-generator.js",
        "acme",
        Some(r#"{"query": {"start": "2024-01-01", "end": "2024-01-31", "group": "month", "format": "csv"}}"#),
    );
    assert_eq!(csv["body"], "period,orders,revenue\r\n2024-01,14,4883.45\r\n");
}

#[test]
fn webhook_processor() {
    let shop = Shop::open();
    let forged = shop.example("webhook-processor.js", "acme", Some("webhook-forged.json"));
    assert_eq!(forged["status"], 401);
    let wrong = shop.example("webhook-processor.js", "acme", Some("webhook-wrong-amount.json"));
    assert_eq!(wrong["status"], 422);
    let paid = shop.example("webhook-processor.js", "acme", Some("webhook-request.json"));
    assert_eq!((&paid["status"], &paid["body"]["status"]), (&200.into(), &"paid".into()));
    let again = shop.example("webhook-processor.js", "acme", Some("webhook-request.json"));
    assert_eq!((&again["status"], &again["body"]["duplicate"]), (&200.into(), &true.into()));
    assert_eq!(shop.count("SELECT count(*) FROM outbox WHERE tenant = 'acme'"), 1);
    // The other tenant has another secret.
    let other = shop.example("webhook-processor.js", "globex", Some("webhook-request.json"));
    assert_eq!(other["status"], 401);
}

#[test]
fn daily_takings() {
    let shop = Shop::open();
    let first = shop.example("daily-takings.js", "acme", Some("invoice-paid-event.json"));
    assert_eq!(first, json!({ "total": 420, "again": false }));
    let again = shop.example("daily-takings.js", "acme", Some("invoice-paid-event.json"));
    assert_eq!(again, json!({ "total": 420, "again": true }));
    let other = shop.example("daily-takings.js", "globex", Some("invoice-paid-event.json"));
    assert_eq!(other["again"], false);
}

#[test]
fn send_notifications() {
    let shop = Shop::open();
    let planned = shop.example("send-notifications.js", "acme", Some(r#"{"days": 90, "dryRun": true}"#));
    let notified = planned["notified"].as_i64().unwrap();
    assert!(notified > 0, "{planned}");
    assert_eq!(shop.count("SELECT count(*) FROM emails"), 0);
    let sent = shop.example("send-notifications.js", "acme", Some(r#"{"days": 90}"#));
    assert_eq!(sent["notified"], notified);
    assert_eq!(shop.count("SELECT count(*) FROM emails WHERE tenant = 'acme'"), notified);
    assert_eq!(shop.count("SELECT count(*) FROM outbox WHERE name = 'client.reminded'"), notified);
    // Nobody hears twice.
    let again = shop.example("send-notifications.js", "acme", Some(r#"{"days": 90}"#));
    assert_eq!(again["notified"], 0);
    assert_eq!(shop.count("SELECT count(*) FROM emails"), notified);
}

#[test]
fn data_sync() {
    let shop = Shop::open();
    // The only host that it may speak to is not one that answers, and no other
    // is reached.
    let done =
        shop.run(&examples().join("data-sync.js"), "acme", &["--input", r#"{"url": "https://other.example/feed"}"#]);
    assert_eq!((done.status, &done.outcome["error"]["name"]), (1, &"PermissionDenied".into()), "{:#}", done.outcome);
}

#[test]
fn validation_rules() {
    let shop = Shop::open();
    let valid = shop.example("validation-rules.js", "acme", Some("order-valid.json"));
    assert_eq!(valid, json!({ "valid": true, "errors": [] }));
    let invalid = shop.example("validation-rules.js", "acme", Some("order-invalid.json"));
    assert_eq!((&invalid["valid"], invalid["errors"].as_array().unwrap().len()), (&false.into(), 4), "{invalid:#}");
    let malformed = shop.example("validation-rules.js", "acme", Some("order-malformed.json"));
    assert_eq!(malformed["valid"], false);
    let client = shop.run(
        &examples().join("validation-rules.js"),
        "acme",
        &["--entry", "validateClient", "--input", r#"{"name": "", "email": "nobody"}"#],
    );
    assert_eq!(client.completed()["errors"].as_array().unwrap().len(), 2);
}

#[test]
fn reference_catch_timeout() {
    let Some(script) = reference("catch-timeout.js") else { return };
    let done = Shop::open().run(&script, "acme", &["--timeout", "300ms"]);
    done.completed();
    assert_eq!(done.logs(), ["Script timeout"]);
}

#[test]
fn reference_sales_report() {
    let Some(script) = reference("sales-report.js") else { return };
    let shop = Shop::open();
    let input = r#"{"query": {"start": "2024-01-01", "end": "2024-01-31"}}"#;
    let report = shop.run(&script, "acme", &["--input", input]).completed();
    assert_eq!(report["status"], 200);
    let summary = &report["body"]["summary"];
    assert_eq!((&summary["total_orders"], &summary["days_included"]), (&13.into(), &9.into()));
    assert!((summary["total_revenue"].as_f64().unwrap() - 4823.65).abs() < 0.005, "{summary}");
    assert_eq!(shop.run(&script, "acme-warehouse", &["--input", input]).completed()["status"], 403);
}

#[test]
fn reference_send_notifications() {
    let Some(script) = reference("send-notifications.js") else { return };
    let shop = Shop::open();
    let done = shop.run(&script, "acme", &[]);
    let result = done.completed();
    let (processed, notified) = (result["processed"].as_i64().unwrap(), result["notified"].as_i64().unwrap());
    assert!(result["success"] == true && notified > 0 && notified <= processed, "{result}");
    assert_eq!(shop.count("SELECT count(*) FROM emails WHERE tenant = 'acme' AND subject = 'We miss you!'"), notified);
    assert_eq!(shop.count("SELECT count(*) FROM outbox WHERE tenant = 'acme' AND name = 'client.notified'"), notified);
    assert_eq!(done.logs()[0], "Running notification job for tenant: Acme Outdoor");
}

#[test]
fn reference_structured_logging() {
    let Some(script) = reference("structured-logging.js") else { return };
    let done = Shop::open().run(&script, "acme", &[]);
    done.completed();
    let line = &done.outcome["logs"][0];
    let expected = [
        ("message", "User action"),
        ("level", "info"),
        ("action", "create"),
        ("tenant_id", "acme"),
        ("user_id", "5f0c3a52-8d1e-4b67-9a54-2c7be1d0f361"),
        ("source_file", "structured-logging.js"),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{line}");
    }
}

#[test]
fn reference_update_analytics() {
    let Some(script) = reference("update-analytics.js") else { return };
    let shop = Shop::open();
    let event = format!("@{}", examples().join("inputs/order-created-event.json").display());
    let first = shop.run(&script, "acme", &["--input", &event]);
    first.completed();
    assert_eq!(first.logs(), ["Updated sales cache: 1 orders, $687.5"]);
    let second = shop.run(&script, "acme", &["--input", &event]);
    assert_eq!(second.logs(), ["Updated sales cache: 2 orders, $1375"]);
    let other = shop.run(&script, "globex", &["--input", &event]);
    assert_eq!(other.logs(), ["Updated sales cache: 1 orders, $687.5"]);
}

#[test]
fn reference_validate_order() {
    let Some(script) = reference("validate-order.js") else { return };
    let shop = Shop::open();
    let input = |name: &str| format!("@{}", examples().join("inputs").join(name).display());
    let valid = shop.run(&script, "acme", &["--input", &input("order-valid.json")]).completed();
    assert_eq!(valid, json!({ "valid": true, "errors": [] }));
    let invalid = shop.run(&script, "acme", &["--input", &input("order-invalid.json")]).completed();
    assert_eq!(invalid["valid"], false);
    assert_eq!(
        invalid["errors"],
        json!(["Insufficient stock for Rain Jacket", "Product not found: 999", "Order exceeds credit limit"])
    );
}
