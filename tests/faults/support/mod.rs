//! Several real `airlock serve` on one PostgreSQL database, to be killed.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../../support/mod.rs"]
pub mod shared;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Whether `make test-faults` runs, with the full numbers, and not `make test`.
pub fn is_full() -> bool {
    std::env::var("AIRLOCK_FAULTS").is_ok_and(|form| form == "full")
}

/// The number for the form that runs.
pub fn sized(full: usize, short: usize) -> usize {
    if is_full() { full } else { short }
}

/// Hosts that share a database.
pub struct Cluster {
    hosts: Vec<Slot>,
    /// None: there is one host, with databases in its own folder.
    url: Option<String>,
    _folder: tempfile::TempDir,
}

/// Where a host runs, again and again.
#[derive(Clone)]
struct Slot {
    folder: std::path::PathBuf,
    url: Option<String>,
    running: Arc<Mutex<Option<Running>>>,
}

struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the host, and waits until it listens.
    fn start(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(self.folder.join("airlock.toml"));
        command.env("RUST_BACKTRACE", "0");
        if let Some(url) = &self.url {
            command.env("AIRLOCK_STORE_URL", url);
        }
        // A log for each host of all its lives, for who looks for what went wrong.
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap_or_else(|| panic!("a host did not start: {}", self.log())).unwrap();
        let address = first.strip_prefix("listening on http://").unwrap_or_else(|| panic!("printed {first}"));
        let address = address.to_owned();
        // The pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        *self.lock() = Some(Running { child, address });
    }

    /// The end of the host's log.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Cluster {
    /// Starts so many hosts with the same settings and files beside them. The
    /// settings name no data folder and no store.
    pub async fn start(hosts: usize, settings: &str, files: &[(&str, &str)]) -> Cluster {
        let cluster = Cluster::prepare(hosts, settings, files).await;
        for host in 0..hosts {
            cluster.revive(host).await;
        }
        cluster
    }

    /// As [`start`](Cluster::start), with no host running yet.
    pub async fn prepare(hosts: usize, settings: &str, files: &[(&str, &str)]) -> Cluster {
        let url = shared::postgres::empty().await.unwrap().to_string();
        Cluster::with(hosts, Some(url), settings, files)
    }

    /// Starts one host that keeps all in SQLite.
    pub async fn alone(settings: &str, files: &[(&str, &str)]) -> Cluster {
        let cluster = Cluster::with(1, None, settings, files);
        cluster.revive(0).await;
        cluster
    }

    fn with(hosts: usize, url: Option<String>, settings: &str, files: &[(&str, &str)]) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let slots = (0..hosts).map(|host| {
            let folder = folder.path().join(host.to_string());
            shared::share_cache(&folder.join("data"));
            write(&folder, "airlock.toml", settings);
            for (name, text) in files {
                write(&folder, name, text);
            }
            Slot { folder, url: url.clone(), running: Arc::default() }
        });
        Cluster { hosts: slots.collect(), url, _folder: folder }
    }

    /// Starts a host that does not run.
    pub async fn revive(&self, host: usize) {
        let slot = self.hosts[host].clone();
        tokio::task::spawn_blocking(move || slot.start()).await.unwrap();
    }

    /// Ends a host with SIGKILL. Answers whether it ran.
    pub async fn kill(&self, host: usize) -> bool {
        let Some(mut running) = self.hosts[host].lock().take() else { return false };
        tokio::task::spawn_blocking(move || {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        })
        .await
        .unwrap();
        true
    }

    /// Ends a host with SIGTERM, and waits for it.
    pub async fn terminate(&self, host: usize) -> Option<ExitStatus> {
        let mut running = self.hosts[host].lock().take()?;
        tokio::task::spawn_blocking(move || {
            let pid = running.child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            running.child.wait().ok()
        })
        .await
        .unwrap()
    }

    /// The end of a host's log.
    pub fn log(&self, host: usize) -> String {
        self.hosts[host].log()
    }

    /// What ended by itself, which none should.
    pub fn fallen(&self) -> Vec<String> {
        let fallen = self.hosts.iter().enumerate().filter_map(|(number, slot)| {
            let status = slot.lock().as_mut()?.child.try_wait().ok()??;
            Some(format!("host {number} ended with {status} (signal {:?}): {}", status.signal(), slot.log()))
        });
        fallen.collect()
    }

    /// The address of a host that runs, beginning with one.
    fn address(&self, first: usize) -> Option<String> {
        let count = self.hosts.len();
        (0..count).find_map(|n| Some(self.hosts[(first + n) % count].lock().as_ref()?.address.clone()))
    }

    /// Asks until some host answers, beginning with one. What is asked must bear
    /// being done twice: whether a host that was killed had done it, nobody knows.
    pub async fn ask(&self, first: usize, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        self.ask_with(first, method, path, token, body, "").await
    }

    /// The same with an `Idempotency-Key`, where it is not empty.
    pub async fn ask_with(
        &self,
        first: usize,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
        key: &str,
    ) -> (u16, Value) {
        let begin = Instant::now();
        let mut host = first;
        loop {
            if let Some(address) = self.address(host)
                && let Ok((status, answer)) = ask(&address, method, path, token, body, key).await
                // It is being stopped, or too much is under way.
                && status != 503
            {
                return (status, answer);
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "no host answers {method} {path}: {}",
                self.log(first % self.hosts.len())
            );
            host += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A connection to the database that hosts share.
    pub async fn database(&self) -> PgConnection {
        PgConnection::connect(self.url.as_ref().unwrap()).await.unwrap()
    }

    /// Waits until a query answers a number.
    pub async fn until(&self, what: &str, sql: &str, wanted: i64) {
        let mut database = self.database().await;
        let begin = Instant::now();
        loop {
            let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database).await.unwrap();
            if found == wanted {
                return;
            }
            let fallen = self.fallen();
            assert!(fallen.is_empty(), "{fallen:?}");
            let logs: Vec<String> = (0..self.hosts.len()).map(|host| self.log(host)).collect();
            assert!(begin.elapsed() < PATIENCE, "{what}: {found} and not {wanted}\n{}", logs.join("\n\n"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// One request over a connection of its own.
async fn ask(
    address: &str,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
    key: &str,
) -> io::Result<(u16, Value)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let key = if key.is_empty() { String::new() } else { format!("idempotency-key: {key}\r\n") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: airlock\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{key}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        // A host that was killed meanwhile leaves none, or a part.
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let announced = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        if announced.is_some_and(|announced| body.len() < announced) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    };
    tokio::time::timeout(Duration::from_secs(30), exchange).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Numbers that look random and are the same in each run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// From 0 on, below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }
}
