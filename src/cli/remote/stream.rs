//! Server-sent events of a host.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Method;

use super::{Client, Failed, innermost};

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
        let answer = self.ask(Method::GET, path, None).await?;
        Ok(Events { body: answer.bytes_stream().boxed(), rest: Vec::new() })
    }
}

impl Events {
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
