//! Server-sent events of a host.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::{Client, Failed, NOT_JSON, innermost};
use crate::capabilities::progress::Report;

const EVENTS: &str = "text/event-stream";

/// Events as they come.
pub struct Events {
    body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    /// What came and is no whole event yet.
    rest: Vec<u8>,
}

/// An event's name and data.
pub struct Event {
    pub name: String,
    pub data: String,
}

impl Client {
    pub async fn events(&self, path: &str) -> Result<Events, Failed> {
        Ok(Events::of(self.ask(Method::GET, path, None, EVENTS).await?))
    }

    /// Runs a script, shows how far it is, and answers how it ended; or at once
    /// that it will be.
    pub async fn run(&self, path: &str, body: Value, mut show: impl FnMut(Report)) -> Result<Value, Failed> {
        let broken = |_| self.unreachable(&NOT_JSON);
        let answer = self.ask(Method::POST, path, Some(body), EVENTS).await?;
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.is_none_or(|kind| !kind.starts_with(EVENTS)) {
            let text = answer.text().await.map_err(|error| self.unreachable(&innermost(&error)))?;
            return serde_json::from_str(&text).map_err(broken);
        }
        let mut events = Events::of(answer);
        while let Some(Event { name, data }) = events.next().await? {
            match name.as_str() {
                "progress" => show(serde_json::from_str(&data).map_err(broken)?),
                "end" => return serde_json::from_str(&data).map_err(broken),
                "problem" => return Err(Failed::Refused(serde_json::from_str(&data).map_err(broken)?)),
                _ => {}
            }
        }
        Err(self.unreachable(&"the connection ended before the script did"))
    }
}

impl Events {
    fn of(answer: reqwest::Response) -> Events {
        Events { body: answer.bytes_stream().boxed(), rest: Vec::new() }
    }

    /// The next one; None where there are no more.
    pub async fn next(&mut self) -> Result<Option<Event>, Failed> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                let event = read(&String::from_utf8_lossy(&block));
                if event.is_some() {
                    return Ok(event);
                }
                // A sign of life.
                continue;
            }
            match self.body.next().await {
                Some(Ok(more)) => self.rest.extend_from_slice(&more),
                Some(Err(error)) => {
                    return Err(Failed::Unreachable(format!("the host broke off: {}", innermost(&error))));
                }
                None => return Ok(None),
            }
        }
    }
}

fn read(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>()
    };
    let data = field("data");
    if data.is_empty() {
        return None;
    }
    Some(Event { name: field("event").concat(), data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name_and_data_and_a_comment_is_none() {
        let event = read("event: line\nid: 7\ndata: {\"a\":\ndata: 1}\n\n").unwrap();
        assert_eq!((event.name.as_str(), event.data.as_str()), ("line", "{\"a\":\n1}"));
        assert!(read(":\n\n").is_none());
    }
}
