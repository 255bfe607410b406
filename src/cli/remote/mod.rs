//! The verbs that speak to a host: what they share.

pub mod deploy;
pub mod executions;
pub mod invoke;
pub mod jobs;
pub mod logs;
pub mod schedules;
pub mod scripts;
mod stream;

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::{Exit, report};

const NOT_JSON: &str = "its answer is not JSON; is it an airlock?";

/// How long a host may take to accept a connection. Its answer may take as long
/// as the script that it waits for.
const CONNECT: Duration = Duration::from_secs(10);

/// Which host, and who asks.
#[derive(clap::Args)]
pub struct Place {
    /// The host's address
    #[arg(long = "host", value_name = "URL", env = "AIRLOCK_HOST", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// The token to ask with. The environment is the better place: others see command lines
    #[arg(long, env = "AIRLOCK_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A host.
pub struct Client {
    http: reqwest::Client,
    url: Url,
    token: String,
}

/// A request that the host refused.
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// Stable; see the host's document.
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub detail: String,
    /// What it says besides, such as `frame` or `capabilities`.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// Why there is no answer.
pub enum Failed {
    Refused(Box<Problem>),
    /// The reason, for a person.
    Unreachable(String),
}

/// The exit status of a verb; what went wrong is said.
pub fn exit(done: Result<(), Failed>) -> Exit {
    match done {
        Ok(()) => Exit::Completed,
        Err(failed) => failed.report(),
    }
}

impl Place {
    pub fn client(&self) -> Result<Client, Failed> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let built = reqwest::Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        let http = built.build().map_err(|error| Failed::Unreachable(innermost(&error)))?;
        let token = self.token.clone().ok_or_else(|| {
            Failed::Unreachable("who asks is not said; set AIRLOCK_TOKEN, or give --token".to_owned())
        })?;
        Ok(Client { http, url: self.url.clone(), token })
    }
}

impl Client {
    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failed> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<(), Failed> {
        self.send(Method::PUT, path, Some(body)).await.map(drop)
    }

    pub async fn delete(&self, path: &str) -> Result<(), Failed> {
        self.send(Method::DELETE, path, None).await.map(drop)
    }

    /// What the list at a path has, of all its pages.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Failed> {
        let mut items = Vec::new();
        let mut page = path.to_owned();
        loop {
            let Value::Object(mut slice) = self.get(&page).await? else { return Ok(items) };
            if let Some(Value::Array(more)) = slice.remove("items") {
                items.extend(more);
            }
            let Some(next) = slice.get("next").and_then(Value::as_str) else { return Ok(items) };
            page = format!("{path}{}after={}", if path.contains('?') { '&' } else { '?' }, encoded(next));
        }
    }

    /// The first of what the list at a path has.
    pub async fn first(&self, path: &str, most: u32) -> Result<Vec<Value>, Failed> {
        let page = format!("{path}{}limit={most}", if path.contains('?') { '&' } else { '?' });
        let mut slice = self.get(&page).await?;
        Ok(slice["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> Failed {
        Failed::Unreachable(format!("{} can't be asked: {reason}; --host names another address", self.url))
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failed> {
        let unreachable = |reason: &dyn std::fmt::Display| self.unreachable(reason);
        let answer = self.ask(method, path, body, "application/json").await?;
        let text = answer.text().await.map_err(|error| unreachable(&innermost(&error)))?;
        match text.as_str() {
            "" => Ok(Value::Null),
            text => serde_json::from_str(text).map_err(|_| unreachable(&NOT_JSON)),
        }
    }

    /// An answer that is no refusal, with its body still to come.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        accept: &str,
    ) -> Result<reqwest::Response, Failed> {
        let unreachable = |reason: &dyn std::fmt::Display| self.unreachable(reason);
        let url = self.url.join(path).map_err(|reason| unreachable(&reason))?;
        let mut request =
            self.http.request(method, url).bearer_auth(&self.token).header(reqwest::header::ACCEPT, accept);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| unreachable(&innermost(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.map_err(|error| unreachable(&innermost(&error)))?;
        Err(match serde_json::from_str::<Problem>(&text) {
            Ok(problem) if !problem.code.is_empty() => Failed::Refused(Box::new(problem)),
            _ if status == StatusCode::NOT_FOUND => unreachable(&"it has no such path; is it an airlock?"),
            _ => unreachable(&format!("it answered {status}")),
        })
    }
}

/// What reqwest's errors have at their bottom: they say themselves only that
/// something failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

impl Failed {
    /// Tells the person, and answers the exit status for it.
    pub fn report(self) -> Exit {
        let problem = match self {
            Failed::Unreachable(reason) => {
                report::error(&reason);
                return Exit::Usage;
            }
            Failed::Refused(problem) => problem,
        };
        match problem.more.get("frame").and_then(Value::as_str) {
            Some(frame) => report::plain(frame),
            None => report::error(&problem.detail),
        }
        if let Some(stack) = problem.more.get("stack").and_then(Value::as_str).filter(|stack| !stack.is_empty()) {
            report::plain(stack);
        }
        match problem.code.as_str() {
            "does_not_compile" => Exit::DoesNotCompile,
            _ => Exit::Usage,
        }
    }

    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Failed::Refused(problem) if problem.code == wanted)
    }
}

/// The path of a script, by its id or name.
pub fn script(named: &str) -> String {
    format!("/api/scripts/{}", encoded(named))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A member as a person reads it; `-` where there is none.
pub fn shown(value: &Value, member: &str) -> String {
    match &value[member] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prints rows under their heads, or all values as JSON.
pub fn print<const N: usize>(values: &[Value], json: bool, heads: [&str; N], row: impl Fn(&Value) -> [String; N]) {
    if json {
        println!("{}", Value::Array(values.to_vec()));
        return;
    }
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_uppercase)).chain(values.iter().map(row)).collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}  ")).collect();
        println!("{}", line.trim_end());
    }
}

/// A value as it is, for a person.
pub fn whole(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// As much of an error as fits a table.
pub fn brief(error: &Value) -> String {
    if error.is_null() {
        return "-".to_owned();
    }
    let text = format!("{}: {}", shown(error, "name"), shown(error, "message"));
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Prints one value: as JSON, or as what a person should read of it.
pub fn say(value: &Value, json: bool, text: impl FnOnce() -> String) {
    if json {
        println!("{value}");
    } else {
        println!("{}", text());
    }
}
