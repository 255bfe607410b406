//! Mail for a tenant's scripts.
//!
//! Every mail is a row of `emails` before anything is sent, so none is lost.
//! Where a server is configured it is then sent at once. A mail that could not
//! be sent stays in its row, with the reason, for whoever works the queue. A
//! mail may arrive twice where the host dies between the server's answer and
//! the note of it, and is never lost.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::{AsyncTransport, Message, Tokio1Executor};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::runtime::failure::Failure;
use crate::store::Store;
use crate::store::usage::{self, Room, Usage};
use crate::tenant::Identity;

/// As many as common mail servers take for one mail of a small sender.
const RECIPIENTS: usize = 50;
/// RFC 5321, 4.5.3.1: local part, `@` and domain, and room for a name.
const ADDRESS_BYTES: usize = 320 + 200;
/// RFC 5322, 2.1.1: the most characters of a line.
const SUBJECT_BYTES: usize = 998;
/// Text and HTML, each.
const BODY_BYTES: usize = 1 << 20;
/// What one tenant's unsent mails may take up. A tenant must not fill the disk
/// that all share.
const QUEUE_BYTES: i64 = 256 << 20;

/// Connections to the mail server at once.
const CONNECTIONS: usize = 8;
/// How long a mail waits for a connection before it is left to the queue.
const TURN: Duration = Duration::from_secs(2);
/// How long the mail server may take for one mail.
const SENDING: Duration = Duration::from_secs(10);

/// The mail server that a host sends through.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// `smtps://user:password@host:port`, or `smtp://…` without encryption;
    /// `smtp://…?tls=required` begins without and demands STARTTLS.
    pub url: String,
    /// The sender of every mail: `name@example.com` or `Name <name@example.com>`.
    pub from: String,
}

/// Sends mails. Cheap to clone.
#[derive(Clone)]
pub struct Notifications {
    store: Store,
    server: Option<Arc<Server>>,
}

struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    turns: Arc<Semaphore>,
}

/// What a script gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    to: Addresses,
    subject: String,
    body: String,
    html: Option<String>,
    cc: Option<Addresses>,
    reply_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an address or an array of addresses")]
enum Addresses {
    One(String),
    Several(Vec<String>),
}

/// A mail that has been checked.
struct Mail {
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    reply_to: Option<Mailbox>,
    subject: String,
    body: String,
    html: Option<String>,
}

impl Notifications {
    /// Without a server, mails only queue. The error says what is wrong with
    /// the server's address or the sender's; it does not repeat the password.
    pub fn new(store: Store, smtp: Option<Smtp>) -> anyhow::Result<Notifications> {
        let server = smtp.map(|smtp| Server::new(&smtp).map(Arc::new)).transpose()?;
        Ok(Notifications { store, server })
    }

    /// Sends one mail. `arguments` is an object: `to` (an address, or up to 50),
    /// `subject`, `body` (plain text), and if need be `html`, `cc` and
    /// `reply_to`. Answers `{id, status}`, where the status is `sent` once the
    /// server has taken it and `queued` otherwise. Fails with a `TypeError`
    /// where an argument is not what it should be, and with a `LimitError`
    /// where too many mails wait.
    pub async fn send_email(&self, identity: &Identity, arguments: Value) -> Result<Value, Failure> {
        let mail = Mail::check(arguments)?;
        let id = Uuid::now_v7().to_string();
        let message = self.server.as_ref().map(|server| mail.message(&server.from, &id)).transpose()?;
        self.queue(identity, &id, mail).await?;

        let mut sent = false;
        if let (Some(server), Some(message)) = (&self.server, message)
            && let Ok(Ok(turn)) = tokio::time::timeout(TURN, server.turns.clone().acquire_owned()).await
        {
            let sending = {
                let (notifications, server) = (self.clone(), server.clone());
                let (tenant, id) = (identity.tenant.id.clone(), id.clone());
                async move {
                    let result = server.send(message).await;
                    drop(turn);
                    notifications.note(tenant, id, result).await
                }
            };
            // A call that ends meanwhile must not keep what was sent from being
            // noted, or it would be sent again. It takes no longer than SENDING.
            sent = tokio::spawn(sending).await.unwrap_or(false);
        }
        Ok(json!({ "id": id, "status": if sent { "sent" } else { "queued" } }))
    }

