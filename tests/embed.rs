//! The library as an application uses it: a host of its own, with services in
//! Rust.

mod support;

#[allow(dead_code)]
#[path = "../examples/embed.rs"]
mod example;

use std::sync::Arc;

use airlock::capabilities::grant::Operator;
use airlock::capabilities::services::{Service, ServiceError};
use airlock::host::{self, Host, Run};
use airlock::runtime::limits::Limits;
use airlock::runtime::outcome::Status;
use airlock::settings::{ServiceSettings, Settings};
use airlock::tenant::{Execution, Identity, Permissions, Script, Tenant, User};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

#[tokio::test]
async fn the_example_runs() {
    let data = tempfile::tempdir().unwrap();
    support::share_cache(data.path());
    let orders = [2, 9].map(|quantity| json!({ "article": "tent", "quantity": quantity }));
    let answers = example::run(data.path(), &orders).await.unwrap();
    assert_eq!(answers, [r#"{"reserved":2,"left":3}"#, r#"{"reserved":0,"reason":"there are not 9 of tent"}"#]);
}

/// Does what its method says.
struct Probe;

impl Service for Probe {
    fn call<'a>(
        &'a self,
        caller: &'a Identity,
        method: &'a str,
        arguments: Vec<Value>,
    ) -> BoxFuture<'a, Result<Value, ServiceError>> {
        async move {
            match method {
                "who" => Ok(json!([caller.tenant.id, caller.user.as_ref().map(|user| &user.permissions), arguments])),
                "refuse" => Err(ServiceError::new("sold_out", "there is none left")),
                "fail" => Err(ServiceError::internal("the password is hunter2")),
                "panic" => panic!("the password is hunter2"),
                "flood" => Ok(json!("x".repeat(2000))),
                "never" => std::future::pending().await,
                _ => Err(ServiceError::unknown_method(method, &["who", "refuse", "fail", "panic", "flood", "never"])),
            }
        }
        .boxed()
    }
}

const SCRIPT: &str = "
    async function main([method, ...rest]) {
        return await services.probe[method](...rest);
    }
    async function caught(method) {
        try {
            await services.probe[method]();
        } catch ({ name, message, code, status }) {
            return [name, message, code, status];
        }
    }
";

fn identity() -> Identity {
    let permissions = Permissions::new(["stock.view".into()]);
    Identity {
        tenant: Tenant { id: "acme".into(), name: "Acme".into() },
        user: Some(User { id: "maya".into(), permissions, ..User::default() }),
        script: Script { id: "probe".into(), name: "probe".into(), kind: "embedded".into(), file: "probe.js".into() },
        execution: Execution { id: "1".into(), triggered_by: "api".into(), cause: None },
    }
}

async fn open(settings: Settings) -> anyhow::Result<Host> {
    Host::builder(settings).cache(support::cache()).service("probe", Probe).open().await
}

#[tokio::test]
async fn a_service_of_the_application_answers_and_fails_as_it_says() {
    let data = tempfile::tempdir().unwrap();
    let host = open(Settings { data: data.path().to_owned(), ..Settings::default() }).await.unwrap();
    let program = host.compile("probe.js", SCRIPT).await.unwrap();
    let limits = Limits { service_bytes: 1000, timeout: 500, ..Limits::default() };
    let grant = Arc::new(host::grant(&program, Operator::Developer).unwrap());
    let run = |entry: &str, input: Value| Run {
        limits: limits.clone().into(),
        grant: grant.clone(),
        entry: Some(entry.into()),
        input: Some(input.to_string()),
        ..Run::new(identity())
    };
    let denied = Run { grant: Arc::default(), ..run("main", json!(["who"])) };
    let error = host.run(&program, denied).await.unwrap().error.unwrap();
    assert_eq!(error.name, "PermissionDenied");
    assert!(error.message.starts_with("this script is not granted the service probe"), "{}", error.message);
    let outcome = host.run(&program, run("main", json!(["who", 1, { "a": null }]))).await.unwrap();
    assert_eq!(outcome.result.unwrap().get(), r#"["acme",["stock.view"],[1,{"a":null}]]"#);

    for (method, name, message, code) in [
        ("refuse", "ServiceError", "there is none left", json!("sold_out")),
        ("fail", "ServiceError", "the service failed; the host's log has the reason", json!("internal")),
        (
            "refues",
            "ServiceError",
            "there is no method `refues`; did you mean `refuse`? There are: who, refuse, fail, panic, flood, never",
            json!("unknown_method"),
        ),
        ("panic", "InternalError", "the service `probe` failed; the host's log has the reason", Value::Null),
        (
            "flood",
            "LimitError",
            "the limit on service bytes is 1000B, and this call used 2KiB; the setting limits.service_bytes changes it",
            Value::Null,
        ),
    ] {
        let outcome = host.run(&program, run("caught", json!(method))).await.unwrap();
        let result: Value = serde_json::from_str(outcome.result.unwrap().get()).unwrap();
        assert_eq!(result, json!([name, message, code, null]), "{method}");
    }
    let uncaught = host.run(&program, run("main", json!(["refuse"]))).await.unwrap();
    let error = uncaught.error.unwrap();
    assert_eq!((uncaught.status, error.name.as_str(), error.line), (Status::Failed, "ServiceError", Some(3)));
    let late = host.run(&program, run("main", json!(["never"]))).await.unwrap();
    assert_eq!(late.status, Status::Timeout);
}

#[tokio::test]
async fn a_name_is_one_services() {
    let data = tempfile::tempdir().unwrap();
    let mut settings = Settings { data: data.path().to_owned(), ..Settings::default() };
    settings.services.insert("probe".into(), ServiceSettings::default());
    let error = open(settings).await.err().unwrap();
    assert_eq!(error.to_string(), "there is a service `probe` in the settings already");
}
