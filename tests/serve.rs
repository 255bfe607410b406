//! `airlock serve` from end to end: the real program on a copy of
//! `scripts-examples`, spoken to over sockets.

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::bare::Database;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

const MAYA: &str = "acme-demo-token";
const TOM: &str = "acme-warehouse-token";
const INES: &str = "globex-demo-token";

/// Scripts that the shop does not have, as (name, source, settings).
const MORE: &[(&str, &str, &str)] = &[
    (
        "visits",
        "async function handleRequest() {
            const [{ payments }] = await db.query('SELECT COUNT(*) AS payments FROM payments');
            return { visits: await storage.increment('visits'), payments };
        }",
        "grants.tables = [\"payments (read)\"]\ngrants.capabilities = [\"storage\"]",
    ),
    (
        "takings",
        "export default async () => (await storage.list('takings/')).entries.map((day) => day.value.total);",
        "grants.capabilities = [\"storage\"]",
    ),
    (
        "echo",
        "export default (req) => ({ status: 200, body: { body: req.body, raw: req.rawBody, json: req.json() } });",
        "methods = [\"POST\"]",
    ),
    (
        "throws",
        "function handleRequest() {
            const password = 'hunter2';
            throw new Error(`cannot sign in with ${password}`);
        }",
        "",
    ),
    ("loops", "function handleRequest() { for (;;) {} }", "timeout = \"300ms\""),
    ("clings", "function handleRequest() { for (;;) { try { for (;;) {} } catch {} } }", "timeout = \"300ms\""),
    (
        "splits",
        "export default () => ({ status: 200, headers: { 'x-note': 'a\\r\\nset-cookie: b=c' }, body: null });",
        "",
    ),
    ("asks", "export default async () => (await http.get(UPSTREAM)).text();", "grants.http = [\"UPSTREAM\"]"),
];

/// Where the host keeps its own data.
#[derive(Debug, Clone, Copy)]
enum Store {
    Sqlite,
    Postgres,
}

/// Makes two tests of each function, `sqlite::…` and `postgres::…`.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test(super::Project::new(super::Store::Sqlite));
            })+
        }

        mod postgres {
            $(#[test]
            fn $test() {
                super::$test(super::Project::new(super::Store::Postgres));
            })+
        }
    };
}

on_both_databases!(
    each_tenant_is_served_from_its_own_data_which_outlives_the_process,
    bad_requests_are_refused_in_the_caller_s_terms,
    a_script_that_fails_tells_its_log_and_not_its_caller,
    what_is_under_way_ends_before_the_process_does,
    what_was_answered_outlives_a_host_that_is_killed,
    what_a_script_publishes_reaches_who_handles_it,
);

/// A copy of `scripts-examples`, with [`MORE`].
struct Project {
    folder: tempfile::TempDir,
    /// What the script `asks` asks.
    upstream: TcpListener,
    store: Option<Database>,
}

impl Project {
    fn new(store: Store) -> Project {
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts-examples"), folder.path());
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", upstream.local_addr().unwrap());

        let settings = folder.path().join("airlock.toml");
        let mut text = std::fs::read_to_string(&settings).unwrap();
        assert!(text.contains("private_networks = []"), "the examples' settings have changed");
        text = text.replace("private_networks = []", "private_networks = [\"127.0.0.0/8\"]");
        for (name, source, more) in MORE {
            let source = source.replace("UPSTREAM", &format!("'{address}'"));
            std::fs::write(folder.path().join(format!("{name}.js")), source).unwrap();
            let more = more.replace("UPSTREAM", &address);
            text += &format!("\n[[scripts]]\nname = \"{name}\"\nfile = \"{name}.js\"\ntype = \"http\"\n{more}\n");
        }
        std::fs::write(settings, text).unwrap();
        support::share_cache(&folder.path().join("data"));
        let store = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Database::new("")),
        };
        Project { folder, upstream, store }
    }

    fn serve(&self) -> Host {
        let mut serve = Host::command(&self.folder.path().join("airlock.toml"));
        if let Some(store) = &self.store {
            serve.env("AIRLOCK_STORE_URL", store.admin_url());
        }
        Host::start(serve)
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // What somebody's own `make run` left there.
        if entry.file_name() == "data" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A running `airlock serve`.
struct Host {
    child: Child,
    address: String,
    log: Receiver<String>,
}

impl Host {
    fn command(settings: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(settings);
        command
    }

    fn start(mut command: Command) -> Host {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let first = printed
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("did not start: {:?}", log.try_iter().collect::<Vec<_>>()));
        let address =
            first.strip_prefix("listening on http://").unwrap_or_else(|| panic!("printed {first}")).to_owned();
        Host { child, address, log }
    }

    /// The first line of the log from here on that holds the text.
    fn logged(&self, text: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line has {text}"));
            if line.contains(text) {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    fn terminate(&self) {
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(status.success());
    }

    fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.child.wait().unwrap()
    }

    /// Sends bytes as they are, and reads until the host closes.
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        Answer::read(stream)
    }

    fn request(&self, method: &str, path: &str, token: Option<&str>, headers: &str, body: &str) -> Answer {
        self.send(&request(method, path, token, headers, body))
    }

    fn get(&self, path: &str, token: &str) -> Answer {
        self.request("GET", path, Some(token), "", "")
    }

    fn post_json(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, Some(MAYA), "content-type: application/json\r\n", body)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            // Nobody may listen any more, and the pipe must not fill.
            let _ = sender.send(line);
        }
    });
    receiver
}

