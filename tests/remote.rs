//! The verbs that speak to a host, against a real one.

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const SETTINGS: &str = r#"
[server]
listen = "127.0.0.1:0"

[[tenants]]
id = "acme"

[[users]]
id = "maya"
tenant = "acme"
permissions = ["Script.*", "Job.*", "Secret.Manage"]
token = "maya-token"

[[users]]
id = "ted"
tenant = "acme"
permissions = ["Script.Create", "Script.Read", "Script.Update", "Script.Execute"]
token = "ted-token"

[secrets]
keys = [{ id = "a", key = "4141414141414141414141414141414141414141414141414141414141414141" }]

[[scripts]]
name = "of-settings"
file = "of-settings.js"
"#;

struct Host {
    folder: tempfile::TempDir,
    child: Child,
    address: String,
}

struct Done {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Done {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("not JSON: {} {}", self.stdout, self.stderr))
    }
}

impl Host {
    fn start() -> Host {
        let folder = tempfile::tempdir().unwrap();
        support::share_cache(&folder.path().join("data"));
        std::fs::write(folder.path().join("airlock.toml"), SETTINGS).unwrap();
        std::fs::write(folder.path().join("of-settings.js"), "function main() { return 1; }").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        command.args(["serve", "--config"]).arg(folder.path().join("airlock.toml"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address =
            first.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("printed {first}")).to_owned();
        Host { folder, child, address }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn airlock(&self, arguments: &[&str]) -> Done {
        self.airlock_as("maya-token", arguments)
    }

    fn airlock_as(&self, token: &str, arguments: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        command.current_dir(self.folder.path()).args(arguments);
        command.env("AIRLOCK_HOST", &self.address).env("AIRLOCK_TOKEN", token);
        let output = command.output().unwrap();
        Done {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_script_is_deployed_run_changed_and_rolled_back() {
    let host = Host::start();
    host.file("orders.js", "function main(order) { console.log('one'); return order.total; }");
    let done = host.airlock(&["deploy", "orders.js", "-m", "The first"]);
    assert_eq!((done.status, done.stdout.as_str()), (0, "orders: version 1 is deployed\n"), "{}", done.stderr);

    let done = host.airlock(&["invoke", "orders", "--input", r#"{"total":7}"#]);
    assert_eq!((done.status, done.stdout.as_str()), (0, "7\n"), "{}", done.stderr);
    assert!(done.stderr.contains(r#""message":"one""#), "{}", done.stderr);

    host.file("orders.js", "function main(order) { return order.total * 2; }");
    let done = host.airlock(&["deploy", "orders.js", "--save-only", "-m", "Double"]);
    assert_eq!((done.status, done.stdout.as_str()), (0, "orders: version 2 is saved\n"), "{}", done.stderr);
    let run = |arguments: &[&str]| {
        let mut all = vec!["invoke", "orders", "--input", r#"{"total":7}"#];
        all.extend(arguments);
        host.airlock(&all).stdout
    };
    assert_eq!((run(&[]).as_str(), run(&["--version", "2"]).as_str()), ("7\n", "14\n"));
    let done = host.airlock(&["scripts", "diff", "orders"]);
    assert!(done.stdout.contains("+function main(order) { return order.total * 2; }"), "{}", done.stdout);
    host.airlock(&["deploy", "orders.js"]);
    assert_eq!(run(&[]), "14\n");

    let done = host.airlock(&["rollback", "orders"]);
    assert_eq!((done.status, done.stdout.as_str()), (0, "orders: version 1 is deployed\n"), "{}", done.stderr);
    assert_eq!(run(&[]), "7\n");
    let done = host.airlock(&["rollback", "orders"]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("no version before 1"), "{}", done.stderr);

    let done = host.airlock(&["scripts", "list"]);
    let table: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        table,
        [
            ["NAME", "TYPE", "ENABLED", "DEPLOYED", "LATEST", "ORIGIN"],
            ["of-settings", "embedded", "true", "-", "-", "settings"],
            ["orders", "embedded", "true", "1", "2", "stored"],
        ]
    );
    let done = host.airlock(&["scripts", "versions", "orders", "--json"]);
    let messages: Vec<_> = done.json().as_array().unwrap().iter().map(|version| version["message"].clone()).collect();
    assert_eq!(messages, [json!("Double"), json!("The first")]);
    let done = host.airlock(&["scripts", "source", "orders", "--version", "2"]);
    assert_eq!(done.stdout, "function main(order) { return order.total * 2; }\n");

    assert_eq!(host.airlock(&["scripts", "disable", "orders"]).stdout, "orders is disabled\n");
    assert_eq!(host.airlock(&["invoke", "orders"]).status, 2);
    assert_eq!(host.airlock(&["scripts", "enable", "orders"]).stdout, "orders is enabled\n");
    assert_eq!(host.airlock(&["scripts", "delete", "orders"]).stdout, "orders is deleted\n");
    let done = host.airlock(&["scripts", "show", "orders"]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
}

#[test]
fn what_is_queued_is_done_taken_back_or_replayed() {
    let host = Host::start();
    host.file(
        "picky.js",
        "function main(input) { if (!input) throw new RangeError('nothing\\nto do'); return input; }",
    );
    assert_eq!(host.airlock(&["deploy", "picky.js"]).status, 0);
    let ended = |id: &str| loop {
        let jobs = host.airlock(&["jobs", "--json"]).json();
        let job = jobs.as_array().unwrap().iter().find(|job| job["id"] == id).cloned();
        match job.filter(|job| job["state"] != "dead") {
            None => return,
            Some(_) => std::thread::yield_now(),
        }
    };
    let done = host.airlock(&["invoke", "picky", "--no-wait", "--input", "7"]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    ended(done.stdout.trim());
    let table = |arguments: &[&str]| -> Vec<Vec<String>> {
        let done = host.airlock(arguments);
        assert_eq!(done.status, 0, "{}", done.stderr);
        done.stdout
            .lines()
            .skip(1)
            .map(|line| line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect())
            .collect()
    };
    assert_eq!(table(&["jobs"]).len(), 0, "what is done is gone");

    let failed = host.airlock(&["invoke", "picky", "--no-wait"]).stdout.trim().to_owned();
    ended(&failed);
    let dead = table(&["jobs", "--dead"]);
    assert_eq!(
        (dead.len(), &dead[0][0], &dead[0][3], &dead[0][6]),
        (1, &failed, &"dead".to_owned(), &"RangeError: nothing to do".to_owned())
    );
    let done = host.airlock(&["jobs", "replay", &failed]);
    assert_eq!((done.status, done.stdout), (0, format!("{failed} waits for its turn\n")), "{}", done.stderr);
    let done = host.airlock(&["jobs", "show", &failed]);
    assert!(done.stdout.contains("RangeError"), "{}", done.stdout);

    let later =
        host.airlock(&["invoke", "picky", "--at", "2999-01-01T00:00:00Z", "--attempts", "3"]).stdout.trim().to_owned();
    let all = table(&["jobs"]);
    assert_eq!((&all[0][0], &all[0][3], &all[0][5]), (&later, &"delayed".to_owned(), &"0/3".to_owned()));
    let done = host.airlock(&["jobs", "discard", &later]);
    assert_eq!((done.status, done.stdout), (0, format!("{later} is discarded\n")), "{}", done.stderr);
    let done = host.airlock(&["jobs", "discard", &later]);
    assert_eq!(done.status, 2);
    assert_eq!(host.airlock(&["invoke", "picky", "--at", "soon"]).status, 2);
}

#[test]
fn what_a_script_does_wrong_shows_in_the_exit_status() {
    let host = Host::start();
    host.file("broken.js", "function main( {\n");
    let done = host.airlock(&["deploy", "broken.js"]);
    assert_eq!((done.status, done.stdout.as_str()), (4, ""));
    assert!(done.stderr.contains("broken") && done.stderr.contains("function main( {"), "{}", done.stderr);

    host.file("throws.js", "function main() {\n  throw new RangeError('too far');\n}");
    host.airlock(&["deploy", "throws.js"]);
    let done = host.airlock(&["invoke", "throws"]);
    assert_eq!((done.status, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("RangeError: too far") && done.stderr.contains(":2:"), "{}", done.stderr);
    let done = host.airlock(&["invoke", "throws", "--json"]);
    assert_eq!((done.status, done.json()["error"]["name"].clone()), (1, json!("RangeError")));

    let done = host.airlock(&["deploy", "nowhere.js"]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("nowhere.js can't be read"), "{}", done.stderr);
    assert_eq!(host.airlock(&["invoke", "throws", "--input", "{"]).status, 2);
}

#[test]
fn what_a_script_may_reach_more_is_agreed_to_by_who_may() {
    let host = Host::start();
    host.file("mails.js", "// @airlock tables: clients\nfunction main() { return 1; }");
    let done = host.airlock_as("ted-token", &["deploy", "mails.js"]);
    assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{}", done.stderr);
    assert!(done.stderr.contains("clients") && done.stderr.contains("--confirm-capabilities"), "{}", done.stderr);
    let done = host.airlock_as("ted-token", &["deploy", "mails.js", "--confirm-capabilities"]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("Script.Grant"), "{}", done.stderr);
    let done = host.airlock(&["deploy", "mails.js", "--confirm-capabilities"]);
    assert_eq!((done.status, done.stdout.as_str()), (0, "mails: version 1 is deployed\n"), "{}", done.stderr);
}

#[test]
fn a_host_that_cannot_be_asked() {
    let host = Host::start();
    let done = host.airlock_as("nobody", &["scripts", "list"]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("valid token"), "{}", done.stderr);
    let done = host.airlock(&["scripts", "list", "--host", "http://127.0.0.1:1"]);
    assert_eq!(done.status, 2);
    assert!(
        done.stderr.contains("http://127.0.0.1:1/ can't be asked") && done.stderr.contains("--host"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_ran_is_listed_shown_and_its_log_read() {
    let host = Host::start();
    host.file(
        "greet.js",
        "function main(who) { console.warn('hello', { who }); if (!who) throw new TypeError('who?'); }",
    );
    host.airlock(&["deploy", "greet.js"]);
    host.airlock(&["invoke", "greet", "--input", "\"Ada\""]);
    host.airlock(&["invoke", "greet"]);
    let done = host.airlock(&["executions", "list", "--script", "greet"]);
    let table: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table[0], ["ID", "SCRIPT", "VERSION", "TRIGGER", "STATUS", "STARTED", "MS", "ERROR"]);
    assert_eq!(
        (table.len(), &table[1][1..5], &table[1][7..]),
        (3, &["greet", "1", "api", "failed"][..], &["TypeError:", "who?"][..])
    );
    let done = host.airlock(&["executions", "list", "--status", "completed", "--json"]);
    let id = done.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(host.airlock(&["executions", "show", &id, "--json"]).json()["log_lines"], 1);
    let done = host.airlock(&["executions", "cancel", &id]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("has ended already"), "{}", done.stderr);
    assert_eq!(host.airlock(&["executions", "list", "--status", "nonsense"]).status, 2);

    let done = host.airlock(&["logs", "greet"]);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(r#"warn   greet  hello  {"who":"Ada"}"#), "{}", done.stdout);
    let done = host.airlock(&["logs", "--json", "--limit", "1"]);
    let line: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&line["message"], &line["who"]), (&json!("hello"), &Value::Null));

    let mut following = Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(["logs", "greet", "--follow"])
        .env("AIRLOCK_HOST", &host.address)
        .env("AIRLOCK_TOKEN", "maya-token")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut followed = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    // It says nothing of when it began to follow, so there is something to follow for as long as it takes.
    let more = std::thread::scope(|scope| {
        let (told, stop) = std::sync::mpsc::channel::<()>();
        let host = &host;
        scope.spawn(move || {
            while stop.try_recv().is_err() {
                host.airlock(&["invoke", "greet", "--input", "\"Bob\""]);
            }
        });
        let more: Vec<String> = followed.by_ref().take(2).collect();
        told.send(()).unwrap();
        more
    });
    following.kill().unwrap();
    following.wait().unwrap();
    assert!(more.iter().any(|line| line.ends_with(r#"greet  hello  {"who":"Bob"}"#)), "{more:?}");
    assert!(more.iter().any(|line| line.starts_with("greet completed after ")), "{more:?}");
}

#[test]
fn secrets_are_set_on_a_host() {
    let host = Host::start();
    let set = |token: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        command.args(["secrets", "set", "KEY"]).env("AIRLOCK_HOST", &host.address).env("AIRLOCK_TOKEN", token);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(set("maya-token", "sesame\n"), (0, "KEY is set\n".to_owned()));
    let (status, said) = set("ted-token", "other");
    assert!(status == 2 && said.contains("Secret.Manage"), "{said}");
    let done = host.airlock(&["secrets", "list"]);
    assert!(done.stdout.starts_with("KEY\t20") && !done.stdout.contains("sesame"), "{}", done.stdout);
    assert_eq!(host.airlock(&["secrets", "list", "--json"]).json()[0]["name"], "KEY");
    assert_eq!(host.airlock(&["secrets", "delete", "KEY"]).stderr, "KEY is deleted\n");
    assert_eq!(host.airlock(&["secrets", "delete", "KEY"]).status, 2);
    assert_eq!(host.airlock(&["secrets", "list"]).stdout, "");
    assert_eq!(host.airlock(&["secrets", "list", "--data", "data"]).status, 2, "that is the operator's");
}

#[test]
fn a_schedule_is_seen_put_to_rest_woken_and_run() {
    let host = Host::start();
    host.file("nightly.js", "export default () => 'done';");
    let deploy = ["deploy", "nightly.js", "--type", "cron", "--schedule", "30 2 * * *", "--timezone", "Europe/Berlin"];
    let done = host.airlock(&deploy);
    assert_eq!(done.status, 0, "{}", done.stderr);

    let list = host.airlock(&["schedules", "list"]);
    let lines: Vec<Vec<&str>> = list.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let [heads, nightly] = lines.as_slice() else { panic!("{}", list.stdout) };
    assert_eq!(heads.join(" "), "NAME SCHEDULE TIMEZONE STATE NEXT LAST STATUS");
    assert_eq!(nightly[..8].join(" "), "nightly 30 2 * * * Europe/Berlin active");
    assert!(nightly[8].ends_with(":30:00.000Z"), "{}", list.stdout);

    for (verb, says, state) in
        [("pause", "nightly rests\n", "paused"), ("resume", "nightly runs by its schedule\n", "active")]
    {
        let done = host.airlock(&["schedules", verb, "nightly"]);
        assert_eq!((done.status, done.stdout.as_str()), (0, says), "{}", done.stderr);
        assert_eq!(host.airlock(&["schedules", "list", "--json"]).json()[0]["state"], state);
    }
    let ticks = host.airlock(&["schedules", "ticks", "nightly", "--json"]);
    assert_eq!(ticks.json(), json!([]));
    let run = host.airlock(&["schedules", "run", "nightly", "--json"]);
    assert!(run.json()["id"].is_string(), "{}", run.stderr);

    let unknown = host.airlock(&["schedules", "pause", "weekly"]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (2, ""));
    assert!(unknown.stderr.contains("There is no scheduled script of this id or name."), "{}", unknown.stderr);
}
