//! The management API on a real host, asked through its router.

mod calls;
mod events;
mod jobs;
mod permissions;
mod schedules;
mod scripts;
mod tokens;
mod webhooks;

use axum::body::Body as Content;
use axum::http::{Method, Request as HttpRequest, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::server::router as whole;
use crate::settings::Settings;
use crate::store::Kind;
use crate::store::clock::Clock;
use crate::store::fixture::{on_both_databases, postgres};

on_both_databases!(only_a_known_token_is_let_in, the_document_describes_every_route, no_name_has_a_nul);

/// A host of two tenants. A user's token is their id.
const SETTINGS: &str = r#"
[[tenants]]
id = "acme"
[[tenants]]
id = "globex"

[[users]]
id = "ann"
tenant = "acme"
permissions = ["*"]
token = "ann"

[[users]]
id = "nobody"
tenant = "acme"
token = "nobody"

[[users]]
id = "gus"
tenant = "globex"
permissions = ["*"]
token = "gus"
"#;

pub struct Fixture {
    router: Router,
    pub host: Arc<Host>,
    folder: Arc<tempfile::TempDir>,
    more: String,
    clock: Clock,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Answer {
    /// The code of a problem.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_else(|| panic!("no problem: {} {}", self.status, self.json))
    }
}

impl Fixture {
    pub async fn on(kind: Kind, more: &str) -> Fixture {
        Fixture::at(kind, more, Clock::system()).await
    }

    /// By a clock of the test's.
    pub async fn at(kind: Kind, more: &str, clock: Clock) -> Fixture {
        let store = match kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => format!("[store]\nurl = {:?}", postgres().await),
        };
        Fixture::beside(format!("{more}\n{store}"), Arc::new(tempfile::tempdir().unwrap()), clock).await
    }

    /// Another host on the same database.
    pub async fn another(&self) -> Fixture {
        Fixture::beside(self.more.clone(), self.folder.clone(), self.clock.clone()).await
    }

    async fn beside(more: String, folder: Arc<tempfile::TempDir>, clock: Clock) -> Fixture {
        let file = folder.path().join("airlock.toml");
        std::fs::write(&file, format!("{SETTINGS}\n{more}")).unwrap();
        std::fs::write(folder.path().join("double.js"), "export default (n) => 2 * n").unwrap();
        let settings = Settings::load(Some(&file), |_| None).unwrap_or_else(|error| panic!("{error}"));
        let mut host = Host::builder(settings).cache(cache()).clock(clock.clone()).open().await.unwrap();
        assert!(host.load_scripts().await.is_empty());
        let host = Arc::new(host);
        let app = Arc::new(App::new(
            host.settings(),
            host.places().clone(),
            host.clone(),
            crate::server::auth::Credentials::of(&host),
        ));
        Fixture { router: whole(app, Some(host.clone())), host, folder, more, clock }
    }

    /// Asks as a user; `""` is nobody. A null body is none.
    pub async fn ask(&self, user: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(user, method, path, &[("content-type", "application/json")], body).await
    }

    /// What is there now, after a look at the status.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask("ann", "GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        answer.json
    }

    /// Adds a script and versions of it.
    pub async fn add(&self, draft: Value, sources: &[&str]) {
        let name = draft["name"].as_str().unwrap().to_owned();
        let answer = self.ask("ann", "POST", "/api/scripts", draft).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        for source in sources {
            let path = format!("/api/scripts/{name}/versions");
            let answer = self.ask("ann", "POST", &path, json!({ "source": source })).await;
            assert_eq!(answer.status, 201, "{}", answer.json);
        }
    }

    pub async fn deploy(&self, name: &str, number: u64) {
        let path = format!("/api/scripts/{name}/versions/{number}/deploy");
        let answer = self.ask("ann", "POST", &path, json!({ "confirm_capabilities": true })).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
    }

    pub async fn send(&self, user: &str, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = HttpRequest::builder().method(method.parse::<Method>().unwrap()).uri(path);
        if !user.is_empty() {
            request = request.header("authorization", format!("Bearer {user}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Content::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        // That one does not end.
        let body = if path.starts_with("/api/logs") && head.status.is_success() { Content::empty() } else { body };
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: head.status, headers: head.headers, json, text }
    }
}

/// Machine code is made once for all tests.
fn cache() -> std::path::PathBuf {
    // Where cargo keeps what a build leaves, beside this test's own program.
    let program = std::env::current_exe().unwrap();
    program.with_file_name("airlock-machine-code")
}

async fn only_a_known_token_is_let_in(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    for (user, status) in [("", 401), ("stranger", 401), ("ann", 200), ("nobody", 200)] {
        let answer = host.ask(user, "GET", "/api/me", Value::Null).await;
        assert_eq!(answer.status, status, "{user}: {}", answer.json);
    }
    let me = host.ask("gus", "GET", "/api/me", Value::Null).await.json;
    assert_eq!(me, json!({ "tenant": "globex", "user": "gus", "name": "", "email": "", "permissions": ["*"] }));
    let answer = host.ask("ann", "POST", "/api/me", Value::Null).await;
    assert_eq!((answer.code(), answer.headers["allow"].to_str().unwrap()), ("method_not_allowed", "GET,HEAD"));
    assert_eq!(host.ask("ann", "GET", "/api/nothing", Value::Null).await.code(), "not_found");
}

async fn the_document_describes_every_route(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let document = host.ask("", "GET", DOCUMENT, Value::Null).await.json;
    assert_eq!(document["openapi"].as_str().map(|version| version.starts_with("3.")), Some(true));
    let operations = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    for (method, operation) in operations {
        let id = &operation["operationId"];
        assert!(operation["summary"].is_string(), "{method} {id} has no summary");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
        assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{method} {operation}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let takes_key = parameters.into_iter().any(|parameter| parameter["name"] == "idempotency-key");
        assert_eq!(takes_key, method == "post", "{id}");
    }
    every_reference_leads_somewhere(&document, &document);
}

/// Which PostgreSQL does not take.
async fn no_name_has_a_nul(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let after = |json: &str| URL_SAFE_NO_PAD.encode(json);
    for list in ["scripts", "tokens", "secrets", "schedules", "jobs", "events", "executions"] {
        let key = if list == "executions" { r#"[1,"a\u0000"]"# } else { r#""a\u0000""# };
        let answer = host.ask("ann", "GET", &format!("/api/{list}?after={}", after(key)), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_query"), "{list}");
        let plain = key.replace("\\u0000", "");
        let answer = host.ask("ann", "GET", &format!("/api/{list}?after={}", after(&plain)), Value::Null).await;
        assert_eq!((answer.status.as_u16(), &answer.json["items"]), (200, &json!([])), "{list}");
    }
    for (method, path) in [
        ("GET", "/api/scripts/a%00"),
        ("DELETE", "/api/scripts/a%00"),
        ("POST", "/api/scripts/a%00/enable"),
        ("GET", "/api/scripts/a%00/versions"),
        ("POST", "/api/scripts/a%00/invoke"),
        ("GET", "/api/schedules/a%00"),
        ("POST", "/api/jobs/a%00/replay"),
        ("DELETE", "/api/tokens/a%00"),
        ("DELETE", "/api/secrets/a%00"),
        ("GET", "/api/events/a%00"),
        ("GET", "/api/executions/a%00"),
    ] {
        let answer = host.ask("ann", method, path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{method} {path}");
    }
    for query in ["executions?script=a%00", "executions?trigger=a%00", "jobs?script=a%00", "events?name=a%00"] {
        assert_eq!(host.get(&format!("/api/{query}")).await["items"], json!([]), "{query}");
    }
    let body = json!({ "name": "ci", "scopes": ["a\0"] });
    assert_eq!(host.ask("ann", "POST", "/api/tokens", body).await.json["field"], "scopes[0]");
}

fn every_reference_leads_somewhere(part: &Value, document: &Value) {
    if let Some(to) = part.get("$ref").and_then(Value::as_str) {
        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
    }
    let members = part.as_object().into_iter().flat_map(|object| object.values());
    members
        .chain(part.as_array().into_iter().flatten())
        .for_each(|member| every_reference_leads_somewhere(member, document));
}
