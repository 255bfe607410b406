//! Requests to an HTTP script, beside workerd on the same work in the same run.
//! Prints ratios; asserts nothing, because a machine's noise is no failure.
//! Needs `wrk`, and the peers that `npm install` installs. No server writes a line for
//! each request: workerd has none.

#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{bar, is_listing, median};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Rounds of all servers, one after the other: the machine is not the same from
/// one minute to the next.
const ROUNDS: usize = 5;
/// How long a round of one server takes, in seconds.
const SECONDS: u64 = 3;
/// Pairs of a second each, for what recording costs.
const PAIRS: usize = 36;
/// Connections that each ask again when they have their answer.
const CONNECTIONS: u32 = 16;
/// Further scripts of a host that has many.
const MANY: usize = 1000;

const TOKEN: &str = "bench-token";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")
}

/// A program that answers, ended when dropped.
struct Server {
    name: &'static str,
    url: String,
    process: Child,
    measured: Vec<Measured>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Requests a second.
    rate: f64,
    /// The 99th percentile, in milliseconds.
    p99: f64,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Airlock with the script, and others beside it.
    fn airlock(name: &'static str, place: &Path, recorded: bool, others: usize) -> Result<Server> {
        std::fs::create_dir_all(place)?;
        let script = std::fs::read_to_string(folder().join("validate-order.js"))?
            + "\nasync function handleRequest(req) { return { body: await validateOrder(req.json()) }; }\n";
        std::fs::write(place.join("order.js"), &script)?;
        let mut settings = format!(
            "data = \"data\"\n[server]\nlisten = \"127.0.0.1:0\"\naccess_log = false\n[executions]\nrecord = {recorded}\n\
             [quotas]\ncalls_per_minute = 0\nfuel_per_minute = 0\n\
             [[tenants]]\nid = \"bench\"\n[[users]]\nid = \"bench\"\ntenant = \"bench\"\ntoken = \"{TOKEN}\"\n\
             [[scripts]]\nname = \"order\"\ntype = \"http\"\nfile = \"order.js\"\nentry = \"handleRequest\"\n"
        );
        for number in 0..others {
            std::fs::write(place.join(format!("{number}.js")), format!("// {number}\n{script}"))?;
            write!(
                settings,
                "[[scripts]]\nname = \"order-{number}\"\ntype = \"http\"\nfile = \"{number}.js\"\nentry = \"handleRequest\"\n"
            )?;
        }
        std::fs::write(place.join("airlock.toml"), settings)?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(["serve", "--config"])
            .arg(place.join("airlock.toml"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(place.join("log"))?)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no stdout")?;
        let mut server = Server { name, url: String::new(), process, measured: Vec::new() };
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        // It says more than a pipe holds.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            return Err(format!("{name} did not start: {}", std::fs::read_to_string(place.join("log"))?).into());
        };
        server.url = format!("{address}/api/custom/order");
        Ok(server)
    }