fn request(method: &str, path: &str, token: Option<&str>, headers: &str, body: &str) -> Vec<u8> {
    let token = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let length = body.len();
    format!("{method} /api/custom{path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{token}{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(mut stream: TcpStream) -> Answer {
        let mut bytes = Vec::new();
        // A host that refuses a body resets the connection after its answer.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// That this is a problem of RFC 9457 with that status and code.
    #[track_caller]
    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("\r\ncontent-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["code"], code, "{self:?}");
    }
}

/// One of `scripts-examples/inputs`: the request's headers and body.
fn webhook(name: &str) -> (String, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts-examples/inputs").join(name);
    let input: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let headers = input["headers"].as_object().unwrap();
    let headers = headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap())).collect();
    (headers, input["rawBody"].as_str().unwrap().to_owned())
}

fn each_tenant_is_served_from_its_own_data_which_outlives_the_process(project: Project) {
    let host = project.serve();

    let hello = host.get("/hello", MAYA);
    assert_eq!((hello.status, hello.json()), (200, json!({ "message": "Hello, Maya Lindqvist of Acme Outdoor!" })));
    let hello = host.get("/hello?greeting=Ol%C3%A1", INES);
    assert_eq!(hello.json(), json!({ "message": "Olá, Inês Carvalho of Globex Kitchen Supply!" }));
    host.request("GET", "/hello", None, "", "").is_problem(401, "unauthorized");
    host.get("/hello", "a-guess").is_problem(401, "unauthorized");
    host.request("GET", "/hello", Some(INES), "x-tenant: acme\r\n", "").is_problem(403, "wrong_tenant");

    let january = "/sales-report?start=2024-01-01&end=2024-01-31";
    let acme = host.get(january, MAYA).json();
    assert_eq!((&acme["summary"]["orders"], &acme["summary"]["revenue"]), (&json!(14), &json!(4883.45)));
    let globex = host.get(january, INES).json();
    assert_eq!(globex["tenant"], "Globex Kitchen Supply");
    assert_ne!(globex["summary"], acme["summary"]);
    assert_eq!(host.get(january, TOM).status, 403);

    let (headers, body) = webhook("webhook-request.json");
    let hook = |host: &Host, token, headers: &str, body: &str| {
        host.request("POST", "/webhooks/payments", Some(token), headers, body)
    };
    let (forged_headers, forged_body) = webhook("webhook-forged.json");
    assert_eq!(hook(&host, MAYA, &forged_headers, &forged_body).status, 401);
    // Signed, but with another tenant's secret.
    assert_eq!(hook(&host, INES, &headers, &body).status, 401);
    let visits = |host: &Host, token| host.get("/visits", token).json();
    let before = visits(&host, MAYA);
    let paid = hook(&host, MAYA, &headers, &body);
    assert_eq!(paid.status, 200, "{paid:?}");
    assert_eq!(paid.json()["status"], "paid");
    assert_eq!(hook(&host, MAYA, &headers, &body).json()["duplicate"], true);
    let after = visits(&host, MAYA);
    assert_eq!(after["payments"], before["payments"].as_i64().unwrap() + 1);
    assert_eq!(after["visits"], 2);

    assert!(host.stop().success());
    let host = project.serve();
    let again = visits(&host, MAYA);
    assert_eq!((&again["visits"], &again["payments"]), (&json!(3), &after["payments"]));
    assert_eq!(hook(&host, MAYA, &headers, &body).json()["duplicate"], true);
    // The seed was not applied a second time, and the other tenant saw nothing.
    assert_eq!(host.get(january, MAYA).json()["summary"], acme["summary"]);
    assert_eq!(visits(&host, INES)["visits"], 1);
}

