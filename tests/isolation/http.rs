//! Requests of hostile scripts, and answers of hostile servers.
//!
//! Each script is granted every host at the ports of the test, so that what
//! stops it are the rules on addresses. What the client's parts do alone is
//! tested beside them, in `src/capabilities/http`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use airlock::capabilities::Grant;
use airlock::capabilities::grant::Allowed;
use airlock::capabilities::http::Lookup;
use airlock::host::{Host, Run};
use airlock::runtime::limits::Limits;
use airlock::runtime::sandbox::Program;
use airlock::settings::{Settings, StoreSettings};
use futures_util::FutureExt;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, UnixStream};

use super::peer::{Answer, Bystander, PRIVATE, PUBLIC, Server, ok, redirect};
use super::{call, support};

/// Makes requests one after another and says what came of each.
const SCRIPT: &str = "
    async function main(requests) {
        const outcomes = [];
        for (const request of requests) {
            try {
                const { status, body, headers } = await http.request(request);
                outcomes.push({ status, body, headers });
            } catch ({ name, message, limit }) {
                outcomes.push({ name, message, limit: limit?.name });
            }
        }
        return outcomes;
    }
";

struct Attacker {
    host: Host,
    program: Program,
    lookups: Arc<AtomicUsize>,
    limits: Limits,
    _data: tempfile::TempDir,
}

impl Attacker {
    async fn new() -> Attacker {
        Attacker::with_names(|name, _| match name {
            "a.test" | "b.test" => vec![PUBLIC],
            "inside.test" => vec![PRIVATE],
            "mixed.test" => vec![PRIVATE, "10.0.0.1", "::1", "fe80::1", PUBLIC],
            "all-inside.test" => vec![PRIVATE, "::ffff:127.0.0.2", "64:ff9b::7f00:2", "2002:7f00:2::", "0.0.0.0", "::"],
            "metadata.test" => vec!["169.254.169.254", "fd00:ec2::254", "100.100.100.200"],
            _ => Vec::new(),
        })
        .await
    }

    /// The name server answers by a name and how many it was asked for before.
    async fn with_names(names: fn(&str, usize) -> Vec<&'static str>) -> Attacker {
        Attacker::with(names, Settings::default()).await
    }

    async fn with(names: fn(&str, usize) -> Vec<&'static str>, settings: Settings) -> Attacker {
        let data = tempfile::tempdir().unwrap();
        let mut settings = Settings { data: data.path().to_owned(), ..settings };
        settings.http.private_networks = vec![format!("{PUBLIC}/32").parse().unwrap()];
        let lookups = Arc::new(AtomicUsize::new(0));
        let count = lookups.clone();
        let lookup: Lookup = Arc::new(move |name| {
            let before = count.fetch_add(1, Ordering::SeqCst);
            let found = names(&name, before).into_iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
            std::future::ready(Ok(found)).boxed()
        });
        let host = Host::builder(settings).cache(support::cache()).lookup(lookup).open().await.unwrap();
        let program = host.compile("attack.js", SCRIPT).await.unwrap();
        let limits = Limits { http_calls: 1000, http_response_bytes: 1000, http_timeout: 2_000, ..Limits::default() };
        Attacker { host, program, lookups, limits, _data: data }
    }

    async fn requests_as(&self, tenant: &str, ports: &[u16], requests: &[Value]) -> Vec<Value> {
        let hosts = ports.iter().map(|port| format!("http://*:{port}").parse().unwrap());
        let grant = Grant { http: Allowed::these(hosts.collect()), ..Grant::default() };
        let (limits, grant) = (Arc::new(self.limits.clone()), Arc::new(grant));
        let run = Run { limits, grant, ..call(tenant, &json!(requests)) };
        let outcome = self.host.run(&self.program, run).await.unwrap();
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        serde_json::from_str(outcome.result.unwrap().get()).unwrap()
    }

    async fn requests(&self, ports: &[u16], requests: &[Value]) -> Vec<Value> {
        self.requests_as("acme", ports, requests).await
    }

    async fn gets(&self, ports: &[u16], urls: &[String]) -> Vec<Value> {
        let requests: Vec<Value> = urls.iter().map(|url| json!({ "url": url })).collect();
        self.requests(ports, &requests).await
    }
}

fn assert_refused(outcome: &Value, name: &str, attack: &str) {
    assert_eq!(outcome["name"], name, "{attack}: {outcome}");
    let message = outcome["message"].as_str().unwrap_or_default();
    assert!(message.len() < 1000, "{attack}: {message}");
}

