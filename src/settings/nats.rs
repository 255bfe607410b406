//! `[events.nats]`: events that go to other systems over NATS, and come from them.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::SettingsError;
use super::environment::set;
use super::error::Fault;

const URL: &str = "AIRLOCK_NATS_URL";
const CREDENTIALS: &str = "AIRLOCK_NATS_CREDENTIALS";

/// Bytes of a subject, and of the name of a stream or a consumer.
const NAME: usize = 100;

/// Where events go to, and come from.
#[derive(Clone)]
pub struct NatsSettings {
    /// One server or several of a cluster; may hold a user and a password.
    pub servers: Vec<Url>,
    /// A file of credentials, as `nsc` makes them.
    pub credentials: Option<PathBuf>,
    /// Events are sent to `<this>.<tenant>.<event>`. None: none is.
    pub publish: Option<String>,
    /// None: none comes in.
    pub receive: Option<Receive>,
}

/// What is published of what others send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// They send to `<this>.<tenant>.<event>`.
    pub subject: String,
    /// The stream that has it.
    pub stream: String,
    /// What this host and those that share its database take out of the stream,
    /// by its durable name.
    pub consumer: String,
}

impl fmt::Debug for NatsSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NatsSettings");
        shown.field("servers", &"…").field("publish", &self.publish).field("receive", &self.receive).finish()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NatsTable {
    url: Option<Spanned<String>>,
    publish: Option<Spanned<String>>,
    receive: Option<Spanned<String>>,
    stream: Option<Spanned<String>>,
    consumer: Option<Spanned<String>>,
}

/// Reads the table and the environment over it. `at` makes an error of a fault
/// in the file.
pub(super) fn read(
    table: Option<&Spanned<NatsTable>>,
    variable: &impl Fn(&str) -> Option<String>,
    at: impl Fn(Fault) -> SettingsError,
) -> Result<Option<NatsSettings>, SettingsError> {
    let Some(spanned) = table else { return Ok(None) };
    let (table, place) = (spanned.as_ref(), spanned.span());
    let servers = match (set(URL, variable), &table.url) {
        (Some(text), _) => servers(&text).ok_or_else(|| SettingsError {
            help: Some(URL_HELP.to_owned()),
            ..SettingsError::plain(format!("the environment variable {URL} does not say where NATS is"))
        })?,
        // Not quoted: it may hold a password.
        (None, Some(url)) => servers(url.as_ref())
            .ok_or_else(|| at(Fault::new(url.span(), "this does not say where NATS is").help(URL_HELP)))?,
        (None, None) => {
            return Err(at(
                Fault::new(place, format!("[events.nats] has no `url`, and {URL} is not set")).help(URL_HELP)
            ));
        }
    };
    let publish = table.publish.as_ref().map(subject).transpose().map_err(&at)?;
    let receive = receive(table).map_err(&at)?;
    match (&publish, &receive) {
        (None, None) => {
            let fault = Fault::new(place, "[events.nats] says neither what is sent nor what is received");
            return Err(at(fault.help("add `publish` with a subject that events go to, or `receive`")));
        }
        (Some(one), Some(Receive { subject: other, .. })) if is_within(one, other) || is_within(other, one) => {
            let span = table.receive.as_ref().map_or(place, Spanned::span);
            let fault = Fault::new(span, format!("`{other}` and `{one}` overlap: what is sent would come back"));
            return Err(at(fault.help("take two that differ, such as `shop.events` and `shop.inbox`")));
        }
        _ => {}
    }
    Ok(Some(NatsSettings { servers, credentials: set(CREDENTIALS, variable).map(PathBuf::from), publish, receive }))
}

const URL_HELP: &str = "write it as `nats://nats.example.com:4222`, or `tls://…` to insist on TLS; several with commas";

fn servers(text: &str) -> Option<Vec<Url>> {
    let server = |text: &str| {
        let url = Url::parse(text.trim()).ok()?;
        let is_plain = matches!(url.path(), "" | "/") && url.query().is_none();
        (matches!(url.scheme(), "nats" | "tls") && url.has_host() && is_plain).then_some(url)
    };
    text.split(',').map(server).collect()
}

fn receive(table: &NatsTable) -> Result<Option<Receive>, Fault> {
    let of_receive = [("stream", &table.stream), ("consumer", &table.consumer)];
    let Some(from) = &table.receive else {
        let unused = of_receive.into_iter().find_map(|(name, value)| Some((name, value.as_ref()?)));
        return match unused {
            None => Ok(None),
            Some((name, value)) => {
                let help = "add `receive` with the subject whose messages become events";
                Err(Fault::new(value.span(), format!("`{name}` is of no use without `receive`")).help(help))
            }
        };
    };
    let [stream, consumer] = of_receive.map(|(name, value)| match value {
        Some(value) if is_word(value.as_ref()) => Ok(value.as_ref().clone()),
        Some(value) => Err(Fault::new(value.span(), format!("`{}` cannot be a {name}'s name", value.as_ref()))
            .help("letters, digits, `-` and `_`, 100 at most")),
        None => Err(Fault::new(from.span(), format!("`receive` needs a `{name}`"))
            .help("`stream` has the subject, and `consumer` remembers how far it was read")),
    });
    Ok(Some(Receive { subject: subject(from)?, stream: stream?, consumer: consumer? }))
}

fn subject(text: &Spanned<String>) -> Result<String, Fault> {
    let subject = text.as_ref();
    if subject.len() <= NAME && subject.split('.').all(is_word) {
        return Ok(subject.clone());
    }
    Err(Fault::new(text.span(), format!("`{subject}` cannot be the beginning of a subject"))
        .help("write it as `shop.events`: words of letters, digits, `-` and `_`, without wildcards"))
}

fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=NAME).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a subject is another one, or below it.
fn is_within(subject: &str, other: &str) -> bool {
    subject.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
