//! Over real sockets, most of them raw: what matters is what hostile bytes do.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::runtime::outcome::{LimitInfo, ScriptError, Status};
use crate::settings::{ScriptKind, ScriptSettings, TenantSettings, TokenDigest, UserSettings};
use crate::store::clock::Clock;
use crate::tenant::quota::{Ledger, Quotas};
use crate::tenant::{Permissions, Tenant, User};
use route::{Pattern, Route};

/// Answers by the script's name; `returns` gives back the request's body.
#[derive(Default)]
struct Fake {
    people: People,
    calls: Mutex<Vec<Invoke>>,
    began: Notify,
    release: Notify,
    quotas: Quotas,
    ledger: OnceLock<Ledger>,
}

impl Fake {
    fn last(&self) -> Invoke {
        self.calls.lock().unwrap().last().cloned().expect("a call")
    }

    fn req(&self) -> Value {
        serde_json::from_str(&self.last().input).unwrap()
    }

    fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

impl Scripts for Fake {
    fn people(&self) -> &People {
        &self.people
    }

    fn admit(&self, tenant: &str) -> Result<Admission, Exceeded> {
        let ledger = self.ledger.get_or_init(|| Ledger::new(self.quotas.clone(), HashMap::new(), Clock::manual(0)));
        ledger.account(tenant).admit()
    }

