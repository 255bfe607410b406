//! What a script logs: one JSON object a line.
//!
//! A line opens with what the host says, under the names in [`RESERVED`]: when,
//! how urgent, what, and for whom, by what and where it was written. The members
//! of the script's own object follow beside them. A member whose name is
//! reserved can't replace what the host says: where its value is another, it
//! stands in the object `fields` instead.

mod host;

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::secrets::Redactor;
use crate::runtime::limits::{Limit, Limits};
use crate::tenant::Identity;

pub use crate::runtime::bindings::airlock::script::log::Level;

/// The names that are the host's on every line, whether or not it has a value
/// for them: a call without a user has no `user_id`, and no script can give
/// itself one.
pub const RESERVED: [&str; 10] = [
    "timestamp",
    "level",
    "message",
    "tenant_id",
    "user_id",
    "script_id",
    "script",
    "execution_id",
    "source_file",
    "fields",
];

/// One message, in bytes: as long as what a log collector still takes for one line.
const MESSAGE_BYTES: usize = 16 << 10;
/// The text of one script's object, in bytes.
const FIELDS_BYTES: usize = 32 << 10;

/// Is shown each line as it is written.
pub type Sink = Arc<dyn Fn(&RawValue) + Send + Sync>;

/// What one call holds: its lines.
#[derive(Default)]
pub struct Held {
    /// Set before the call to see its lines at once. They are kept all the same.
    pub sink: Option<Sink>,
    /// Keeps the secrets out that the call was given.
    pub redactor: Redactor,
    lines: Vec<Box<RawValue>>,
    bytes: u64,
    /// Nothing is written any more.
    full: bool,
}

impl Held {
    /// The call's lines, each a JSON object, in the order they were written.
    pub fn into_lines(self) -> Vec<Box<RawValue>> {
        self.lines
    }

    /// Writes a line. `fields` is the text of a JSON object. The first line
    /// beyond a limit is replaced by one that says so, and all that follow are
    /// dropped: a call must not fail for what it logs.
    pub fn write(
        &mut self,
        identity: &Identity,
        limits: &Limits,
        now: DateTime<Utc>,
        level: Level,
        message: &str,
        fields: Option<&str>,
    ) {
        if self.full {
            return;
        }
        let redactor = &self.redactor;
        let mut line = opening(identity, now, level, shortened(message, redactor));
        if let Some(fields) = fields {
            add(&mut line, fields, redactor);
        }
        let line = raw(&line);
        // Looking for secrets costs in proportion to what is written, also where
        // little of it is left.
        let looked_at = if redactor.is_empty() { 0 } else { message.len().min(2 * MESSAGE_BYTES) };
        let bytes = self.bytes + line.get().len().max(looked_at) as u64;
        let lines = self.lines.len() as u64 + 1;
        let beyond = [(Limit::LogLines, lines), (Limit::LogBytes, bytes)]
            .into_iter()
            .find(|(limit, used)| *used > limits.get(*limit));
        let Some((limit, used)) = beyond else {
            self.bytes = bytes;
            return self.push(line);
        };
        self.full = true;
        let message = format!("{}; this line and what follows is left out", limit.message(limits.get(limit), used));
        self.push(raw(&opening(identity, now, Level::Warn, message)));
    }

    fn push(&mut self, line: Box<RawValue>) {
        if let Some(sink) = &self.sink {
            sink(&line);
        }
        self.lines.push(line);
    }
}

fn raw(line: &Map<String, Value>) -> Box<RawValue> {
    // A map with text for keys always serialises.
    to_raw_value(line).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What the host says.
fn opening(identity: &Identity, now: DateTime<Utc>, level: Level, message: String) -> Map<String, Value> {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let user = identity.user.as_ref().map(|user| user.id.clone());
    let said = [
        ("timestamp", Some(now.to_rfc3339_opts(SecondsFormat::Millis, true))),
        ("level", Some(level.to_owned())),
        ("message", Some(message)),
        ("tenant_id", Some(identity.tenant.id.clone())),
        ("user_id", user),
        ("script_id", Some(identity.script.id.clone())),
        ("script", Some(identity.script.name.clone())),
        ("execution_id", Some(identity.execution.id.clone())),
        ("source_file", Some(identity.script.file.clone())),
    ];
    said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))).collect()
}

/// Adds the script's object to what the host says.
fn add(line: &mut Map<String, Value>, fields: &str, redactor: &Redactor) {
    if fields.len() > FIELDS_BYTES {
        let note = format!("left out: {} bytes, and a line takes {FIELDS_BYTES}", fields.len());
        line.insert("fields".to_owned(), Value::String(note));
        return;
    }
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(fields) else {
        let note = "left out: not an object, or nested too deeply";
        line.insert("fields".to_owned(), note.into());
        return;
    };
    let mut aside = Map::new();
    for (name, value) in redactor.redact_fields(fields) {
        if !RESERVED.contains(&name.as_str()) {
            line.insert(name, value);
        } else if line.get(&name) != Some(&value) {
            aside.insert(name, value);
        }
    }
    if !aside.is_empty() {
        line.insert("fields".to_owned(), Value::Object(aside));
    }
}

