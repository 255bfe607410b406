//! The contract of the command line: exit statuses, the shape of `--json`, and
//! what each mistake is told.

#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::bare::Database;

struct Folder(tempfile::TempDir);

struct Done {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// A data folder that shares the machine code of all tests.
    fn data(&self, name: &str) {
        support::share_cache(&self.path(name));
    }

    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder::new();
        for (name, text) in files {
            std::fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program in this folder.
    fn airlock(&self, arguments: &[&str]) -> Done {
        self.run(&[], "", arguments)
    }

    /// The same, with a text on stdin.
    fn airlock_with(&self, stdin: &str, arguments: &[&str]) -> Done {
        self.run(&[], stdin, arguments)
    }

    /// The same, with environment variables.
    fn airlock_in(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Done {
        self.run(environment, "", arguments)
    }

    fn run(&self, environment: &[(&str, &str)], stdin: &str, arguments: &[&str]) -> Done {
        let mut child = Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            // Machine code is kept between the tests.
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read has closed it.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let done =
            Done { status: status.code().expect("it ended by itself"), stdout: text(stdout), stderr: text(stderr) };
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        done
    }
}

impl Done {
    #[track_caller]
    fn is(&self, status: i32) -> &Done {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Done {
        assert!(self.stderr.contains(text), "`{text}` is not in: {}", self.stderr);
        self
    }

    #[track_caller]
    fn prints(&self, text: &str) -> &Done {
        assert_eq!(self.stdout.trim_end(), text, "stderr: {}", self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

const GREET: &str = "function main(input) {\n    console.info('greeting', { to: input?.name });\n    return { greeting: `Hello, ${input?.name ?? context.user.name}` };\n}\n";

#[test]
fn a_result_goes_to_stdout_and_the_logs_to_stderr() {
    let folder = Folder::with(&[("greet.js", GREET)]);
    let done = folder.airlock(&["run", "greet.js", "--input", r#"{"name":"Ada"}"#]);
    done.is(0).prints(r#"{"greeting":"Hello, Ada"}"#);
    let line: Value = serde_json::from_str(done.stderr.trim()).unwrap();
    assert_eq!(
        (&line["message"], &line["to"], &line["source_file"]),
        (&"greeting".into(), &"Ada".into(), &"greet.js".into())
    );
}

#[test]
fn input_and_context_may_come_from_files() {
    let folder = Folder::with(&[
        ("greet.js", GREET),
        ("input.json", r#"{"name": "Bo"}"#),
        (
            "context.json",
            r#"{"tenant": {"id": "acme", "name": "Acme"}, "user": {"name": "Cy"}, "script": {"type": "cron"}, "execution": {"id": "e-1", "triggeredBy": "cron"}}"#,
        ),
        ("context.js", "function main() { return context; }"),
    ]);
    folder.airlock(&["run", "greet.js", "--input", "@input.json"]).is(0).prints(r#"{"greeting":"Hello, Bo"}"#);
    folder.airlock(&["run", "greet.js", "--context", "@context.json"]).is(0).prints(r#"{"greeting":"Hello, Cy"}"#);
    let context = folder.airlock(&["run", "context.js", "--context", "@context.json"]).is(0).json();
    assert_eq!(context["tenant"]["id"], "acme");
    assert_eq!(context["script"]["type"], "cron");
    assert_eq!(context["execution"]["triggeredBy"], "cron");
}

#[test]
fn json_is_one_object_with_everything() {
    let folder = Folder::with(&[
        ("greet.js", GREET),
        ("fails.js", "function main() {\n    null.name;\n}\n"),
        ("loop.js", "function main() { for (;;) {} }"),
    ]);
    let done = folder.airlock(&["run", "greet.js", "--json"]);
    let outcome = done.is(0).json();
    let names: Vec<_> = outcome.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["status", "result", "error", "logs", "fuel", "duration_ms", "memory_bytes", "host_calls"]);
    assert_eq!(outcome["status"], "completed");
    assert_eq!(outcome["error"], Value::Null);
    assert_eq!(outcome["logs"][0]["message"], "greeting");
    assert!(outcome["fuel"].as_u64().unwrap() > 0 && outcome["memory_bytes"].as_u64().unwrap() > 0);
    assert!(outcome["duration_ms"].is_number());
    assert_eq!(done.stderr, "");

    let outcome = folder.airlock(&["run", "fails.js", "--json"]).is(1).json();
    assert_eq!(outcome["status"], "failed");
    assert_eq!(outcome["result"], Value::Null);
    let error = outcome["error"].as_object().unwrap();
    assert_eq!(error.keys().map(String::as_str).collect::<Vec<_>>(), ["name", "message", "stack", "line", "column"]);
    assert_eq!((&error["name"], &error["line"], &error["column"]), (&"TypeError".into(), &2.into(), &10.into()));
    assert_eq!(error["stack"], "    at main (fails.js:2:10)");

    let outcome = folder.airlock(&["run", "loop.js", "--json", "--timeout", "30ms"]).is(3).json();
    assert_eq!(outcome["status"], "timeout");
    assert_eq!(outcome["error"]["limit"]["setting"], "limits.timeout");
    assert_eq!(outcome["error"]["limit"]["value"], 30);
}

#[test]
fn a_script_that_throws_exits_1_with_a_frame() {
    let folder = Folder::with(&[("fails.js", "function main(order) {\n    return order.items.length;\n}\n")]);
    let done = folder.airlock(&["run", "fails.js", "--input", "{}"]);
    done.is(1).prints("").says("TypeError: cannot read property 'length' of undefined");
    done.says("fails.js:2:24").says("return order.items.length;").says("at main (fails.js:2:24)");
}

#[test]
fn a_limit_exits_3() {
    let folder = Folder::with(&[
        ("loop.js", "function main() { for (;;) {} }"),
        ("memory.js", "function main() { const list = []; for (;;) list.push([1]); }"),
        ("top.js", "for (;;) {}\nfunction main() {}"),
        ("bomb.js", "const list = []; for (;;) list.push([1]);\nfunction main() {}"),
    ]);
    folder
        .airlock(&["run", "loop.js", "--timeout", "30ms"])
        .is(3)
        .says("the limit on timeout is 30ms")
        .says("limits.timeout");
    folder
        .airlock(&["run", "loop.js", "--fuel", "30000000"])
        .is(3)
        .says("the limit on fuel is 30000000")
        .says("limits.fuel");
    folder.airlock(&["run", "memory.js", "--memory", "16MiB"]).is(3).says("limits.memory");
    folder.airlock(&["run", "top.js", "--timeout", "30ms"]).is(3).says("top level").says("limits.timeout");
    let outcome = folder.airlock(&["run", "bomb.js", "--memory", "16MiB", "--json"]).is(3).json();
    assert_eq!((&outcome["status"], &outcome["error"]["limit"]["name"]), (&"limit".into(), &"memory".into()));
}

#[test]
fn what_does_not_compile_exits_4() {
    let folder = Folder::with(&[
        ("broken.js", "function main() {\n    const list = [1, 2;\n}\n"),
        ("throws.js", "const x = null.y;\nfunction main() {}\n"),
        ("nothing.js", "export const rate = 1;\n"),
        ("early.js", "const rows = await db.query('SELECT 1');\nexport default () => rows;\n"),
    ]);
    for verb in ["run", "compile"] {
        folder.airlock(&[verb, "broken.js"]).is(4).says("broken.js:2:23").says("Expected `,` or `]` but found `;`");
        folder.airlock(&[verb, "throws.js"]).is(4).says("cannot read property 'y' of null").says("throws.js:1:16");
        folder.airlock(&[verb, "nothing.js"]).is(4).says("exports no function");
        folder.airlock(&[verb, "early.js"]).is(4).says("move the call into a function");
    }
    let outcome = folder.airlock(&["run", "broken.js", "--json"]).is(4).json();
    assert_eq!(
        (&outcome["error"]["name"], &outcome["error"]["line"], &outcome["error"]["column"]),
        (&"SyntaxError".into(), &2.into(), &23.into())
    );
    assert!(!folder.path("broken.wasm").exists());
}

#[test]
fn files_that_are_no_scripts_are_refused() {
    let folder =
        Folder::with(&[("prose.js", "This is not JavaScript at all.\n"), ("page.html", "<!doctype html><p>Hello")]);
    std::fs::create_dir(folder.path("folder")).unwrap();
    std::fs::write(folder.path("picture.js"), b"\x89PNG\r\n\x1a\n\xff\xfe").unwrap();
    std::fs::write(folder.path("nul.js"), b"function main() {}\n\0").unwrap();
    for verb in ["run", "compile", "inspect"] {
        folder.airlock(&[verb, "missing.js"]).is(2).says("missing.js").says("there is no such file");
        folder.airlock(&[verb, "folder"]).is(2).says("it is a folder");
    }
    for verb in ["run", "compile"] {
        folder.airlock(&[verb, "picture.js"]).is(2).says("picture.js").says("not UTF-8");
        folder.airlock(&[verb, "prose.js"]).is(4).says("prose.js:1:");
        folder.airlock(&[verb, "page.html"]).is(4).says("page.html:1:1");
        folder.airlock(&[verb, "nul.js"]).is(4).says("nul.js:2:1").says("NUL");
    }
    folder.airlock(&["inspect", "prose.js"]).is(2).says("it is not WebAssembly");
}

#[test]
fn arguments_that_are_not_json_are_refused_with_their_place() {
    let folder = Folder::with(&[("greet.js", GREET), ("bad.json", "{\n  \"name\": Ada\n}\n")]);
    folder.airlock(&["run", "greet.js", "--input", "{name: 1}"]).is(2).says("line 1, column 2").says("not JSON");
    folder.airlock(&["run", "greet.js", "--input", ""]).is(2).says("--input");
    folder.airlock(&["run", "greet.js", "--input", "{} {}"]).is(2).says("line 1, column 4");
    folder
        .airlock(&["run", "greet.js", "--input", "@bad.json"])
        .is(2)
        .says("bad.json: this is not JSON: expected value, at line 2, column 11");
    folder
        .airlock(&["run", "greet.js", "--input", "@missing.json"])
        .is(2)
        .says("missing.json can't be read: there is no such file");
    folder.airlock(&["run", "greet.js", "--context", "[1"]).is(2).says("--context");
    folder
        .airlock(&["run", "greet.js", "--context", r#"{"tennant": {"id": "a"}}"#])
        .is(2)
        .says("tennant")
        .says("expected one of");
    folder
        .airlock(&["run", "greet.js", "--context", r#"{"user": {"permissions": "all"}}"#])
        .is(2)
        .says("--context: ")
        .says("at line 1, column 30");
    folder.airlock(&["run", "greet.js", "--context", r#"{"tenant": {}}"#]).is(2).says("missing field `id`");
}

#[test]
fn deep_json_is_an_error_and_not_the_end() {
    let folder = Folder::with(&[("greet.js", GREET)]);
    std::fs::write(folder.path("deep.json"), "[".repeat(100_000) + &"]".repeat(100_000)).unwrap();
    let done = folder.airlock(&["run", "greet.js", "--input", "@deep.json"]);
    assert!(matches!(done.status, 1 | 2), "{}: {}", done.status, done.stderr);
    folder.airlock(&["run", "greet.js", "--context", "@deep.json"]).is(2).says("--context");
}

#[test]
fn an_entry_that_does_not_exist_suggests_those_that_do() {
    let folder = Folder::with(&[(
        "rules.js",
        "function validateOrder() { return 1; }\nfunction validateClient() { return 2; }\n",
    )]);
    folder.airlock(&["run", "rules.js", "--entry", "validateOrder"]).is(0).prints("1");
    folder
        .airlock(&["run", "rules.js", "--entry", "validateOrders"])
        .is(2)
        .says("did you mean validateOrder?")
        .says("validateClient");
    folder.airlock(&["run", "rules.js"]).is(2).says("say which one to run of validateClient, validateOrder");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = Folder::with(&[("greet.js", GREET)]);
    folder.airlock(&["run", "greet.js", "--timeout", "soon"]).is(2).says("`soon` is not a duration").says("500ms");
    folder.airlock(&["run", "greet.js", "--timeout", "30"]).is(2).says("30s");
    folder.airlock(&["run", "greet.js", "--memory", "lots"]).is(2).says("128MiB");
    folder.airlock(&["run", "greet.js", "--fuel", "-1"]).is(2);
    folder.airlock(&["run"]).is(2).says("FILE");
    folder.airlock(&["launch"]).is(2).says("launch");
    folder.airlock(&["--help"]).is(0);
    folder.airlock(&["--version"]).is(0);
}

#[test]
fn settings_are_checked_with_their_place() {
    let folder = Folder::with(&[
        ("greet.js", GREET),
        ("unknown.toml", "data = \"data\"\n\n[limits]\ntimeuot = \"30s\"\n"),
        ("duration.toml", "data = \"data\"\n[limits]\ntimeout = \"30 parsecs\"\n"),
        ("syntax.toml", "data = \n"),
        ("table.toml", "[sever]\nlisten = \"127.0.0.1:0\"\n"),
    ]);
    folder
        .airlock(&["run", "greet.js", "--config", "unknown.toml"])
        .is(2)
        .says("unknown.toml:4:1")
        .says("timeuot")
        .says("timeout");
    folder
        .airlock(&["run", "greet.js", "--config", "duration.toml"])
        .is(2)
        .says("duration.toml:3:11")
        .says("30 parsecs");
    folder.airlock(&["run", "greet.js", "--config", "syntax.toml"]).is(2).says("syntax.toml:1:");
    folder
        .airlock(&["run", "greet.js", "--config", "table.toml"])
        .is(2)
        .says("table.toml:1:2")
        .says("sever")
        .says("server");
    folder.airlock(&["run", "greet.js", "--config", "missing.toml"]).is(2).says("missing.toml");
    folder.airlock(&["serve", "--config", "unknown.toml"]).is(2).says("timeuot");
    assert!(!folder.path("data").exists(), "settings that are wrong must not leave a data folder");
}

#[test]
fn settings_say_limits_services_and_data() {
    let folder = Folder::with(&[
        (
            "airlock.toml",
            "data = \"kept\"\n[limits]\nhost_calls = 3\n[[tenants]]\nid = \"acme\"\nschema = \"schema.sql\"\n[services.clients]\n[[scripts]]\nname = \"count\"\nfile = \"count.js\"\ntype = \"oneoff\"\nentry = \"count\"\ngrants.services = [\"clients\"]\n",
        ),
        ("schema.sql", "CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT);"),
        (
            "count.js",
            "async function add() { await services.clients.create({ name: 'Ada' }); return services.clients.count(); }\nfunction count() { return services.clients.count(); }\n",
        ),
        ("many.js", "async function main() { for (;;) await storage.has('x'); }"),
    ]);
    folder.data("kept");
    folder.data("other");
    // Each run finds what the one before wrote, and the schema is applied once.
    folder.airlock(&["run", "count.js", "--config", "airlock.toml", "--entry", "add"]).is(0).prints("1");
    folder.airlock(&["run", "count.js", "--config", "airlock.toml", "--entry", "add"]).is(0).prints("2");
    folder.airlock(&["run", "count.js", "--config", "airlock.toml"]).is(0).prints("2");
    assert!(folder.path("kept/airlock.db").is_file());
    folder.airlock(&["run", "count.js", "--config", "airlock.toml", "--data", "other"]).is(0).prints("0");
    folder.airlock(&["run", "many.js", "--config", "airlock.toml"]).is(3).says("the limit on host calls is 3");
}

#[test]
fn compile_writes_what_run_and_inspect_read() {
    let folder = Folder::with(&[("greet.js", GREET)]);
    let done = folder.airlock(&["compile", "greet.js"]);
    done.is(0).prints("").says("greet.wasm");
    folder.airlock(&["run", "greet.wasm", "--input", r#"{"name":"Ada"}"#]).is(0).prints(r#"{"greeting":"Hello, Ada"}"#);
    folder.airlock(&["compile", "greet.js", "-o", "other.wasm"]).is(0);
    assert!(std::fs::read(folder.path("greet.wasm")).unwrap() == std::fs::read(folder.path("other.wasm")).unwrap());

    let found = folder.airlock(&["inspect", "greet.wasm", "--json"]).is(0).json();
    let imports: Vec<_> = found["imports"].as_array().unwrap().iter().map(|import| import.as_str().unwrap()).collect();
    assert!(imports.len() == 12 && imports.iter().all(|import| import.starts_with("airlock:script/")), "{imports:?}");
    assert_eq!(found["exports"], serde_json::json!(["invoke"]));
    assert_eq!(found["script"]["file"], "greet.js");
    assert_eq!(found["script"]["entries"], serde_json::json!(["main"]));
    assert_eq!(found["script"]["default_entry"], "main");
    assert_eq!(found["bytes"]["total"], std::fs::metadata(folder.path("greet.wasm")).unwrap().len());
    let text = folder.airlock(&["inspect", "greet.wasm"]);
    assert!(text.is(0).stdout.contains("airlock:script/storage@0.1.0"), "{}", text.stdout);

    folder.airlock(&["compile", "greet.wasm"]).is(2).says("compiled already");
    folder.airlock(&["compile", "greet.js", "-o", "no/such/folder.wasm"]).is(2).says("can't be written");
    let left: Vec<_> = files(folder.0.path());
    assert_eq!(left, ["greet.js", "greet.wasm", "other.wasm"], "nothing half-written is left");
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn damaged_components_are_refused() {
    let folder = Folder::with(&[("greet.js", GREET)]);
    folder.airlock(&["compile", "greet.js"]).is(0);
    let whole = std::fs::read(folder.path("greet.wasm")).unwrap();
    std::fs::write(folder.path("short.wasm"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.path("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let mut foreign = wasm_encoder::Component::new();
    foreign.section(&wasm_encoder::ModuleSection(&wasm_encoder::Module::new()));
    std::fs::write(folder.path("foreign.wasm"), foreign.finish()).unwrap();
    for verb in ["run", "inspect"] {
        folder.airlock(&[verb, "short.wasm"]).is(2).says("short.wasm").says("cut short or damaged");
        folder.airlock(&[verb, "core.wasm"]).is(2).says("a core WebAssembly module");
        folder.airlock(&[verb, "foreign.wasm"]).is(2).says("not one that this version of airlock compiled");
    }
}

#[test]
fn migrate_makes_the_schema_and_says_what_it_did() {
    let database = Database::new("");
    let folder = Folder::with(&[("airlock.toml", "data = \"kept\"\n")]);
    let url = database.admin_url();
    for environment in [&[][..], &[("AIRLOCK_STORE_URL", &*url)]] {
        let migrate = || folder.airlock_in(environment, &["migrate"]);
        let first = migrate();
        assert!(first.is(0).stdout.starts_with("the schema is made, with version "), "{}", first.stdout);
        let version = first.stdout.trim_end().rsplit(' ').next().unwrap();
        migrate().is(0).prints(&format!("the schema has version {version} already"));
    }
    assert!(folder.path("kept/airlock.db").exists());
    database.run("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1");
    let newer = folder.airlock_in(&[("AIRLOCK_STORE_URL", &url)], &["migrate"]);
    newer.is(2).says("a newer airlock has written it");
    folder.airlock(&["migrate", "--config", "none.toml"]).is(2).says("none.toml");
}

#[test]
fn a_run_leaves_nothing_behind() {
    let folder = Folder::with(&[("write.js", "async function main() { return storage.increment('n'); }")]);
    folder.airlock(&["run", "write.js"]).is(0).prints("1");
    folder.airlock(&["run", "write.js"]).is(0).prints("1");
    assert_eq!(files(folder.0.path()), ["write.js"]);
    folder.data("kept");
    folder.airlock(&["run", "write.js", "--data", "kept"]).is(0).prints("1");
    folder.airlock(&["run", "write.js", "--data", "kept"]).is(0).prints("2");
}

#[test]
fn no_message_speaks_of_the_engine_room() {
    let folder = Folder::with(&[
        ("recursion.js", "function main() { return main() + 1; }"),
        ("null.js", "function main() { throw null; }"),
        ("loop.js", "function main() { for (;;) {} }"),
        ("never.js", "function main() { return new Promise(() => {}); }"),
    ]);
    for file in ["recursion.js", "null.js", "loop.js", "never.js"] {
        let done = folder.airlock(&["run", file, "--timeout", "30ms"]);
        for word in ["wasm", "trap", ".rs", "backtrace", "0x", "quickjs", "QuickJS", "airlock:"] {
            assert!(!done.stderr.contains(word), "{file}: {word}: {}", done.stderr);
        }
    }
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn protected_settings(database: &Database) -> String {
    format!(
        "[database]\nurl = \"{}\"\ntoken_keys = [{{ id = \"k1\", key = \"{KEY}\" }}]\n\n[[database.tables]]\nname = \"orders\"\n",
        database.login_url()
    )
}

#[test]
fn db_protect_prints_applies_and_then_has_nothing_to_do() {
    let database = Database::new("CREATE TABLE orders (tenant_id text, id int, PRIMARY KEY (tenant_id, id))");
    let folder = Folder::with(&[("airlock.toml", &protected_settings(&database))]);
    let admin = database.admin_url();
    let admin = [("AIRLOCK_DATABASE_ADMIN_URL", admin.as_str())];

    let printed = folder.airlock_in(&admin, &["db", "protect"]);
    for text in ["CREATE POLICY airlock_tenant ON public.orders", "FORCE ROW LEVEL SECURITY", "\nCOMMIT;"] {
        assert!(printed.is(0).stdout.contains(text), "{}", printed.stdout);
    }
    // The key, and the same padded for HMAC.
    for secret in [KEY, "36272405"] {
        assert!(!printed.stdout.contains(secret), "{}", printed.stdout);
    }
    // Printing did nothing.
    let audited = folder.airlock_in(&admin, &["db", "audit"]);
    assert!(audited.is(1).stdout.contains("the role does not exist"), "{}", audited.stdout);

    let applied = folder.airlock_in(&admin, &["db", "protect", "--apply"]);
    assert!(applied.is(0).stdout.contains("changes applied"), "{}", applied.stdout);
    for arguments in [&["db", "protect", "--apply"][..], &["db", "protect"]] {
        let again = folder.airlock_in(&admin, arguments);
        assert!(again.is(0).stdout.starts_with("-- Nothing to do"), "{}", again.stdout);
    }
    let clean = folder.airlock_in(&admin, &["db", "audit"]);
    assert!(clean.is(0).stdout.starts_with("0 findings\n"), "{}", clean.stdout);

    database.run("CREATE VIEW everything AS SELECT * FROM orders; GRANT SELECT ON everything TO PUBLIC");
    let found = folder.airlock_in(&admin, &["db", "audit", "--json"]).is(1).json();
    assert_eq!(found["findings"].as_array().unwrap().len(), 1);
    assert_eq!(found["findings"][0]["kind"], "view");
    assert_eq!(found["findings"][0]["object"], "public.everything");
    assert_eq!(found["findings"][0]["fix"][0], "REVOKE SELECT ON public.everything FROM PUBLIC");
    let text = folder.airlock_in(&admin, &["db", "audit"]);
    assert!(text.is(1).stdout.contains("view              public.everything\n"), "{}", text.stdout);
    folder.airlock(&["db", "audit", "--admin-url", admin[0].1]).is(1);
}

#[test]
fn db_protect_refuses_keys_without_the_tenant() {
    let database = Database::new("CREATE TABLE orders (id int PRIMARY KEY, tenant_id text NOT NULL)");
    let folder = Folder::with(&[("airlock.toml", &protected_settings(&database))]);
    let admin = database.admin_url();
    for arguments in [&["db", "protect"][..], &["db", "protect", "--apply"]] {
        folder
            .airlock_in(&[("AIRLOCK_DATABASE_ADMIN_URL", &admin)], arguments)
            .is(1)
            .prints("")
            .says("unique key: public.orders, public.orders_pkey: it does not include tenant_id")
            .says("ALTER TABLE public.orders DROP CONSTRAINT orders_pkey, ADD CONSTRAINT orders_pkey PRIMARY KEY (tenant_id, id);")
            .says("Nothing was changed.");
    }
}

#[test]
fn db_says_what_keeps_it_from_the_database() {
    let database = Database::new("CREATE TABLE orders (tenant_id text, id int, PRIMARY KEY (tenant_id, id))");
    let settings = protected_settings(&database);
    let folder = Folder::with(&[("airlock.toml", &settings), ("sqlite.toml", "data = \"data\"\n")]);
    folder.airlock(&["db", "audit", "--config", "sqlite.toml"]).is(2).says("no [database]");
    folder.airlock(&["db", "audit"]).is(2).says("AIRLOCK_DATABASE_ADMIN_URL");
    let other = database.admin_url().replace("airlock_test_", "airlock_text_");
    folder.airlock(&["db", "audit", "--admin-url", &other]).is(2).says("names the database airlock_text_");
    for url in ["postgres://admin:hunter2@localhost:1/x", "hunter2", "postgres://hunter2"] {
        let done = folder.airlock(&["db", "audit", "--admin-url", url]);
        assert!(!done.is(2).stderr.contains("hunter2"), "{}", done.stderr);
    }
    // Not a superuser.
    folder.airlock(&["db", "audit", "--admin-url", &database.login_url()]).is(2).says("the database refuses: role");
    let keyless = settings.lines().filter(|line| !line.contains("token_keys")).collect::<Vec<_>>().join("\n");
    std::fs::write(folder.path("keyless.toml"), keyless).unwrap();
    let admin = database.admin_url();
    folder
        .airlock(&["db", "protect", "--apply", "--config", "keyless.toml", "--admin-url", &admin])
        .is(2)
        .says("database.token_keys");
}

#[test]
fn what_a_script_declares_is_checked_shown_and_granted() {
    let folder = Folder::with(&[
        (
            "report.js",
            "/**\n * @airlock tables: orders (read), clients\n * @airlock http: https://api.example.com\n */\nexport default async () => db.query('SELECT 1 AS one');\n",
        ),
        ("wrong.js", "// Reports.\n// @airlock tabels: orders\nfunction main() {}\n"),
        ("late.js", "function main() {}\n// @airlock tables: orders\n"),
        ("keeps.js", "// @airlock tables: orders\nasync function main() { await storage.set('a', 1); }\n"),
        ("plain.js", "async function main() { await storage.set('a', 1); return http.get('https://example.com/'); }\n"),
    ]);
    folder.airlock(&["compile", "report.js"]).is(0);
    let found = folder.airlock(&["inspect", "report.wasm", "--json"]).is(0).json();
    assert_eq!(
        found["script"]["declares"],
        serde_json::json!({ "http": ["api.example.com"], "tables": ["orders (read)", "clients"] })
    );
    let shown = folder.airlock(&["inspect", "report.wasm"]);
    assert!(
        shown.stdout.contains("declares  http: api.example.com\n          tables: orders (read), clients\n"),
        "{}",
        shown.stdout
    );
    folder.airlock(&["run", "report.wasm"]).is(0).prints(r#"[{"one":1}]"#);

    folder
        .airlock(&["compile", "wrong.js"])
        .is(4)
        .says("wrong.js:2:13")
        .says("`tabels` is not a list of what a script can use")
        .says("// @airlock tabels: orders");
    folder.airlock(&["compile", "late.js"]).is(4).says("late.js:2:4").says("stands behind code");
    // Who declares is held to it; who declares nothing reaches all but the outside.
    folder
        .airlock(&["run", "keeps.js"])
        .is(1)
        .says("this script does not declare the storage")
        .says("`@airlock capabilities: storage` in the comment at its top does");
    folder.airlock(&["run", "plain.js"]).is(1).says("is not granted requests to example.com");
    folder.airlock(&["compile", "plain.js"]).is(0);
    assert_eq!(folder.airlock(&["inspect", "plain.wasm", "--json"]).json()["script"]["declares"], Value::Null);
}

#[test]
fn secrets_are_set_listed_used_and_deleted() {
    const KEYED: &str = "data = \"kept\"\n[[tenants]]\nid = \"acme\"\n[[scripts]]\nname = \"use\"\nfile = \"use.js\"\ngrants.secrets = [\"KEY\"]\n";
    let keys = |keys: &str| format!("{KEYED}[secrets]\nkeys = [{keys}]\n");
    let (old, new) = (
        format!("{{ id = \"old\", key = \"{}\" }}", "01".repeat(32)),
        format!("{{ id = \"new\", key = \"{}\" }}", "02".repeat(32)),
    );
    let folder = Folder::with(&[
        ("none.toml", KEYED),
        ("airlock.toml", &keys(&old)),
        ("both.toml", &keys(&format!("{new}, {old}"))),
        ("new.toml", &keys(&new)),
        (
            "use.js",
            "async function main() { const key = await secrets.get('KEY'); console.info(key); throw new Error(key); }\n",
        ),
    ]);
    folder.data("kept");
    let set = |value: &str, more: &[&str]| folder.airlock_with(value, &[&["secrets", "set"], more].concat());
    set("x", &["KEY", "--tenant", "acme", "--config", "none.toml"]).is(2).says("AIRLOCK_SECRETS_KEYS=");
    set("x", &["KEY", "--tenant", "acne"]).is(2).says("there is no tenant `acne`; the settings have: acme");
    set("x", &["NO KEY", "--tenant", "acme"]).is(2).says("is not a secret's name");
    set("x", &["KEY", "value", "--tenant", "acme"]).is(2);
    set("", &["KEY", "--tenant", "acme"]).is(2).says("a secret cannot be empty");
    set(&"x".repeat(9000), &["KEY", "--tenant", "acme"]).is(2).says("the setting limits.secret_bytes");
    let run = |settings: &str| folder.airlock(&["run", "use.js", "--config", settings]);
    run("airlock.toml").is(1).says("NotFoundError: this tenant has no secret KEY");

    set("open sesame\n", &["KEY", "--tenant", "acme"]).is(0).says("KEY of acme is set");
    let listed = folder.airlock(&["secrets", "list", "--tenant", "acme"]).is(0).stdout.clone();
    assert!(listed.starts_with("KEY\told\t20") && !listed.contains("sesame"), "{listed}");
    let done = run("airlock.toml");
    done.is(1).says("\"message\":\"[secret KEY]\"").says("Error: [secret KEY]");
    assert!(!done.stderr.contains("sesame"), "{}", done.stderr);
    let json = folder.airlock(&["run", "use.js", "--config", "airlock.toml", "--json"]);
    assert!(json.stdout.contains("[secret KEY]") && !json.stdout.contains("sesame"), "{}", json.stdout);

    run("new.toml").is(1).says("InternalError: the secret KEY cannot be read");
    folder.airlock(&["secrets", "rotate", "--config", "new.toml"]).is(2).says("encrypted with the key `old`");
    folder.airlock(&["secrets", "rotate", "--config", "both.toml"]).is(0).says("1 encrypted anew");
    run("new.toml").is(1).says("Error: [secret KEY]");
    folder.airlock(&["secrets", "delete", "KEY", "--tenant", "acme"]).is(0);
    folder.airlock(&["secrets", "delete", "KEY", "--tenant", "acme"]).is(2).says("acme has no secret KEY");
    folder.airlock(&["secrets", "list", "--tenant", "acme"]).is(0).prints("");
}

#[test]
fn config_check_says_what_holds_and_where_it_came_from() {
    let folder = Folder::with(&[("airlock.toml", "[limits]\ntimeout = '5s'\nmemory = '64MiB'\n")]);
    let done = folder.airlock_in(&[("SCRIPT_TIMEOUT_SECONDS", "7")], &["config", "check"]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    let line = |setting: &str| {
        let line = done.stdout.lines().find(|line| line.starts_with(&format!("{setting} ")));
        line.unwrap_or_else(|| panic!("no {setting} in {}", done.stdout)).split_whitespace().skip(1).collect::<Vec<_>>()
    };
    assert_eq!(line("limits.timeout"), ["7s", "SCRIPT_TIMEOUT_SECONDS"]);
    assert_eq!(line("limits.memory"), ["64MiB", "airlock.toml:3"]);
    assert_eq!(line("sandboxes.count"), ["64", "default"]);

    let done = folder.airlock(&["config", "check", "--json"]);
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    let timeout = json["settings"].as_array().unwrap().iter().find(|one| one["setting"] == "limits.timeout").unwrap();
    assert_eq!(timeout.to_string(), r#"{"setting":"limits.timeout","value":"5s","from":{"file":["airlock.toml",2]}}"#);
}

#[test]
fn config_check_says_what_is_wrong() {
    for (text, told) in [
        ("[limits]\ntimeuot = '5s'\n", "airlock.toml:2:1"),
        ("[limits]\ntimeout = '5 parsecs'\n", "airlock.toml:2:11"),
        ("[server]\ntls = { certificate = 'none.pem', key = 'airlock.toml' }\n", "none.pem"),
        ("[server]\ntls = { certificate = 'airlock.toml', key = 'airlock.toml' }\n", "there is no certificate in"),
    ] {
        let folder = Folder::with(&[("airlock.toml", text)]);
        let done = folder.airlock(&["config", "check"]);
        assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{text}");
        assert!(done.stderr.contains(told), "{text}: {}", done.stderr);
    }
    let done = Folder::new().airlock(&["config", "check"]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("`airlock.toml` does not exist"), "{}", done.stderr);
}