    fn invoke(&self, request: Invoke, admission: Admission) -> BoxFuture<'_, Invocation> {
        Box::pin(async move {
            let _admission = admission;
            self.calls.lock().unwrap().push(request.clone());
            let name = request.script.name.split(' ').next().unwrap_or_default();
            let ended = |status, result: Option<&str>| {
                let failed = status != Status::Completed;
                Invocation::Ended(Box::new(Outcome {
                    status,
                    result: result.map(|text| RawValue::from_string(text.to_owned()).unwrap()),
                    error: failed.then(|| ScriptError {
                        name: "Error".to_owned(),
                        message: "the password is hunter2".to_owned(),
                        limit: (status == Status::Limit).then(|| LimitInfo {
                            name: "memory".to_owned(),
                            value: 1,
                            used: 2,
                            setting: "limits.memory".to_owned(),
                        }),
                        ..ScriptError::default()
                    }),
                    logs: vec![
                        RawValue::from_string(r#"{"level":"warn","message":"from the script"}"#.to_owned()).unwrap(),
                    ],
                    fuel: 1,
                    duration: Duration::from_millis(1),
                    memory_bytes: 1,
                    host_calls: 0,
                    shows_secret: false,
                }))
            };
            match name {
                "returns" => {
                    let req: Value = serde_json::from_str(&request.input).unwrap();
                    ended(Status::Completed, req["rawBody"].as_str())
                }
                "slow" => {
                    self.began.notify_one();
                    self.release.notified().await;
                    ended(Status::Completed, Some(r#"{"status":200,"body":"late"}"#))
                }
                // More than the sockets' buffers hold.
                "large" => ended(Status::Completed, Some(&format!("\"{}\"", "x".repeat(32 << 20)))),
                "throws" => ended(Status::Failed, None),
                "times-out" => ended(Status::Timeout, None),
                "exceeds" => ended(Status::Limit, None),
                "waits" => Invocation::Busy,
                "broken" => Invocation::Broken("hunter2.js does not compile".to_owned()),
                _ => ended(Status::Completed, Some(r#"{"status":201,"body":"ok"}"#)),
            }
        })
    }
}

fn script(name: &str, path: &str, methods: &str, change: impl FnOnce(&mut ScriptSettings)) -> Arc<ScriptSettings> {
    let methods = methods.split(' ').map(|method| method.parse().unwrap()).collect();
    let mut script = ScriptSettings {
        name: name.to_owned(),
        file: format!("{name}.js").into(),
        shown_file: format!("{name}.js"),
        kind: ScriptKind::Http,
        entry: None,
        event: None,
        route: Some(Route { pattern: Pattern::parse(path).unwrap(), methods }),
        cron: None,
        tenants: None,
        grants: Default::default(),
        run_as: None,
        limits: Default::default(),
        permission: None,
        public: false,
        webhook: None,
    };
    change(&mut script);
    Arc::new(script)
}

fn of(tenant: &'static str) -> impl FnOnce(&mut ScriptSettings) {
    move |script| script.tenants = Some(vec![tenant.to_owned()])
}

fn user(id: &str, tenant: &str, permissions: &[&str]) -> UserSettings {
    UserSettings {
        tenant: tenant.to_owned(),
        user: User {
            id: id.to_owned(),
            permissions: Permissions::new(permissions.iter().map(|permission| (*permission).to_owned())),
            ..User::default()
        },
        token: TokenDigest::of(format!("{id}-token").as_bytes()),
    }
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.server.max_body = 64 << 10;
    settings.server.header_timeout = Duration::from_millis(300);
    settings.server.body_timeout = Duration::from_millis(300);
    for id in ["acme", "globex"] {
        settings.tenants.push(TenantSettings {
            tenant: Tenant { id: id.to_owned(), name: id.to_uppercase() },
            schema: None,
            seed: None,
            quotas: None,
        });
    }
    settings.users = vec![
        user("ann", "acme", &["reports.view"]),
        user("bob", "globex", &["reports.*"]),
        user("eve", "acme", &["reportsview", "report*", "reports"]),
    ];
    settings.scripts = vec![
        script("echo", "/echo", "GET POST", |_| {}),
        script("order", "/orders/{id}", "GET DELETE", |_| {}),
        script("new-order", "/orders/new", "POST", |_| {}),
        script("item", "/orders/{id}/items/{item}", "GET", |_| {}),
        script("left", "/mix/a/{x}", "GET", |_| {}),
        script("right", "/mix/{y}/b", "GET", |_| {}),
        script("acme-only", "/acme", "GET", of("acme")),
        script("report", "/report", "GET", |script| script.permission = Some("reports.view".to_owned())),
        script("returns", "/returns", "POST", |_| {}),
        script("slow", "/slow", "GET", |_| {}),
        script("large", "/large", "GET", |_| {}),
        script("throws", "/throws", "GET", |_| {}),
        script("times-out", "/times-out", "GET", |_| {}),
        script("exceeds", "/exceeds", "GET", |_| {}),
        script("waits", "/waits", "GET", |_| {}),
        script("broken", "/broken", "GET", |_| {}),
        script("small", "/small", "POST", |script| script.limits.input_bytes = 2000),
        script("public", "/public", "GET", |script| script.public = true),
        script("hook", "/hook", "POST", |script| {
            script.public = true;
            script.tenants = Some(vec!["acme".to_owned()]);
        }),
        script("hook private", "/hook", "POST", of("globex")),
        script("hook get", "/hook", "GET", of("acme")),
    ];
    settings
}

struct Host {
    address: SocketAddr,
    fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

impl Host {
    async fn start(change: impl FnOnce(&mut Settings)) -> Host {
        let mut settings = settings();
        change(&mut settings);
        let users = settings.users.iter().map(|user| (user.tenant.clone(), user.user.clone()));
        let people = People::new(users, []);
        let fake = Arc::new(Fake { people, quotas: settings.quotas.clone(), ..Fake::default() });
        let server = Server::bind_scripts(&settings, fake.clone()).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Host { address, fake, stop: Some(stop), running }
    }

    /// Writes the bytes, then reads until the host closes.
    async fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        Answer::parse(&self.bytes(bytes).await)
    }

    async fn bytes(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A host that has answered already may have closed.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_all(&mut stream).await
    }

    /// A request by Ann of acme.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask_as("ann", method, path, headers, body).await
    }

    async fn ask_as(&self, user: &str, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let authorization = match user {
            "" => String::new(),
            user => format!("Authorization: Bearer {user}-token\r\n"),
        };
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{authorization}{headers}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.raw(bytes).await
    }
}

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = async {
        let mut chunk = [0; 4096];
        loop {
            match stream.read(&mut chunk).await {
                Ok(0) => return,
                Ok(length) => answer.extend_from_slice(&chunk[..length]),
                // What was answered before a reset still counts.
                Err(reason) if reason.kind() == io::ErrorKind::ConnectionReset => return,
                Err(reason) => panic!("{reason}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the host closes the connection");
    answer
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Answer { status, headers, body: body.to_owned() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The problem's code, after a look at its shape.
    fn code(&self) -> String {
        let problem = self.json();
        let code = problem["code"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], format!("urn:airlock:problem:{code}"));
        assert_eq!(problem["execution_id"], self.header("x-execution-id"));
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        assert!(!self.body.contains("hunter2"), "{self:?}");
        code
    }
}

#[tokio::test]
async fn health() {
    let host = Host::start(|_| {}).await;
    let answer = host.ask_as("", "GET", "/healthz", "", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(answer.header("x-execution-id").len(), 36);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(host.ask_as("", "GET", "/readyz", "", "").await.status, 200);
    assert_eq!(host.ask_as("", "POST", "/healthz", "", "").await.code(), "method_not_allowed");
    for path in ["/", "/api", "/api/custom", "/api/custom/", "/nothing"] {
        assert_eq!(host.ask_as("", "GET", path, "", "").await.code(), "not_found", "{path}");
    }
}

/// Who, what, further headers; the status, and the script called or the code.
#[rustfmt::skip]
const ACCESS: &[(&str, &str, &str, &str, u16, &str)] = &[
    ("ann", "GET", "/echo", "", 201, "echo"),
    ("bob", "GET", "/echo", "", 201, "echo"),
    ("", "GET", "/echo", "", 401, "unauthorized"),
    ("mallory", "GET", "/echo", "", 401, "unauthorized"),
    ("", "GET", "/echo", "Authorization: Basic YW5uOmFubi10b2tlbg==\r\n", 401, "unauthorized"),
    ("", "GET", "/echo", "Authorization: Bearer\r\n", 401, "unauthorized"),
    ("", "GET", "/echo", "Authorization: Bearer \r\n", 401, "unauthorized"),
    ("", "GET", "/echo", "Authorization: ann-token\r\n", 401, "unauthorized"),
    ("", "GET", "/echo", "authorization: bearer  ann-token\r\n", 201, "echo"),
    ("ann", "GET", "/echo", "Authorization: Bearer bob-token\r\n", 401, "unauthorized"),
    // Nobody learns what exists without a token.
    ("", "GET", "/nothing", "", 401, "unauthorized"),
    ("ann", "GET", "/nothing", "", 404, "not_found"),
    // A script is there for its tenants only.
    ("ann", "GET", "/acme", "", 201, "acme-only"),
    ("bob", "GET", "/acme", "", 404, "not_found"),
    ("bob", "OPTIONS", "/acme", "", 404, "not_found"),
    ("bob", "GET", "/acme", "X-Tenant: acme\r\n", 403, "wrong_tenant"),
    ("bob", "GET", "/acme", "X-Tenant: nobody\r\n", 403, "wrong_tenant"),
    ("ann", "GET", "/acme", "X-Tenant: acme\r\n", 201, "acme-only"),
    ("", "GET", "/acme", "X-Tenant: acme\r\n", 401, "unauthorized"),
    // Permissions.
    ("ann", "GET", "/report", "", 201, "report"),
    ("bob", "GET", "/report", "", 201, "report"),
    ("eve", "GET", "/report", "", 403, "permission_missing"),
    // Public scripts.
    ("", "GET", "/public", "", 400, "tenant_required"),
    ("", "GET", "/public", "X-Tenant: globex\r\n", 201, "public"),
    ("", "GET", "/public", "X-Tenant: nobody\r\n", 401, "unauthorized"),
    ("", "GET", "/public", "X-Tenant: acme\r\nX-Tenant: globex\r\n", 400, "tenant_ambiguous"),
    ("ann", "GET", "/public", "", 201, "public"),
    ("mallory", "GET", "/public", "X-Tenant: acme\r\n", 401, "unauthorized"),
    ("", "POST", "/hook", "", 201, "hook"),
    ("", "POST", "/hook", "X-Tenant: globex\r\n", 401, "unauthorized"),
    ("bob", "POST", "/hook", "", 201, "hook private"),
    ("", "GET", "/hook", "", 405, "method_not_allowed"),
    ("ann", "GET", "/hook", "", 201, "hook get"),
    // Routes.
    ("ann", "GET", "/orders/7", "", 201, "order"),
    ("ann", "GET", "/orders/", "", 404, "not_found"),
    ("ann", "GET", "/orders/7/", "", 404, "not_found"),
    ("ann", "POST", "/orders/new", "", 201, "new-order"),
    ("ann", "GET", "/orders/new", "", 405, "method_not_allowed"),
    ("ann", "PATCH", "/orders/7", "", 405, "method_not_allowed"),
    ("ann", "GET", "/orders/7/items/8", "", 201, "item"),
    ("ann", "GET", "/mix/a/b", "", 201, "left"),
    ("ann", "GET", "/mix/c/b", "", 201, "right"),
    ("ann", "GET", "/orders/%ff", "", 400, "bad_path"),
    ("ann", "BREW", "/echo", "", 405, "method_not_allowed"),
];

#[tokio::test]
async fn who_may_call_what() {
    let host = Host::start(|_| {}).await;
    for (user, method, path, headers, status, expected) in ACCESS {
        let before = host.fake.count();
        let answer = host.ask_as(user, method, &format!("/api/custom{path}"), headers, "").await;
        let case = format!("{user} {method} {path} {headers}: {answer:?}");
        assert_eq!(answer.status, *status, "{case}");
        if *status == 201 {
            let call = host.fake.last();
            assert_eq!(call.script.name, *expected, "{case}");
            let tenant = match (*user, headers.contains("globex")) {
                ("bob", _) | (_, true) => "globex",
                _ => "acme",
            };
            assert_eq!(call.identity.tenant.id, tenant, "{case}");
            let anonymous = user.is_empty() && !headers.contains("bearer");
            assert_eq!(call.identity.user.is_none(), anonymous, "{case}");
            assert_eq!(call.identity.execution.id, answer.header("x-execution-id"), "{case}");
            assert_eq!(call.identity.execution.triggered_by, "api");
            assert_eq!(call.identity.script.kind, "http");
        } else {
            assert_eq!(answer.code(), *expected, "{case}");
            assert_eq!(host.fake.count(), before, "nothing ran: {case}");
        }
        assert_eq!(answer.header("www-authenticate"), if *status == 401 { "Bearer" } else { "" }, "{case}");
    }
}

#[tokio::test]
async fn methods_that_the_host_serves() {
    let host = Host::start(|_| {}).await;
    let answer = host.ask("OPTIONS", "/api/custom/orders/7", "", "").await;
    assert_eq!((answer.status, answer.header("allow")), (204, "DELETE, GET, HEAD, OPTIONS"));
    let answer = host.ask("POST", "/api/custom/orders/7", "", "").await;
    assert_eq!(answer.header("allow"), "DELETE, GET, HEAD, OPTIONS");
    // Anonymous callers learn of the public methods alone.
    let answer = host.ask_as("", "OPTIONS", "/api/custom/hook", "", "").await;
    assert_eq!(answer.header("allow"), "OPTIONS, POST");
    assert_eq!(host.fake.count(), 0);

    let answer = host.ask("HEAD", "/api/custom/orders/7", "", "").await;
    assert_eq!((answer.status, answer.body.as_str(), answer.header("content-length")), (201, "", "2"));
    assert_eq!(host.fake.req()["method"], "GET");
    let answer = host.ask("HEAD", "/api/custom/nothing", "", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, ""));
}

#[tokio::test]
async fn what_a_script_sees() {
    let host = Host::start(|_| {}).await;
    let path = "/api/custom/orders/a%2Fb%20c/items/%C3%A9?start=2024-01-01&tag=a&tag=b+c&tag=%26&empty&__proto__=x";
    let headers = "X-Custom: One\r\nx-custom: two\r\nCookie: session=1\r\nProxy-Authorization: x\r\nTE: trailers\r\n";
    assert_eq!(host.ask("GET", path, headers, "").await.status, 201);
    let req = host.fake.req();
    assert_eq!(req["method"], "GET");
    assert_eq!(req["path"], "/api/custom/orders/a%2Fb%20c/items/%C3%A9");
    assert_eq!(req["query"], json!({"start": "2024-01-01", "tag": ["a", "b c", "&"], "empty": "", "__proto__": "x"}));
    assert_eq!(req["params"], json!({"id": "a/b c", "item": "é"}));
    assert_eq!(req["headers"], json!({"host": "x", "content-length": "0", "x-custom": "One, two"}));
    assert_eq!(req["body"], Value::Null);
    assert_eq!((&req["rawBody"], &req["bodyEncoding"]), (&json!(""), &json!("utf-8")));
}

#[tokio::test]
async fn bodies() {
    let host = Host::start(|_| {}).await;
    let form = "application/x-www-form-urlencoded";
    let deepest = format!("{}{}", "[".repeat(request::MAX_DEPTH), "]".repeat(request::MAX_DEPTH));
    #[rustfmt::skip]
    let cases: Vec<(&str, &[u8], Value, &str)> = vec![
        ("application/json", b"{\"a\": [1, null]}", Value::Null, "json"),
        ("application/json; charset=utf-8", b" \"text\" ", Value::Null, "json"),
        ("Application/Vnd.Api+JSON", b"1", Value::Null, "json"),
        ("application/json", b"", Value::Null, "utf-8"),
        ("application/json", br#""[[[\"[[[""#, Value::Null, "json"),
        ("application/json", deepest.as_bytes(), Value::Null, "json"),
        (form, b"a=1&b=x+y&a=%C3%A9", json!({"a": ["1", "é"], "b": "x y"}), "utf-8"),
        ("text/csv", b"a,b\n", Value::Null, "text"),
        ("text/csv", b"a,\xff\n", json!("YSz/Cg=="), "base64"),
        ("application/xml", b"<a/>", Value::Null, "text"),
        ("", b"plain", Value::Null, "text"),
        ("", b"\xff", json!("/w=="), "base64"),
        ("image/png", b"\x89PNG", json!("iVBORw=="), "base64"),
        ("application/octet-stream", b"text", json!("dGV4dA=="), "base64"),
        ("image/png", b"", Value::Null, "utf-8"),
    ];
    for (kind, body, expected, encoding) in cases {
        let header = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let answer = host.ask("POST", "/api/custom/echo", &header, body).await;
        assert_eq!(answer.status, 201, "{kind}: {answer:?}");
        let req = host.fake.req();
        assert_eq!(req["bodyEncoding"], encoding, "{kind}");
        let (body, raw) = match encoding {
            "base64" => (Value::Null, expected),
            _ => (expected, json!(std::str::from_utf8(body).unwrap())),
        };
        assert_eq!((&req["body"], &req["rawBody"]), (&body, &raw), "{kind}");
    }
}

#[tokio::test]
async fn bodies_that_are_refused() {
    let host = Host::start(|_| {}).await;
    let deep = "[".repeat(60_000);
    let deep_objects = "{\"a\":".repeat(10_000);
    let large = "x".repeat((64 << 10) + 1);
    #[rustfmt::skip]
    let cases: Vec<(&str, &[u8], u16, &str, &str)> = vec![
        ("application/json", b"{\n  \"a\": nope}", 400, "body_not_json", "line 2 column"),
        ("application/json", b"{", 400, "body_not_json", "line 1 column 1"),
        ("application/json", b"{} {}", 400, "body_not_json", "line 1 column 4"),
        ("application/json", b"\"\xff\"", 400, "body_not_json", "not UTF-8"),
        ("application/json", deep.as_bytes(), 400, "body_too_deep", "line 1, column 121"),
        ("application/json", deep_objects.as_bytes(), 400, "body_too_deep", "deeper than 120 levels"),
        ("text/plain", large.as_bytes(), 413, "body_too_large", "64KiB; the host's setting server.max_body"),
    ];
    for (kind, body, status, code, detail) in cases {
        let answer = host.ask("POST", "/api/custom/echo", &format!("Content-Type: {kind}\r\n"), body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(detail), "{answer:?}");
    }
    let answer = host.ask("POST", "/api/custom/small", "", "x".repeat(2_000)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert!(answer.body.contains("limits.input_bytes"), "{answer:?}");
    assert_eq!(host.fake.count(), 0);
    assert_eq!(host.ask("POST", "/api/custom/small", "", "x").await.status, 201);
}

/// A body nested 100,000 deep, where the limit on its size lets it in.
#[tokio::test]
async fn a_body_100_000_deep() {
    let host = Host::start(|settings| settings.server.max_body = 1 << 20).await;
    let answer = host.ask("POST", "/api/custom/echo", "Content-Type: application/json\r\n", "[".repeat(100_000)).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "body_too_deep"));
}

const ANN: &str = "Host: x\r\nAuthorization: Bearer ann-token\r\n";

#[tokio::test]
async fn malformed_and_slow_requests() {
    let host = Host::start(|_| {}).await;
    let many = "x: y\r\n".repeat(200);
    let huge = format!("x: {}\r\n", "y".repeat(100_000));
    #[rustfmt::skip]
    let cases: Vec<(String, u16)> = vec![
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nA\x0b: b\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n".to_owned(), 400),
        // Line breaks: folded, and bare.
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n".to_owned(), 400),
        (format!("GET /healthz HTTP/1.1\r\n{many}\r\n"), 431),
        (format!("GET /healthz HTTP/1.1\r\n{huge}\r\n"), 431),
        // Smuggling.
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400),
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Content-Length: -3\r\n\r\nabc"), 400),
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n"), 400),
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400),
        // Larger than is said to be allowed, said and unsaid.
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Content-Length: 99999999999\r\n\r\nabc"), 413),
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000)), 413),
        // Less than announced, and then silence.
        (format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Content-Length: 10\r\n\r\nabc"), 408),
    ];
    for (bytes, status) in cases {
        let answer = host.raw(&bytes).await;
        assert_eq!(answer.status, status, "{}\n{answer:?}", &bytes[..bytes.len().min(300)]);
    }
    assert_eq!(host.fake.count(), 0);

    // More than announced is the next request, and a malformed one; nothing of
    // it reaches the script.
    let answer =
        host.raw(format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Content-Length: 3\r\n\r\nabcdef\r\n\r\n")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(host.fake.req()["rawBody"], "abc");

    // Silence ends a connection: at once, before the protocol is known, within
    // the headers, and between two requests.
    for bytes in ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nHost:", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        host.bytes(bytes).await;
    }
    assert_eq!(host.ask("GET", "/healthz", "", "").await.status, 200);
}

#[tokio::test]
async fn http_2() {
    // Other rooms' clients need the provider as well; the first one installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = Host::start(|_| {}).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = |path: &str| format!("http://{}/api/custom/{path}", host.address);
    let allowed = client.post(url("echo")).bearer_auth("ann-token").body("x").send().await.unwrap();
    assert_eq!((allowed.status().as_u16(), allowed.version()), (201, reqwest::Version::HTTP_2));
    assert_eq!(allowed.headers()["x-content-type-options"], "nosniff");
    assert_eq!(host.fake.req()["rawBody"], "x");
    let denied = client.post(url("echo")).send().await.unwrap();
    assert_eq!(denied.status().as_u16(), 401);
    let large = client.post(url("echo")).bearer_auth("ann-token").body(vec![b'x'; 70_000]).send().await.unwrap();
    assert_eq!(large.status().as_u16(), 413);
    let headed = client.head(url("nothing")).bearer_auth("ann-token").send().await.unwrap();
    assert_eq!((headed.status().as_u16(), headed.text().await.unwrap().as_str()), (404, ""));
}

/// A client that always sends a little more, and never enough.
#[tokio::test]
async fn trickling() {
    let host = Host::start(|_| {}).await;
    let head = format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}");
    for (start, status) in [(format!("{head}X: "), None), (format!("{head}Content-Length: 9999\r\n\r\n"), Some(408))] {
        let (mut reader, mut writer) = TcpStream::connect(host.address).await.unwrap().into_split();
        writer.write_all(start.as_bytes()).await.unwrap();
        let trickle = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while writer.write_all(b"x").await.is_ok() {
                pace.tick().await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = trickle => {}
            read = tokio::time::timeout(Duration::from_secs(5), reader.read_to_end(&mut answer)) => {
                // A reset is as good an end as any.
                let _ = read.expect("the host closes the connection");
            }
        }
        match status {
            Some(status) => assert_eq!(Answer::parse(&answer).status, status),
            None => assert!(answer.is_empty() || Answer::parse(&answer).status == 408),
        }
    }
    assert_eq!(host.fake.count(), 0);
}

/// A client that does not read its answer holds its connection no longer than
/// one that says nothing.
#[tokio::test]
async fn answers_that_are_not_read() {
    let host = Host::start(|settings| settings.server.max_connections = 1).await;
    let mut deaf = TcpStream::connect(host.address).await.unwrap();
    deaf.write_all(format!("GET /api/custom/large HTTP/1.1\r\n{ANN}\r\n").as_bytes()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), host.ask("GET", "/healthz", "", "")).await;
    assert_eq!(answer.expect("the slot is free again").status, 200);
    assert_eq!(host.fake.count(), 1);
}