fn shortened(message: &str, redactor: &Redactor) -> String {
    // As much as may be left, and a secret that reaches beyond.
    let seen = message.floor_char_boundary(MESSAGE_BYTES.saturating_add(redactor.longest()));
    let mut shown = redactor.redact(&message[..seen]);
    let mut more = message.len() - seen;
    let mut end = shown.len();
    if more > 0 {
        // Half a secret may stand at the end.
        end -= redactor.longest().min(end);
    }
    end = shown.floor_char_boundary(end.min(MESSAGE_BYTES));
    if end < shown.len() {
        more += shown.len() - end;
        shown.to_mut().truncate(end);
    }
    if more > 0 { format!("{shown}… ({more} bytes more)") } else { shown.into_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::store::fixture::identity;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_123).unwrap()
    }

    fn write(held: &mut Held, limits: &Limits, message: &str, fields: Option<&str>) {
        held.write(&identity("tenant-1"), limits, now(), Level::Info, message, fields);
    }

    fn lines(held: Held) -> Vec<Value> {
        held.into_lines().iter().map(|line| serde_json::from_str(line.get()).unwrap()).collect()
    }

    fn line(message: &str, fields: &str) -> Value {
        let mut held = Held::default();
        write(&mut held, &Limits::default(), message, Some(fields));
        lines(held).remove(0)
    }

    #[test]
    fn a_line_says_who_and_what_and_then_the_scripts_own() {
        let line = line("User action", r#"{"action":"create","nested":{"a":[1]}}"#);
        assert_eq!(
            line,
            json!({
                "timestamp": "2023-11-14T22:13:20.123Z",
                "level": "info",
                "message": "User action",
                "tenant_id": "tenant-1",
                "user_id": "user-1",
                "script_id": "script-1",
                "script": "nightly",
                "execution_id": "execution-1",
                "source_file": "nightly.js",
                "action": "create",
                "nested": { "a": [1] },
            })
        );
    }

    #[test]
    fn a_script_repeats_what_the_host_says_but_does_not_replace_it() {
        let repeated = line("m", r#"{"user_id":"user-1","level":"info"}"#);
        assert_eq!(repeated["user_id"], "user-1");
        assert_eq!(repeated.get("fields"), None);

        let forged = line("m", r#"{"tenant_id":"tenant-2","user_id":7,"fields":{"a":1},"ok":true}"#);
        assert_eq!(forged["tenant_id"], "tenant-1");
        assert_eq!(forged["user_id"], "user-1");
        assert_eq!(forged["ok"], true);
        assert_eq!(forged["fields"], json!({ "tenant_id": "tenant-2", "user_id": 7, "fields": { "a": 1 } }));
    }

    #[test]
    fn without_a_user_no_script_makes_one_up() {
        let mut identity = Identity::clone(&identity("tenant-1"));
        identity.user = None;
        let mut held = Held::default();
        held.write(&identity, &Limits::default(), now(), Level::Error, "m", Some(r#"{"user_id":"admin"}"#));
        let line = lines(held).remove(0);
        assert_eq!(line.get("user_id"), None);
        assert_eq!(line["fields"]["user_id"], "admin");
    }

    #[test]
    fn nothing_breaks_a_line() {
        let mut held = Held::default();
        let message = "a\nb\r\u{2028}\u{0}\u{1b}[31m\"}{";
        write(&mut held, &Limits::default(), message, Some(r#"{"k\n":"v\n"}"#));
        let text = held.into_lines().remove(0);
        assert!(!text.get().contains(['\n', '\r', '\0', '\u{1b}']));
        assert_eq!(serde_json::from_str::<Value>(text.get()).unwrap()["message"], message);
    }

    #[test]
    fn what_is_not_a_small_object_is_left_out_and_said_so() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(FIELDS_BYTES));
        for fields in ["[1]", "nonsense", &deep, &large] {
            let note = line("m", fields)["fields"].as_str().unwrap().to_owned();
            assert!(note.starts_with("left out: "), "{note}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = format!("x{}", "é".repeat(MESSAGE_BYTES));
        let message = line(&long, "{}")["message"].as_str().unwrap().to_owned();
        assert!(message.len() < MESSAGE_BYTES + 40);
        assert!(message.ends_with("é… (16386 bytes more)"));
    }

    #[test]
    fn a_secret_does_not_show_where_a_message_is_cut_either() {
        let secret = "0123456789abcdef".repeat(64);
        let identity = identity("tenant-1");
        for before in [0, 1, MESSAGE_BYTES - 1500, MESSAGE_BYTES - 10, MESSAGE_BYTES, MESSAGE_BYTES + 10] {
            for times in [1, 40] {
                let mut held = Held::default();
                held.redactor.add("KEY", &secret);
                let message = "x".repeat(before) + &secret.repeat(times);
                held.write(&identity, &Limits::default(), now(), Level::Info, &message, None);
                let shown = lines(held).remove(0)["message"].as_str().unwrap().to_owned();
                assert!(!shown.contains("0123"), "{before} {times}: {shown}");
                assert!(shown.len() < MESSAGE_BYTES + 40);
            }
        }
    }

    #[test]
    fn beyond_a_limit_one_line_says_so_and_the_rest_is_dropped() {
        for (limits, setting) in [
            (Limits { log_lines: 3, ..Limits::default() }, "limits.log_lines"),
            (Limits { log_bytes: 800, ..Limits::default() }, "limits.log_bytes"),
        ] {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink: Sink = {
                let seen = seen.clone();
                Arc::new(move |line: &RawValue| seen.lock().unwrap().push(line.to_owned()))
            };
            let mut held = Held { sink: Some(sink), ..Held::default() };
            for n in 0..10 {
                write(&mut held, &limits, &format!("line {n}"), None);
            }
            let shown = seen.lock().unwrap().len();
            let lines = lines(held);
            assert_eq!(shown, lines.len(), "the sink sees every line");
            let (last, before) = lines.split_last().unwrap();
            assert_eq!(before.len(), 3, "{setting}");
            assert!(before.iter().all(|line| line["level"] == "info"));
            assert_eq!(last["level"], "warn");
            assert!(last["message"].as_str().unwrap().contains(setting), "{last}");
        }
    }
}