    fn workerd(place: &Path) -> Result<Server> {
        let program = folder().join("peers/node_modules/.bin/workerd");
        if !program.exists() {
            return Err("workerd is not installed: run `npm install` in benches/peers".into());
        }
        std::fs::create_dir_all(place)?;
        let script = std::fs::read_to_string(folder().join("validate-order.js"))?
            + "\nexport default { async fetch(request) { return Response.json(await validateOrder(await request.json())); } };\n";
        std::fs::write(place.join("worker.js"), script)?;
        // It takes a port, and says none.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        std::fs::write(
            place.join("config.capnp"),
            format!(
                "using Workerd = import \"/workerd/workerd.capnp\";\n\
                 const config :Workerd.Config = (\n\
                   services = [(name = \"main\", worker = .worker)],\n\
                   sockets = [(name = \"http\", address = \"127.0.0.1:{port}\", http = (), service = \"main\")],\n\
                 );\n\
                 const worker :Workerd.Worker = (\n\
                   modules = [(name = \"worker\", esModule = embed \"worker.js\")],\n\
                   compatibilityDate = \"2026-01-01\",\n\
                 );\n"
            ),
        )?;
        let process = Command::new(program)
            .arg("serve")
            .arg(place.join("config.capnp"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(place.join("log"))?)
            .spawn()?;
        let server =
            Server { name: "workerd", url: format!("http://127.0.0.1:{port}/"), process, measured: Vec::new() };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                return Err(format!("workerd did not start: {}", std::fs::read_to_string(place.join("log"))?).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// One round.
    fn measure(&mut self, lua: &Path) -> Result<()> {
        self.measured.push(self.ask(lua, CONNECTIONS, SECONDS)?);
        Ok(())
    }

    /// Over so many connections, for so many seconds.
    fn ask(&self, lua: &Path, connections: u32, seconds: u64) -> Result<Measured> {
        let output = Command::new("wrk")
            .args(["--threads", "1", "--latency", "--connections", &connections.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--script"])
            .arg(lua)
            .arg(&self.url)
            .output()
            .map_err(|reason| format!("wrk, which Debian has as a package: {reason}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let refused = |why: &str| format!("{}: {why}: {text}", self.name);
        if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
            return Err(refused("wrk met errors").into());
        }
        let after =
            |label: &str| text.lines().find_map(|line| Some(line.trim().strip_prefix(label)?.trim().to_owned()));
        let rate = after("Requests/sec:").and_then(|text| text.parse().ok()).ok_or_else(|| refused("no rate"))?;
        let p99 = after("99%").and_then(|text| milliseconds(&text)).ok_or_else(|| refused("no latency"))?;
        Ok(Measured { rate, p99 })
    }

    /// The middle of the rounds.
    fn median(&self) -> Measured {
        let middle = |of: fn(&Measured) -> f64| median(self.measured.iter().map(of).collect());
        Measured { rate: middle(|one| one.rate), p99: middle(|one| one.p99) }
    }
}

/// As wrk writes a time: `1.23ms`, `456.00us`, `1.20s`.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = match text {
        text if text.ends_with("us") => (text.strip_suffix("us")?, 1e-3),
        text if text.ends_with("ms") => (text.strip_suffix("ms")?, 1.0),
        text => (text.strip_suffix('s')?, 1e3),
    };
    Some(number.trim().parse::<f64>().ok()? * factor)
}

fn main() -> Result<()> {
    if is_listing() {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let order = std::fs::read_to_string(folder().join("order.json"))?;
    let lua = place.path().join("order.lua");
    let mut file = std::fs::File::create(&lua)?;
    writeln!(file, "wrk.method = 'POST'\nwrk.body = [==[{}]==]", order.trim())?;
    writeln!(file, "wrk.headers['Content-Type'] = 'application/json'")?;
    writeln!(file, "wrk.headers['Authorization'] = 'Bearer {TOKEN}'")?;
    drop(file);

    let folder = |name: &str| place.path().join(name);
    let mut servers = [
        Server::airlock("airlock, recorded", &folder("recorded"), true, 0)?,
        Server::airlock("airlock, not recorded", &folder("bare"), false, 0)?,
        Server::airlock("airlock, recorded, of 1,001", &folder("recorded-many"), true, MANY)?,
        Server::airlock("airlock, not recorded, of 1,001", &folder("bare-many"), false, MANY)?,
        Server::workerd(&folder("workerd"))?,
    ];
    for _ in 0..ROUNDS {
        for server in &mut servers {
            server.measure(&lua)?;
        }
    }
    println!("order validation over HTTP, {CONNECTIONS} connections     requests/s     p99, ms");
    for server in &servers {
        let Measured { rate, p99 } = server.median();
        println!("  {:<40} {rate:13.0} {p99:11.2}", server.name);
    }
    let [recorded, bare, recorded_many, bare_many, workerd] = servers.each_ref().map(Server::median);
    println!("\nratios");
    println!("  recorded / workerd                        {}", bar(recorded.rate / workerd.rate, 1.0, false));
    println!("  not recorded / workerd                    {}", bar(bare.rate / workerd.rate, 1.3, false));
    println!("  p99 recorded / workerd                    {}", bar(recorded.p99 / workerd.p99, 1.0, true));
    println!("  1,001 scripts / one, recorded             {}", bar(recorded_many.rate / recorded.rate, 0.9, false));
    println!("  1,001 scripts / one, not recorded         {}", bar(bare_many.rate / bare.rate, 0.9, false));
    let [recorded, bare, ..] = &servers;
    for (connections, what) in [(1, "one at a time"), (CONNECTIONS, "cores busy")] {
        let ratio = ratio(recorded, bare, &lua, connections)?;
        println!("  recorded / not recorded, {what:<16} {}", bar(ratio, 0.95, false));
    }
    Ok(())
}

/// One server's rate to another's, by turns: what differs between them is less than
/// what differs from one second to the next.
fn ratio(one: &Server, other: &Server, lua: &Path, connections: u32) -> Result<f64> {
    let mut ratios = Vec::new();
    for round in 0..PAIRS {
        let rate = |server: &Server| server.ask(lua, connections, 1).map(|measured| measured.rate);
        ratios.push(if round % 2 == 0 { rate(one)? / rate(other)? } else { 1.0 / (rate(other)? / rate(one)?) });
    }
    Ok(median(ratios))
}