    async fn queue(&self, identity: &Identity, id: &str, mail: Mail) -> Result<(), Failure> {
        let tenant = identity.tenant.id.clone();
        let (script, execution) = (identity.script.id.clone(), identity.execution.id.clone());
        let (id, now) = (id.to_owned(), self.store.now());
        self.store
            .write(&identity.tenant.id, move |connection| {
                Box::pin(async move {
                    let (to, cc) = (addresses(&mail.to), addresses(&mail.cc));
                    let more = Usage { items: 1, bytes: mail.bytes() };
                    let used = usage::add(connection, &tenant, Room::Emails, more).await?;
                    if used.bytes > QUEUE_BYTES {
                        return Err(Failure::new(
                            "LimitError",
                            format!(
                                "notifications.sendEmail: {} mails of this tenant wait to be sent, and their {} MiB is all that may wait; check the host's mail server",
                                used.items - 1,
                                QUEUE_BYTES >> 20,
                            ),
                        ));
                    }
                    sqlx::query(
                        "INSERT INTO emails (tenant, id, script, execution, to_addresses, cc_addresses, reply_to, subject, body, html, bytes, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                    )
                    .bind(&tenant)
                    .bind(id)
                    .bind(script)
                    .bind(execution)
                    .bind(to)
                    .bind(cc)
                    .bind(mail.reply_to.map(|address| address.to_string()))
                    .bind(mail.subject)
                    .bind(mail.body)
                    .bind(mail.html)
                    .bind(more.bytes)
                    .bind(now)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Notes what came of sending and answers whether it was sent.
    async fn note(&self, tenant: String, id: String, result: Result<(), String>) -> bool {
        let sent = result.is_ok();
        let now = self.store.now();
        if let Err(reason) = &result {
            tracing::warn!(%tenant, mail = %id, %reason, "a mail stays queued");
        }
        let writer = tenant.clone();
        let noted: sqlx::Result<()> = self
            .store
            .write(&writer, move |connection| {
                Box::pin(async move {
                    let bytes: i64 = sqlx::query_scalar(
                        "UPDATE emails SET attempts = attempts + 1, sent_at = $3, error = $4
                         WHERE tenant = $1 AND id = $2
                         RETURNING bytes",
                    )
                    .bind(&tenant)
                    .bind(&id)
                    .bind(sent.then_some(now))
                    .bind(result.err())
                    .fetch_one(&mut *connection)
                    .await?;
                    if sent {
                        let less = Usage { items: -1, bytes: -bytes };
                        usage::add(connection, &tenant, Room::Emails, less).await?;
                    }
                    Ok(())
                })
            })
            .await;
        if let Err(reason) = noted {
            tracing::error!(%reason, "could not note what came of a mail");
        }
        sent
    }
}

impl Server {
    fn new(smtp: &Smtp) -> anyhow::Result<Server> {
        let from = smtp.from.parse().map_err(|reason| {
            anyhow::anyhow!("smtp.from: `{}` is not an address ({reason}); write it as `name@example.com`", smtp.from)
        })?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&smtp.url)
            .map_err(|_| {
                anyhow::anyhow!(
                    "smtp.url is not the address of a mail server; write it as `smtps://user:password@host:465`"
                )
            })?
            .timeout(Some(SENDING))
            .build();
        Ok(Server { transport, from, turns: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    /// Err with the reason, on one line.
    async fn send(&self, message: Message) -> Result<(), String> {
        match tokio::time::timeout(SENDING, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            // What the server said may hold anything.
            Ok(Err(reason)) => Err(format!("{reason:#}").chars().filter(|c| *c != '\0').take(500).collect()),
            Err(_) => Err(format!("the mail server took longer than {} s", SENDING.as_secs())),
        }
    }
}

impl Mail {
    fn check(arguments: Value) -> Result<Mail, Failure> {
        if !arguments.is_object() {
            return Err(refused("takes an object such as `{to, subject, body}`"));
        }
        let arguments: Arguments = serde_json::from_value(arguments).map_err(|reason| refused(reason.to_string()))?;
        let to = mailboxes("to", arguments.to)?;
        let cc = arguments.cc.map(|cc| mailboxes("cc", cc)).transpose()?.unwrap_or_default();
        if to.is_empty() {
            return Err(refused("`to` names nobody"));
        }
        if to.len() + cc.len() > RECIPIENTS {
            return Err(refused(format!(
                "`to` and `cc` name {} addresses and may name {RECIPIENTS}; send several mails",
                to.len() + cc.len()
            )));
        }
        let reply_to = arguments.reply_to.map(|address| mailbox("reply_to", &address)).transpose()?;
        one_line("subject", &arguments.subject)?;
        let texts = [
            ("subject", Some(&arguments.subject), SUBJECT_BYTES),
            ("body", Some(&arguments.body), BODY_BYTES),
            ("html", arguments.html.as_ref(), BODY_BYTES),
        ];
        for (name, text, most) in texts {
            let length = text.map_or(0, String::len);
            if length > most {
                return Err(refused(format!("`{name}` has {length} bytes and may have {most}")));
            }
            // No mail server takes it, and PostgreSQL has none in text.
            if text.is_some_and(|text| text.contains('\0')) {
                return Err(refused(format!("`{name}` must not contain the character U+0000")));
            }
        }
        let Arguments { subject, body, html, .. } = arguments;
        Ok(Mail { to, cc, reply_to, subject, body, html })
    }

    fn bytes(&self) -> i64 {
        let html = self.html.as_ref().map_or(0, String::len);
        (self.subject.len() + self.body.len() + html) as i64
    }

    /// As sent. The row's id is part of the message's, so that a mail that
    /// arrives twice can be told.
    fn message(&self, from: &Mailbox, id: &str) -> Result<Message, Failure> {
        let mut message = Message::builder()
            .from(from.clone())
            .subject(&self.subject)
            .message_id(Some(format!("<{id}@{}>", from.email.domain())));
        for to in &self.to {
            message = message.to(to.clone());
        }
        for cc in &self.cc {
            message = message.cc(cc.clone());
        }
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        let body = self.body.clone();
        let built = match &self.html {
            Some(html) => message.multipart(MultiPart::alternative_plain_html(body, html.clone())),
            None => message.header(lettre::message::header::ContentType::TEXT_PLAIN).body(body),
        };
        built.map_err(|reason| refused(reason.to_string()))
    }
}

fn refused(what: impl std::fmt::Display) -> Failure {
    Failure::argument(format!("notifications.sendEmail: {what}"))
}

fn mailboxes(name: &str, addresses: Addresses) -> Result<Vec<Mailbox>, Failure> {
    match addresses {
        Addresses::One(address) => Ok(vec![mailbox(name, &address)?]),
        Addresses::Several(several) if several.len() > RECIPIENTS => Err(refused(format!(
            "`{name}` names {} addresses and may name {RECIPIENTS}; send several mails",
            several.len()
        ))),
        Addresses::Several(several) => several.iter().map(|address| mailbox(name, address)).collect(),
    }
}

fn mailbox(name: &str, address: &str) -> Result<Mailbox, Failure> {
    one_line(name, address)?;
    let short = address.len() <= ADDRESS_BYTES;
    address.parse().ok().filter(|_| short).ok_or_else(|| {
        let start: String = address.chars().take(80).collect();
        refused(format!("`{name}`: {start:?} is not an address like `name@example.com`"))
    })
}

/// A line break would begin another header.
fn one_line(name: &str, text: &str) -> Result<(), Failure> {
    if text.chars().any(char::is_control) {
        return Err(refused(format!("`{name}` must be one line without control characters")));
    }
    Ok(())
}

/// A JSON array.
fn addresses(mailboxes: &[Mailbox]) -> String {
    json!(mailboxes.iter().map(Mailbox::to_string).collect::<Vec<_>>()).to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    use super::*;
    use crate::store::Kind;
    use crate::store::clock::Clock;
    use crate::store::fixture::{identity, on_both_databases};

    /// Row of `emails`: recipients, sent_at, attempts, error.
    type Row = (String, Option<i64>, i64, Option<String>);

    const NOW: i64 = 1_700_000_000_000;

    async fn store(kind: Kind) -> Store {
        Store::fresh(kind).await.with_clock(Clock::manual(NOW))
    }

    async fn rows(store: &Store, tenant: &'static str) -> Vec<Row> {
        let rows: sqlx::Result<Vec<Row>> = store
            .read(move |connection| {
                Box::pin(
                    sqlx::query_as(
                        "SELECT to_addresses, sent_at, attempts, error FROM emails WHERE tenant = $1 ORDER BY id",
                    )
                    .bind(tenant)
                    .fetch_all(connection),
                )
            })
            .await;
        rows.unwrap()
    }

    async fn queued(store: &Store) -> Usage {
        let usage: sqlx::Result<Usage> =
            store.read(|connection| Box::pin(usage::of(connection, "a", Room::Emails))).await;
        usage.unwrap()
    }

    fn arguments() -> Value {
        json!({ "to": "ada@example.com", "subject": "We miss you!", "body": "Hello Ada" })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut arguments = arguments();
        arguments[name] = value;
        arguments
    }

    /// A mail server that takes every mail, or refuses every recipient. Answers
    /// its URL and what it was told, a mail at a time.
    async fn server(accepts: bool) -> (String, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let (mails, taken) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(converse(connection, accepts, mails.clone()));
            }
        });
        (url, taken)
    }

    async fn converse(connection: TcpStream, accepts: bool, mails: mpsc::UnboundedSender<String>) {
        let mut connection = BufReader::new(connection);
        let mut told = String::new();
        let mut in_data = false;
        connection.write_all(b"220 test\r\n").await.unwrap();
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            told.push_str(&line);
            let answer = match line.split([' ', '\r']).next().unwrap() {
                "." if in_data => {
                    in_data = false;
                    mails.send(std::mem::take(&mut told)).unwrap();
                    "250 taken"
                }
                _ if in_data => continue,
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "RCPT" if !accepts => "550 nobody of that name",
                "QUIT" => "221 bye",
                _ => "250 fine",
            };
            connection.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    }

    async fn connected(kind: Kind, accepts: bool) -> (Notifications, Store, mpsc::UnboundedReceiver<String>) {
        let (url, taken) = server(accepts).await;
        let store = store(kind).await;
        let smtp = Smtp { url, from: "Shop <shop@example.com>".to_owned() };
        (Notifications::new(store.clone(), Some(smtp)).unwrap(), store, taken)
    }

    async fn without_a_server_mails_queue(kind: Kind) {
        let store = store(kind).await;
        let notifications = Notifications::new(store.clone(), None).unwrap();
        let answer = notifications.send_email(&identity("a"), arguments()).await.unwrap();
        assert_eq!(answer["status"], "queued");
        assert!(Uuid::parse_str(answer["id"].as_str().unwrap()).is_ok());
        assert_eq!(rows(&store, "a").await, [(r#"["ada@example.com"]"#.to_owned(), None, 0, None)]);
        assert!(rows(&store, "b").await.is_empty());
        assert_eq!(queued(&store).await, Usage { items: 1, bytes: 21 });
    }

    async fn with_a_server_mails_are_sent(kind: Kind) {
        let (notifications, store, mut taken) = connected(kind, true).await;
        let mut arguments = arguments();
        arguments["to"] = json!(["Ada <ada@example.com>", "bob@example.com"]);
        arguments["cc"] = json!("carl@example.com");
        arguments["reply_to"] = json!("help@example.com");
        arguments["html"] = json!("<p>Hello</p>");
        let answer = notifications.send_email(&identity("a"), arguments).await.unwrap();
        assert_eq!(answer["status"], "sent");

        let mail = taken.recv().await.unwrap();
        for expected in [
            "MAIL FROM:<shop@example.com>",
            "RCPT TO:<ada@example.com>",
            "RCPT TO:<bob@example.com>",
            "RCPT TO:<carl@example.com>",
            "Subject: We miss you!",
            "Reply-To: help@example.com",
            "Hello Ada",
            "<p>Hello</p>",
            answer["id"].as_str().unwrap(),
        ] {
            assert!(mail.contains(expected), "{expected} is not in\n{mail}");
        }
        let (_, sent_at, attempts, error) = rows(&store, "a").await.remove(0);
        assert_eq!((sent_at, attempts, error), (Some(NOW), 1, None));
        assert_eq!(queued(&store).await, Usage::default());
    }

    async fn a_mail_that_could_not_be_sent_stays_queued_with_the_reason(kind: Kind) {
        let (notifications, store, _taken) = connected(kind, false).await;
        let answer = notifications.send_email(&identity("a"), arguments()).await.unwrap();
        assert_eq!(answer["status"], "queued");
        let (_, sent_at, attempts, error) = rows(&store, "a").await.remove(0);
        assert_eq!((sent_at, attempts), (None, 1));
        assert!(error.as_ref().unwrap().contains("nobody of that name"), "{error:?}");
        assert_eq!(queued(&store).await.items, 1);
    }

    async fn no_header_is_smuggled_in(kind: Kind) {
        let (notifications, store, _taken) = connected(kind, true).await;
        for (name, value) in [
            ("to", json!("ada@example.com\r\nBcc: eve@example.com")),
            ("to", json!(["ada@example.com", "Eve\n <eve@example.com>"])),
            ("cc", json!("ada@example.com\n")),
            ("reply_to", json!("ada@example.com\rX: y")),
            ("subject", json!("Hello\r\nBcc: eve@example.com")),
        ] {
            let failure = notifications.send_email(&identity("a"), with(name, value)).await.unwrap_err();
            assert!(failure.message.contains(&format!("`{name}` must be one line")), "{}", failure.message);
        }
        assert!(rows(&store, "a").await.is_empty());
    }

    async fn arguments_are_checked_before_anything_is_written(kind: Kind) {
        let store = store(kind).await;
        let notifications = Notifications::new(store.clone(), None).unwrap();
        let crowd = |count| json!(vec!["ada@example.com"; count]);
        for (arguments, says) in [
            (json!(null), "takes an object"),
            (json!([]), "takes an object"),
            (json!({}), "missing field `to`"),
            (with("to", json!(7)), "expected an address"),
            (with("to", json!([])), "names nobody"),
            (with("to", json!("ada")), "not an address"),
            (with("to", json!("a@b@c")), "not an address"),
            (with("to", crowd(51)), "51 addresses"),
            (with("cc", crowd(50)), "51 addresses"),
            (with("bcc", crowd(1)), "unknown field `bcc`"),
            (with("subject", json!("x".repeat(999))), "may have 998"),
            (with("body", json!("x".repeat(BODY_BYTES + 1))), "`body` has"),
            (with("body", json!("a\0b")), "`body` must not contain the character U+0000"),
            (with("html", json!("\0")), "`html` must not contain the character U+0000"),
            (with("html", json!("x".repeat(BODY_BYTES + 1))), "`html` has"),
        ] {
            let failure = notifications.send_email(&identity("a"), arguments).await.unwrap_err();
            assert_eq!(failure.name, "TypeError");
            assert!(failure.message.contains(says), "{says}: {}", failure.message);
        }
        assert!(rows(&store, "a").await.is_empty());
        for arguments in [with("to", crowd(50)), with("cc", crowd(49)), with("body", json!("."))] {
            assert!(notifications.send_email(&identity("a"), arguments).await.is_ok());
        }
    }

    #[tokio::test]
    async fn settings_are_checked_at_the_start() {
        let store = store(Kind::Sqlite).await;
        let with = |url: &str, from: &str| {
            let smtp = Smtp { url: url.to_owned(), from: from.to_owned() };
            Notifications::new(store.clone(), Some(smtp)).err().map(|reason| reason.to_string())
        };
        assert_eq!(with("smtps://u:p@mail.example.com:465", "a@example.com"), None);
        let wrong = with("http://user:secret@mail.example.com", "a@example.com").unwrap();
        assert!(wrong.contains("smtp.url") && !wrong.contains("secret"), "{wrong}");
        assert!(with("smtp://mail.example.com", "nobody").unwrap().contains("smtp.from"));
    }

    on_both_databases!(
        without_a_server_mails_queue,
        with_a_server_mails_are_sent,
        a_mail_that_could_not_be_sent_stays_queued_with_the_reason,
        no_header_is_smuggled_in,
        arguments_are_checked_before_anything_is_written,
    );
}