/// A returned value, the status, headers, and the body, or what the log says.
#[rustfmt::skip]
#[allow(clippy::type_complexity, reason = "the table reads best as plain tuples")]
const RETURNED: &[(&str, u16, &[(&str, &str)], &str)] = &[
    (r#"{"status":200,"headers":{"Content-Type":"application/json"},"body":{"a":1.10}}"#, 200, &[("content-type", "application/json")], r#"{"a":1.10}"#),
    (r#"{"status":403,"body":{"error":"no"}}"#, 403, &[("content-type", "application/json")], r#"{"error":"no"}"#),
    (r#"{"body":"héllo"}"#, 200, &[("content-type", "text/plain; charset=utf-8")], "héllo"),
    (r#"{"body":"<p>","headers":{"content-type":"text/html","X-A":"1","x-b":2}}"#, 200, &[("content-type", "text/html"), ("x-a", "1"), ("x-b", "2")], "<p>"),
    (r#"{"body":5}"#, 200, &[("content-type", "application/json")], "5"),
    (r#"{"status":201,"body":null,"headers":null}"#, 201, &[("content-length", "0")], ""),
    (r#"{"status":204,"body":"dropped"}"#, 204, &[], ""),
    (r#"{"status":301,"headers":{"location":"/x"}}"#, 301, &[("location", "/x")], ""),
    (r#"{"success":true}"#, 200, &[("content-type", "application/json")], r#"{"success":true}"#),
    (r#"{"status":"paid","total":5}"#, 200, &[], r#"{"status":"paid","total":5}"#),
    (r#""text""#, 200, &[("content-type", "application/json")], r#""text""#),
    ("[1,2]", 200, &[], "[1,2]"),
    ("null", 204, &[], ""),
    (r#"{"body":"","headers":{"x-execution-id":"mine"}}"#, 500, &[], "the host sets it"),
    (r#"{"status":199,"body":1}"#, 500, &[], "status is 199; it must be a whole number from 200 to 599"),
    (r#"{"status":600}"#, 500, &[], "status is 600"),
    (r#"{"status":200.5}"#, 500, &[], "status is 200.5"),
    (r#"{"status":"200","body":1}"#, 500, &[], "status is"),
    (r#"{"status":200,"total":5}"#, 500, &[], "data goes under `body`"),
    (r#"{"body":1,"headers":[]}"#, 500, &[], "headers are not an object"),
    (r#"{"body":1,"headers":{"x":"a\r\nset-cookie: b"}}"#, 500, &[], "header `x` holds a line break"),
    (r#"{"body":1,"headers":{"x":"a\nb"}}"#, 500, &[], "header `x` holds a line break"),
    (r#"{"body":1,"headers":{"a b":"c"}}"#, 500, &[], "has no valid name"),
    (r#"{"body":1,"headers":{"x\r\ny":"c"}}"#, 500, &[], "has no valid name"),
    (r#"{"body":1,"headers":{"x":{}}}"#, 500, &[], "header `x` is not text"),
    (r#"{"body":1,"headers":{"Content-Length":"9"}}"#, 500, &[], "may not set the header `content-length`"),
    (r#"{"body":1,"headers":{"Transfer-Encoding":"chunked"}}"#, 500, &[], "may not set the header `transfer-encoding`"),
    (r#"{"body":1,"headers":{"Set-Cookie":"a=b"}}"#, 500, &[], "may not set the header `set-cookie`"),
];

#[tokio::test]
async fn what_a_script_returns() {
    let (log, _guard) = Log::watch();
    let host = Host::start(|_| {}).await;
    for (returned, status, headers, expected) in RETURNED {
        let answer = host.ask("POST", "/api/custom/returns", "Content-Type: application/json\r\n", returned).await;
        assert_eq!(answer.status, *status, "{returned}: {answer:?}");
        if *status == 500 {
            assert_eq!(answer.code(), "bad_response");
            let reason = log.find(answer.header("x-execution-id"), "reason");
            assert!(reason.contains(expected), "{returned}: {reason}");
            assert!(!answer.body.contains(expected), "{answer:?}");
            continue;
        }
        assert_eq!(answer.body, *expected, "{returned}");
        for (name, value) in *headers {
            assert_eq!(answer.header(name), *value, "{returned}: {answer:?}");
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").starts_with("sandbox "), "{answer:?}");
    }
    let many: Vec<String> = (0..65).map(|n| format!("\"x-{n}\":\"y\"")).collect();
    for headers in
        [many.join(","), format!("\"x\":\"{}\"", "y".repeat(20_000)), format!("\"x\":[{}\"\"]", "\"\",".repeat(70))]
    {
        let returned = format!("{{\"body\":1,\"headers\":{{{headers}}}}}");
        let answer = host.ask("POST", "/api/custom/returns", "Content-Type: application/json\r\n", returned).await;
        assert_eq!(answer.code(), "bad_response");
    }
}

#[tokio::test]
async fn a_tenant_that_has_used_up_a_quota_is_told_when_to_come_back() {
    let (log, _guard) = Log::watch();
    let host = Host::start(|settings| settings.quotas.calls_per_minute = 2).await;
    for _ in 0..2 {
        assert_eq!(host.ask("GET", "/api/custom/echo", "", "").await.status, 201);
    }
    let answer = host.ask("POST", "/api/custom/echo", "", "a body that nobody reads").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "quota_exceeded"));
    assert_eq!(answer.header("retry-after"), "30");
    assert_eq!(answer.json()["detail"], "This tenant's quota `calls_per_minute` is used up; try again in 30 s.");
    let id = answer.header("x-execution-id");
    for (key, value) in [("quota_value", "2"), ("used", "3"), ("setting", "quotas.calls_per_minute")] {
        assert_eq!(log.find(id, key), value);
    }
    assert_eq!(host.fake.count(), 2);
    assert_eq!(host.ask_as("bob", "GET", "/api/custom/echo", "", "").await.status, 201, "another tenant's is its own");
}

#[tokio::test]
async fn what_is_still_being_sent_counts_as_waiting() {
    let host = Host::start(|settings| {
        settings.server.body_timeout = Duration::from_secs(600);
        (settings.quotas.concurrent_calls, settings.quotas.waiting_calls) = (1, 1);
    })
    .await;
    let mut senders = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let head = format!("POST /api/custom/echo HTTP/1.1\r\n{ANN}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The host asks for the body once it has let the call in.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        senders.push(stream);
    }
    let answer = host.ask("GET", "/api/custom/echo", "", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert_eq!(host.ask_as("bob", "GET", "/api/custom/echo", "", "").await.status, 201);
    let mut first = senders.remove(0);
    first.write_all(b"{}").await.unwrap();
    let mut answered = [0; 12];
    first.read_exact(&mut answered).await.unwrap();
    assert_eq!(&answered, b"HTTP/1.1 201");
    assert_eq!(host.ask("GET", "/api/custom/echo", "", "").await.status, 201, "its place is free again");
}

#[tokio::test]
async fn each_request_has_a_line_unless_the_settings_say_otherwise() {
    for logs in [true, false] {
        let (log, _guard) = Log::watch();
        let host = Host::start(|settings| settings.server.access_log = logs).await;
        let answer = host.ask("GET", "/api/custom/echo?secret=1", "", "").await;
        assert_eq!(answer.status, 201);
        // The line is written once the answer is on its way.
        drop(host.stop);
        host.running.await.unwrap();
        let path = log.get(answer.header("x-execution-id"), "path");
        assert_eq!(path, logs.then(|| "/api/custom/echo".to_owned()));
    }
}

#[tokio::test]
async fn what_went_wrong_is_told_to_the_log() {
    let (log, _guard) = Log::watch();
    let host = Host::start(|_| {}).await;
    for (path, status, code, key, logged) in [
        ("throws", 500, "script_failed", "reason", "the password is hunter2"),
        ("times-out", 504, "script_timeout", "reason", "the password is hunter2"),
        ("exceeds", 500, "limit_reached", "setting", "limits.memory"),
        ("waits", 503, "no_sandbox", "script", "waits"),
        ("broken", 500, "internal_error", "reason", "hunter2.js does not compile"),
    ] {
        let answer = host.ask("GET", &format!("/api/custom/{path}?password=hunter2"), "", "").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        assert_eq!(answer.header("retry-after"), if status == 503 { "1" } else { "" });
        let id = answer.header("x-execution-id");
        assert_eq!(log.find(id, key), logged);
        assert_eq!(log.find(id, "path"), format!("/api/custom/{path}"));
        assert_eq!(log.find(id, "tenant_id"), "acme");
    }
    let answer = host.ask("GET", "/api/custom/echo", "", "").await;
    let line: Value = serde_json::from_str(&log.find(answer.header("x-execution-id"), "line")).unwrap();
    assert_eq!(line, json!({"level": "warn", "message": "from the script"}));
    assert_eq!(log.find(answer.header("x-execution-id"), "message"), "from the script");
}

#[tokio::test]
async fn scripts_switched_off() {
    let host = Host::start(|settings| settings.scripts_enabled = false).await;
    assert_eq!(host.ask("GET", "/api/custom/echo", "", "").await.code(), "scripts_disabled");
    assert_eq!(host.ask_as("", "GET", "/api/custom/echo", "", "").await.code(), "unauthorized");
    assert_eq!(host.ask("GET", "/healthz", "", "").await.status, 200);
    assert_eq!(host.fake.count(), 0);
}

#[tokio::test]
async fn requests_beyond_the_cap_are_refused() {
    let host = Host::start(|settings| settings.server.max_requests = 1).await;
    let slow = host.ask("GET", "/api/custom/slow", "", "");
    let refused = async {
        host.fake.began.notified().await;
        let answer = host.ask("GET", "/api/custom/echo", "", "").await;
        host.fake.release.notify_one();
        answer
    };
    let (slow, refused) = tokio::join!(slow, refused);
    assert_eq!((slow.status, slow.body.as_str()), (200, "late"));
    assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after")), (503, "overloaded", "1"));
    assert_eq!(host.ask("GET", "/api/custom/echo", "", "").await.status, 201);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait() {
    let host = Host::start(|settings| settings.server.max_connections = 1).await;
    // Says nothing, and holds the only slot until it is closed for its silence.
    let mut silent = TcpStream::connect(host.address).await.unwrap();
    let (answer, closed) = tokio::join!(host.ask("GET", "/healthz", "", ""), read_all(&mut silent));
    assert_eq!(answer.status, 200);
    assert!(closed.is_empty());
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_call() {
    let (log, _guard) = Log::watch();
    let host = Host::start(|_| {}).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(format!("GET /api/custom/slow HTTP/1.1\r\n{ANN}\r\n").as_bytes()).await.unwrap();
    host.fake.began.notified().await;
    drop(stream);
    let id = host.fake.last().identity.execution.id.clone();
    let ended = async {
        while log.get(&id, "status").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the call is dropped");
    assert_eq!(log.find(&id, "status"), "499");
}

#[tokio::test]
async fn stopping_lets_requests_end() {
    // Long enough that it is not silence that ends the idle connection.
    let mut host = Host::start(|settings| settings.server.header_timeout = Duration::from_secs(60)).await;
    let stop = host.stop.take().unwrap();
    // Between two requests: closed at once.
    let mut idle = TcpStream::connect(host.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();

    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(format!("GET /api/custom/slow HTTP/1.1\r\n{ANN}\r\n").as_bytes()).await.unwrap();
    host.fake.began.notified().await;
    stop.send(()).unwrap();
    read_all(&mut idle).await;
    assert!(!host.running.is_finished());
    let refused = TcpStream::connect(host.address).await.map_err(|reason| reason.kind());
    assert_eq!(refused.err(), Some(io::ErrorKind::ConnectionRefused));

    host.fake.release.notify_one();
    let answer = Answer::parse(&read_all(&mut stream).await);
    assert_eq!((answer.status, answer.body.as_str(), answer.header("connection")), (200, "late", "close"));
    tokio::time::timeout(Duration::from_secs(5), host.running).await.expect("the host ends").unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let mut host = Host::start(|settings| {
        settings.limits.timeout = 10;
        settings.limits.grace = 10;
        settings.scripts = vec![script("slow", "/slow", "GET", |script| script.limits = settings.limits.clone())];
        settings.server.shutdown_grace = Duration::from_millis(50);
    })
    .await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(format!("GET /api/custom/slow HTTP/1.1\r\n{ANN}\r\n").as_bytes()).await.unwrap();
    host.fake.began.notified().await;
    host.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), host.running).await.expect("the host ends").unwrap();
    assert!(read_all(&mut stream).await.is_empty());
}

#[tokio::test]
async fn an_address_in_use() {
    let host = Host::start(|_| {}).await;
    let mut settings = settings();
    settings.server.listen = host.address;
    let error = Server::bind_scripts(&settings, host.fake.clone()).await.err().expect("the address is taken");
    assert!(error.to_string().contains("--listen names another address"), "{error}");
}

/// The log of this test's thread, on which all of its tasks run.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn watch() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// A field of the events of an execution: the first that has it.
    fn get(&self, id: &str, field: &str) -> Option<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find_map(|event| {
            let fields = &event["fields"];
            let value = fields.get(field).filter(|_| fields["execution_id"] == id)?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
    }

    fn find(&self, id: &str, field: &str) -> String {
        self.get(id, field).unwrap_or_else(|| panic!("no event of {id} has {field}"))
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_counts_for_who_its_user_is_now() {
    let host = Host::start(|_| ()).await;
    let ask = async || host.ask("GET", "/api/custom/report", "", "").await.status;
    assert_eq!(ask().await, 201);
    let ann = User { id: "ann".to_owned(), ..User::default() };
    host.fake.people.replace([("acme".to_owned(), ann)], []);
    assert_eq!(ask().await, 403);
    host.fake.people.replace([], []);
    assert_eq!(ask().await, 401, "the token is nobody's any more");
}

/// A certificate for localhost and its key, as files in a folder.
fn certificate(folder: &std::path::Path) -> (crate::settings::TlsSettings, reqwest::Certificate) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = crate::settings::TlsSettings { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    (tls, reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap())
}

/// The status of a request over TLS by a client that trusts one certificate.
async fn over_tls(host: &Host, trusted: &reqwest::Certificate) -> Result<(u16, reqwest::Version), reqwest::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]).no_proxy().build().unwrap();
    let url = format!("https://localhost:{}/api/custom/echo", host.address.port());
    let answer = client.get(url).header("authorization", "Bearer ann-token").send().await?;
    Ok((answer.status().as_u16(), answer.version()))
}

#[tokio::test]
async fn https_and_nothing_else_where_there_is_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (files, first) = certificate(folder.path());
    let host = Host::start(|settings| settings.server.tls = Some(files)).await;
    assert_eq!(over_tls(&host, &first).await.unwrap(), (201, reqwest::Version::HTTP_2));

    // Plain HTTP, and a client that says nothing, are cut off.
    let answer = host.bytes(format!("GET /api/custom/echo HTTP/1.1\r\n{ANN}\r\n")).await;
    // An alert, if anything.
    assert!(answer.first().is_none_or(|record| *record == 21), "{answer:?}");
    let mut silent = TcpStream::connect(host.address).await.unwrap();
    assert!(read_all(&mut silent).await.is_empty());
}