/// The private address in every spelling that some program understands. What
/// comes out is that it is blocked, or that it is no address at all.
#[rustfmt::skip]
const SPELLINGS: &[&str] = &[
    "127.0.0.2", "127.0.0.2.", "127.0.2", "127.2", "2130706434", "2130706434.",
    "0x7f000002", "0X7F000002", "0x7f.0.0.2", "0x7f.0x0.0x0.0x2", "0x7f.2", "0x7f.0.2",
    "017700000002", "0177.0.0.2", "0177.0.0.02", "00000177.0.0.2", "0177.2", "0x0000000000007f000002",
    "%31%32%37.0.0.2", "127%2e0%2e0%2e2", "%30x7f000002",
    "１２７.0.0.2", "127。0。0。2", "127．0．0．2", "127｡0｡0｡2", "①②⑦.0.0.2", "𝟏𝟐𝟕.𝟎.𝟎.𝟐", "１２７。０。０。２",
    "127.0.0.\u{00ad}2", "127.0.0.2\u{200b}", "1\u{2060}27.0.0.2",
    "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[::FFFF:7F00:0002]", "[0:0:0:0:0:ffff:7f00:2]", "[0000:0000:0000:0000:0000:ffff:127.0.0.2]",
    "[::127.0.0.2]", "[::7f00:2]", "[::ffff:0:127.0.0.2]",
    "[64:ff9b::127.0.0.2]", "[64:ff9b::7f00:2]", "[64:ff9b:1::7f00:2]",
    "[2002:7f00:2::]", "[2002:7f00:2::1]", "[2001:0:7f00:2::]",
    "[::1]", "[::]", "0.0.0.0", "0", "0x0", "00", "[0:0:0:0:0:0:0:1]",
    "[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "[::1%1]", "[::ffff:127.0.0.2%25lo]", "[::1]%25lo",
    "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
    "127.0.0.2:80@a.test", "a.test@127.0.0.2", "a.test:x@127.0.0.2", "127.0.0.2%00.a.test", "127.0.0.2\\.a.test",
    "inside.test", "INSIDE.test.", "ｉｎｓｉｄｅ.test", "inside。test", "all-inside.test", "metadata.test",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_leads_to_a_private_address() {
    let attacker = Attacker::new().await;
    let server = Server::start(|_| ok("public")).await;
    let bystander = Bystander::at(server.port).await;
    let urls: Vec<String> = SPELLINGS.iter().map(|host| server.url(host, "/")).collect();
    let outcomes = attacker.gets(&[server.port, 80], &urls).await;
    for (url, outcome) in urls.iter().zip(&outcomes) {
        let name = outcome["name"].as_str().unwrap_or_default();
        assert!(matches!(name, "PermissionDenied" | "TypeError"), "{url}: {outcome}");
        bystander.assert_untouched(url);
    }
    assert!(server.received().is_empty());

    // The same in a redirect, of each kind.
    let port = server.port;
    let hop = Server::start(move |target| {
        let number: usize = target.trim_start_matches('/').parse().unwrap();
        redirect([301, 302, 303, 307, 308][number % 5], &format!("http://{}:{port}/", SPELLINGS[number]))
    })
    .await;
    let urls: Vec<String> = (0..SPELLINGS.len()).map(|number| hop.url("a.test", &format!("/{number}"))).collect();
    let outcomes = attacker.gets(&[hop.port, server.port, 80], &urls).await;
    for (spelling, outcome) in SPELLINGS.iter().zip(&outcomes) {
        let name = outcome["name"].as_str().unwrap_or_default();
        assert!(matches!(name, "PermissionDenied" | "HttpError"), "{spelling}: {outcome}");
        bystander.assert_untouched(spelling);
    }
    assert_eq!(hop.received().len(), SPELLINGS.len());
    assert!(server.received().is_empty());

    // And the public one next to it is reached, in spellings too.
    let reached = ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "a.test", "A.TEST.", "mixed.test"];
    let urls = reached.map(|host| server.url(host, "/"));
    for (url, outcome) in urls.iter().zip(attacker.gets(&[server.port], &urls).await) {
        assert_eq!(outcome["body"], "public", "{url}: {outcome}");
    }
    bystander.assert_untouched("a public address");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_schemes_and_ports_are_not_requested() {
    let attacker = Attacker::new().await;
    let server = Server::start(|_| ok("public")).await;
    let other = server.port.wrapping_add(1).max(1024);
    let urls = [
        "file:///etc/passwd".to_owned(),
        format!("ftp://a.test:{}/", server.port),
        format!("gopher://a.test:{}/_GET", server.port),
        format!("ws://a.test:{}/", server.port),
        "data:text/plain,x".to_owned(),
        "javascript:1".to_owned(),
        "unix:/var/run/docker.sock".to_owned(),
        format!("http://a.test:{other}/"),
        format!("https://a.test:{}/", server.port),
        "http://a.test/".to_owned(),
        format!("//a.test:{}/", server.port),
        format!("http://:{}/", server.port),
        format!("http:///:{}/", server.port),
    ];
    for (url, outcome) in urls.iter().zip(attacker.gets(&[server.port], &urls).await) {
        let name = outcome["name"].as_str().unwrap_or_default();
        assert!(matches!(name, "PermissionDenied" | "TypeError"), "{url}: {outcome}");
    }
    assert!(server.received().is_empty());
    assert_eq!(attacker.lookups.load(Ordering::SeqCst), 0, "nothing was looked up for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_bound_anew_gains_nothing() {
    // Public, private, public, …
    let attacker = Attacker::with_names(|_, before| vec![if before % 2 == 0 { PUBLIC } else { PRIVATE }]).await;
    let server = Server::start(|target| match target {
        "/again" => redirect(307, "/there"),
        "/close" => Answer::Whole("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".into()),
        _ => ok("public"),
    })
    .await;
    let bystander = Bystander::at(server.port).await;
    for round in 0..10 {
        // A connection that is closed makes the next request look up again.
        let paths = ["/close", "/close", "/again", "/there", "/close"];
        let urls = paths.map(|path| server.url(&format!("rebind{}.test", round % 3), path));
        for outcome in attacker.gets(&[server.port], &urls).await {
            let denied = outcome["name"] == "PermissionDenied";
            assert!(denied || outcome["status"] == 200, "{outcome}");
        }
        bystander.assert_untouched("rebinding");
    }
    assert!(attacker.lookups.load(Ordering::SeqCst) > 10, "it was looked up again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_are_cut_off() {
    let mut attacker = Attacker::new().await;
    attacker.limits.http_timeout = 300;
    let server = Server::start(|target| match target {
        "/announced" => Answer::Stuck("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n"),
        "/overflowing" => Answer::Stuck("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551617\r\n\r\n"),
        "/negative" => Answer::Stuck("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
        "/large" => ok(&"x".repeat(1001)),
        "/endless" => Answer::Endless("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]),
        "/chunks" => Answer::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        "/chunk" => {
            Answer::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n", &[b'x'; 4096])
        }
        "/extension" => Answer::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", &[b'x'; 4096]),
        "/trailers" => Answer::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
        "/headers" => Answer::Endless("HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        "/header" => Answer::Endless("HTTP/1.1 200 OK\r\na: ", &[b'x'; 4096]),
        "/interim" => Answer::Endless("", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        "/bomb" => Answer::Endless("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", &[0; 4096]),
        "/silent" => Answer::Stuck(""),
        "/slow-head" => Answer::Dripping("HTTP/1.1 200 OK\r\na: "),
        "/slow-body" => Answer::Dripping("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n"),
        "/stuck-body" => Answer::Stuck("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nx"),
        _ => redirect(302, "/slow-body"),
    })
    .await;
    for (path, name, limit) in [
        ("/announced", "LimitError", Some("http_response_bytes")),
        ("/overflowing", "HttpError", None),
        ("/negative", "HttpError", None),
        ("/large", "LimitError", Some("http_response_bytes")),
        ("/endless", "LimitError", Some("http_response_bytes")),
        ("/chunks", "LimitError", Some("http_response_bytes")),
        ("/chunk", "LimitError", Some("http_response_bytes")),
        ("/extension", "HttpError", None),
        ("/trailers", "HttpError", None),
        ("/headers", "HttpError", None),
        ("/header", "HttpError", None),
        ("/bomb", "LimitError", Some("http_response_bytes")),
        ("/interim", "TimeoutError", Some("http_timeout")),
        ("/silent", "TimeoutError", Some("http_timeout")),
        ("/slow-head", "TimeoutError", Some("http_timeout")),
        ("/slow-body", "TimeoutError", Some("http_timeout")),
        ("/stuck-body", "TimeoutError", Some("http_timeout")),
        ("/redirect", "TimeoutError", Some("http_timeout")),
    ] {
        let outcome = attacker.gets(&[server.port], &[server.url("a.test", path)]).await.remove(0);
        assert_refused(&outcome, name, path);
        assert_eq!(outcome["limit"].as_str(), limit, "{path}: {outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_cannot_hold_another() {
    let attacker = Attacker::new().await;
    let server = Server::start(|_| ok("")).await;
    let url = server.url("a.test", "/");
    let smuggled = "x\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    let header = |name: &str, value: &str| json!({ "url": url, "headers": [[name, value]] });
    let post = |name: &str, value: &str| json!({ "method": "POST", "url": url, "body": "0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", "headers": [[name, value]] });
    let refused = [
        header("x", smuggled),
        header("x", "a\nevil: b"),
        header("x", "a\revil: b"),
        header("x", "a\u{0}b"),
        header("x\r\nevil", "a"),
        header("evil: a\r\nx", "a"),
        header("x ", "a"),
        header("x:", "a"),
        header("", "a"),
        header("x", &"a".repeat(70_000)),
        header("Host", "evil.test"),
        header("hOsT", "evil.test"),
        header("Connection", "keep-alive, x-forwarded-for"),
        header("Upgrade", "h2c"),
        header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        header("TE", "trailers"),
        header("Trailer", "x"),
        header("Expect", "100-continue"),
        header("Keep-Alive", "timeout=9999"),
        header("Proxy-Authorization", "Basic eDp5"),
        header("Proxy-Connection", "keep-alive"),
        post("Content-Length", "0"),
        post("content-length", "+5"),
        post("Transfer-Encoding", "chunked"),
        post("transfer-encoding", "\u{b}chunked"),
        post("Transfer-Encoding ", "chunked"),
        post("Transfer\u{2011}Encoding", "chunked"),
        json!({ "url": url, "method": "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\nGET" }),
        json!({ "url": url, "method": "GET\t/evil" }),
        json!({ "url": url, "method": "CONNECT" }),
        json!({ "url": url, "method": "TRACE" }),
        json!({ "url": url, "body": "a body of a GET" }),
    ];
    for (request, outcome) in refused.iter().zip(attacker.requests(&[server.port], &refused).await) {
        assert_refused(&outcome, "TypeError", &format!("{request:.200}"));
    }
    assert!(server.received().is_empty(), "nothing of it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_second_request_stays_inside_the_first() {
    let attacker = Attacker::new().await;
    let server = Server::start(|_| ok("")).await;
    let smuggled = "GET /evil HTTP/1.1\r\nevil: a\r\n\r\n";
    for (request, line) in [
        (
            json!({ "url": server.url("a.test", "/x HTTP/1.1\r\nevil: a\r\n\r\nGET /evil") }),
            "GET /x%20HTTP/1.1evil:%20aGET%20/evil HTTP/1.1",
        ),
        (
            json!({ "url": server.url("a.test", "/?\r\n\r\nGET /evil HTTP/1.1#\r\nevil: a") }),
            "GET /?GET%20/evil%20HTTP/1.1 HTTP/1.1",
        ),
        (json!({ "url": server.url("a.test", "/%0d%0aevil:%20a") }), "GET /%0d%0aevil:%20a HTTP/1.1"),
        (
            json!({ "url": server.url("a.test", "/"), "query": { "a\r\nevil: b": "\r\n\r\nGET /evil" } }),
            "GET /?a%0D%0Aevil%3A%20b=%0D%0A%0D%0AGET%20%2Fevil HTTP/1.1",
        ),
        (json!({ "url": server.url("a.test", "/"), "headers": [["x", "\r\n a \r\n"]] }), "GET / HTTP/1.1"),
        (json!({ "url": server.url("a.test", "/"), "method": "POST", "body": smuggled }), "POST / HTTP/1.1"),
    ] {
        let outcome = attacker.requests(&[server.port], std::slice::from_ref(&request)).await.remove(0);
        assert_eq!(outcome["status"], 200, "{request}: {outcome}");
        let received = server.received();
        assert_eq!(received.len(), 1, "{request}: {received:?}");
        let (head, _) = received[0].split_once("\r\n\r\n").unwrap();
        assert_eq!(head.lines().next(), Some(line));
        let host = format!("host: a.test:{}", server.port);
        assert!(!head.contains("\r\nevil") && head.lines().any(|line| line == host), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cannot_hold_another_tenants() {
    let attacker = Attacker::new().await;
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let server = Server::start(move |target| match target {
        "/two" => Answer::Whole(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{smuggled}")),
        "/none" => Answer::Whole(format!("HTTP/1.1 204 No Content\r\n\r\n{smuggled}")),
        "/chunks" => Answer::Whole(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{smuggled}"
        )),
        "/lengths" => {
            Answer::Whole(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 40\r\n\r\nok{smuggled}"))
        }
        "/both" => Answer::Whole(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{smuggled}"
        )),
        "/interim" => {
            Answer::Whole("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".into())
        }
        _ => ok("mine"),
    })
    .await;
    for path in ["/two", "/none", "/chunks", "/lengths", "/both", "/interim"] {
        let first = [json!({ "url": server.url("a.test", path) })];
        let outcome = attacker.requests_as("acme", &[server.port], &first).await.remove(0);
        assert_ne!(outcome["body"], "evil", "{path}: {outcome}");
        let next = [json!({ "url": server.url("a.test", "/mine") })];
        let outcome = attacker.requests_as("globex", &[server.port], &next).await.remove(0);
        assert!(outcome["body"] == "mine" || outcome["name"] == "HttpError", "{path}: {outcome}");
        let again = attacker.requests_as("globex", &[server.port], &next).await.remove(0);
        assert_eq!(again["body"], "mine", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_one_tenants_requests_is_in_anothers() {
    let attacker = Attacker::new().await;
    let server = Server::start(|_| {
        Answer::Whole("HTTP/1.1 200 OK\r\nset-cookie: session=acme; Path=/\r\ncontent-length: 0\r\nalt-svc: h3=\":1\"\r\nstrict-transport-security: max-age=9999\r\n\r\n".into())
    })
    .await;
    let url = server.url("a.test", "/");
    let first =
        [json!({ "url": url, "headers": { "authorization": "Bearer of-acme", "cookie": "a=acme", "x-own": "acme" } })];
    attacker.requests_as("acme", &[server.port], &first).await;
    let next = [json!({ "url": url }), json!({ "url": url })];
    for outcome in attacker.requests_as("globex", &[server.port], &next).await {
        assert_eq!(outcome["status"], 200, "{outcome}");
    }
    let received = server.received();
    assert!(received[0].contains("of-acme"));
    for request in &received[1..] {
        assert!(!request.contains("acme"), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_own_listener_is_out_of_reach() {
    let attacker = Attacker::new().await;
    let own = Server::start(|_| ok("the host")).await;
    attacker.host.process().http.forbid(format!("0.0.0.0:{}", own.port).parse().unwrap()).unwrap();
    let hop_to = own.port;
    let hop = Server::start(move |_| redirect(302, &format!("http://127.0.0.1:{hop_to}/"))).await;
    let mut urls =
        ["127.0.0.1", "a.test", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"].map(|host| own.url(host, "/")).to_vec();
    urls.push(hop.url("a.test", "/"));
    for (url, outcome) in urls.iter().zip(attacker.gets(&[own.port, hop.port], &urls).await) {
        let name = outcome["name"].as_str().unwrap_or_default();
        assert!(matches!(name, "PermissionDenied" | "HttpError"), "{url}: {outcome}");
    }
    assert!(own.received().is_empty());
}

/// A database in a network that scripts may reach otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_databases_are_out_of_reach() {
    let mut url = support::postgres::empty().await.unwrap();
    // Where PostgreSQL listens in a network: the tests' own does not.
    let socket: PgConnectOptions = url.as_str().parse().unwrap();
    let path = socket.get_socket().unwrap().join(".s.PGSQL.5432");
    let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (connections.clone(), requests.clone());
    tokio::spawn(async move {
        loop {
            let (mut outside, _) = listener.accept().await.unwrap();
            let mut first = [0];
            outside.peek(&mut first).await.unwrap();
            let count = if first == *b"G" { &counts.1 } else { &counts.0 };
            count.fetch_add(1, Ordering::SeqCst);
            let mut inside = UnixStream::connect(&path).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await });
        }
    });
    url.set_host(Some(PUBLIC)).unwrap();
    url.set_port(Some(port)).unwrap();
    url.set_query(Some("sslmode=disable"));
    let store = Some(StoreSettings { url: url.to_string(), connections: 4 });
    let attacker = Attacker::with(|_, _| vec![PUBLIC], Settings { store, ..Settings::default() }).await;
    assert!(connections.load(Ordering::SeqCst) > 0, "the host's database is there");
    let urls = [PUBLIC, "a.test", "0x7f.1"].map(|host| format!("http://{host}:{port}/"));
    for (url, outcome) in urls.iter().zip(attacker.gets(&[port], &urls).await) {
        let name = outcome["name"].as_str().unwrap_or_default();
        assert!(matches!(name, "PermissionDenied" | "HttpError"), "{url}: {outcome}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}