fn what_a_script_publishes_reaches_who_handles_it(project: Project) {
    let host = project.serve();
    let (headers, body) = webhook("webhook-request.json");
    let paid = host.request("POST", "/webhooks/payments", Some(MAYA), &headers, &body);
    assert_eq!(paid.status, 200, "{paid:?}");
    let began = Instant::now();
    while host.get("/takings", MAYA).json() != json!([420]) {
        assert!(began.elapsed() < PATIENCE, "the event was not handled");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(host.get("/takings", INES).json(), json!([]));
    assert!(host.stop().success());
}

fn bad_requests_are_refused_in_the_caller_s_terms(project: Project) {
    let host = project.serve();

    let echo = host.post_json("/echo", "{\"a\": [1]}").json();
    assert_eq!((&echo["body"], &echo["json"]), (&json!({ "a": [1] }), &json!({ "a": [1] })));
    let bad = host.post_json("/echo", "{\"a\": }");
    bad.is_problem(400, "body_not_json");
    assert!(bad.json()["detail"].as_str().unwrap().contains("line 1 column 7"), "{bad:?}");
    host.post_json("/echo", &("[".repeat(100_000) + &"]".repeat(100_000))).is_problem(400, "body_too_deep");
    // The host answers before the body comes.
    let large = request("POST", "/echo", Some(MAYA), "", "");
    let large = String::from_utf8(large).unwrap().replace("content-length: 0", "content-length: 2000000");
    host.send(large.as_bytes()).is_problem(413, "body_too_large");

    host.get("/no-such-thing", MAYA).is_problem(404, "not_found");
    let wrong = host.post_json("/hello", "{}");
    wrong.is_problem(405, "method_not_allowed");
    assert!(wrong.head.contains("\r\nallow: get"), "{wrong:?}");

    // A line break within a header, as it comes and as a script would send it.
    let folded = host.request("GET", "/hello", Some(MAYA), "x-note: one\r\n two\r\n", "");
    assert_eq!(folded.status, 400, "{folded:?}");
    let bare = host.request("GET", "/hello", Some(MAYA), "x-note: one\rtwo\r\n", "");
    assert_eq!(bare.status, 400, "{bare:?}");
    let splits = host.get("/splits", MAYA);
    splits.is_problem(500, "bad_response");
    assert!(!splits.head.contains("set-cookie"), "{splits:?}");

    // After all this it still serves.
    assert_eq!(host.get("/hello", MAYA).status, 200);
}

fn a_script_that_fails_tells_its_log_and_not_its_caller(project: Project) {
    let host = project.serve();

    let thrown = host.get("/throws", MAYA);
    thrown.is_problem(500, "script_failed");
    for internal in ["hunter2", "throws.js", "stack", "wasm"] {
        assert!(!thrown.body.contains(internal) && !thrown.head.contains(internal), "{thrown:?}");
    }
    let line = host.logged("hunter2");
    assert_eq!(line["fields"]["execution_id"], thrown.json()["execution_id"]);
    assert_eq!((&line["fields"]["line"], &line["fields"]["file"]), (&json!(3), &json!("throws.js")));

    host.get("/loops", MAYA).is_problem(504, "script_timeout");
    host.get("/clings", MAYA).is_problem(504, "script_timeout");
    assert_eq!(host.get("/hello", MAYA).status, 200);
}

fn what_is_under_way_ends_before_the_process_does(project: Project) {
    let mut host = project.serve();

    let mut caller = TcpStream::connect(&host.address).unwrap();
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    caller.write_all(&request("GET", "/asks", Some(MAYA), "", "")).unwrap();
    // The script is waiting for this connection's answer.
    let (upstream, _) = project.upstream.accept().unwrap();
    let mut asked = String::new();
    BufReader::new(&upstream).read_line(&mut asked).unwrap();
    assert_eq!(asked, "GET / HTTP/1.1\r\n");

    host.terminate();
    host.logged("\"stopping\"");
    assert!(TcpStream::connect(&host.address).is_err(), "it takes no more connections");
    assert!(host.child.try_wait().unwrap().is_none());

    (&upstream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").unwrap();
    let answer = Answer::read(caller);
    assert_eq!((answer.status, answer.body.as_str()), (200, "\"late\""));
    assert!(host.child.wait().unwrap().success());
}

/// Callers that count while the host is killed, again and again: what they were
/// told is counted, and at most what they asked for.
fn what_was_answered_outlives_a_host_that_is_killed(project: Project) {
    const CALLERS: usize = 8;
    let (mut answered, mut asked) = (0, 0);
    for kill in 1..=3 {
        let host = project.serve();
        let (tell, told) = channel();
        let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (tell, address) = (tell.clone(), host.address.clone());
                    scope.spawn(move || count(&address, &tell))
                })
                .collect();
            // Far enough that each is in the middle of something.
            for _ in 0..20 * kill {
                told.recv_timeout(PATIENCE).unwrap();
            }
            let status = Command::new("sh").args(["-c", &format!("kill -KILL {}", host.child.id())]).status().unwrap();
            assert!(status.success());
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        answered += counts.iter().map(|(answered, _)| answered).sum::<u64>();
        asked += counts.iter().map(|(_, asked)| asked).sum::<u64>();
    }
    let visits = project.serve().get("/visits", MAYA).json()["visits"].as_u64().unwrap() - 1;
    assert!((answered..=asked).contains(&visits), "{answered} answered, {asked} asked, {visits} counted");
}

