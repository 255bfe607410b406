//! Servers that send what no decent one would, byte for byte.

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Opened by an exception; stands for the public internet.
pub const PUBLIC: &str = "127.0.0.1";
/// Stands for the private network.
pub const PRIVATE: &str = "127.0.0.2";

/// What a server sends.
pub enum Answer {
    Whole(String),
    /// A start, and then the same again without end.
    Endless(&'static str, &'static [u8]),
    /// A start, and then nothing while the connection stays open.
    Stuck(&'static str),
    /// A start, and then a byte at a time, each once the one before has gone.
    Dripping(&'static str),
}

pub fn ok(body: &str) -> Answer {
    Answer::Whole(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

pub fn redirect(status: u16, location: &str) -> Answer {
    Answer::Whole(format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"))
}

/// Answers by a request's target, keeps connections open, and keeps what it was
/// sent.
pub struct Server {
    pub port: u16,
    received: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (answer, keep) = (Arc::new(answer), received.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, keep) = (answer.clone(), keep.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &*answer, &keep).await;
                });
            }
        });
        Server { port, received }
    }

    pub fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// Head and body of each request since the last look.
    pub fn received(&self) -> Vec<String> {
        std::mem::take(&mut self.received.lock().unwrap())
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Answer + Send + Sync),
    keep: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let whole = head.len() + 4 + length.map_or(0, |length| length.parse().unwrap());
                if bytes.len() >= whole {
                    break whole;
                }
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let request = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes.drain(..end);
        let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
        keep.lock().unwrap().push(request);
        match answer(&target) {
            Answer::Whole(text) => stream.write_all(text.as_bytes()).await?,
            Answer::Endless(start, more) => {
                stream.write_all(start.as_bytes()).await?;
                loop {
                    stream.write_all(more).await?;
                }
            }
            Answer::Stuck(start) => {
                stream.write_all(start.as_bytes()).await?;
                std::future::pending::<()>().await;
            }
            Answer::Dripping(start) => {
                stream.set_nodelay(true)?;
                stream.write_all(start.as_bytes()).await?;
                let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
                loop {
                    pace.tick().await;
                    stream.write_all(b"x").await?;
                }
            }
        }
    }
}

/// Something on the private network that nobody may connect to.
pub struct Bystander(TcpListener);

impl Bystander {
    pub async fn at(port: u16) -> Bystander {
        Bystander(TcpListener::bind((PRIVATE, port)).await.unwrap())
    }

    pub fn assert_untouched(&self, attack: &str) {
        assert!(self.0.accept().now_or_never().is_none(), "{attack} reached the private network");
    }
}