/// Counts until the host is gone. Answers how often it was told so, and how
/// often it asked.
fn count(address: &str, tell: &Sender<()>) -> (u64, u64) {
    let (mut answered, mut asked) = (0, 0);
    loop {
        let Ok(mut stream) = TcpStream::connect(address) else { return (answered, asked) };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        asked += 1;
        if stream.write_all(&request("GET", "/visits", Some(MAYA), "", "")).is_err() {
            return (answered, asked);
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        if !answer.contains("\"visits\":") {
            assert!(answer.is_empty(), "{answer}");
            return (answered, asked);
        }
        answered += 1;
        let _ = tell.send(());
    }
}

/// Whoever starts the host may have left the umask wide open.
#[test]
fn what_the_host_makes_is_its_users_alone() {
    let project = Project::new(Store::Sqlite);
    std::fs::remove_dir_all(project.folder.path().join("data")).unwrap();
    let mut serve = Command::new("sh");
    let settings = project.folder.path().join("airlock.toml");
    serve.args(["-c", "umask 000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_airlock"), "serve"]);
    serve.args(["--listen", "127.0.0.1:0", "--config"]).arg(settings);
    let host = Host::start(serve);
    assert_eq!(host.get("/visits", MAYA).status, 200);
    let mut seen = Vec::new();
    private(&project.folder.path().join("data"), &mut seen);
    for name in ["data", "airlock.db", "airlock.db-wal", "tenants", "acme.db", "acme.db-wal", "cache"] {
        assert!(seen.iter().any(|path| path.ends_with(name)), "{name} is not among {seen:?}");
    }
}

/// Asserts that nobody else may read or write what is there.
fn private(path: &Path, seen: &mut Vec<PathBuf>) {
    let metadata = std::fs::metadata(path).unwrap();
    let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(metadata.permissions().mode() & 0o777, mode, "{}", path.display());
    seen.push(path.to_owned());
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            private(&entry.unwrap().path(), seen);
        }
    }
}

#[test]
fn settings_that_cannot_be_used_end_with_status_2() {
    let serve = |settings: &Path| {
        Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(["serve", "--config"])
            .arg(settings)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("airlock.toml");
    let missing = serve(&settings);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("airlock.toml"));

    std::fs::write(&settings, "[limits]\ntimeuot = \"3s\"\n").unwrap();
    let misspelt = serve(&settings);
    let said = String::from_utf8(misspelt.stderr).unwrap();
    assert_eq!(misspelt.status.code(), Some(2));
    assert!(said.contains("did you mean `timeout`?") && said.contains(":2:1"), "{said}");

    std::fs::write(&settings, "[limits]\ntimeout = \"3 parsecs\"\n").unwrap();
    let odd = serve(&settings);
    let said = String::from_utf8(odd.stderr).unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(said.contains("`30s`") && said.contains(":2:11"), "{said}");
}
