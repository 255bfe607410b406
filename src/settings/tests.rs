use std::path::Path;
use std::time::Duration;

use url::Url;

use super::*;
use crate::capabilities::db::postgres::token::Key;
use crate::capabilities::db::postgres::{Access, Table};
use crate::capabilities::services::remote::{Backend, Endpoint, SigningKey};
use crate::tenant::quota::Quotas;
use crate::triggers::schedules::cron::Overlap;

const NOTHING: fn(&str) -> Option<String> = |_| None;

fn parse(text: &str) -> Result<Settings, SettingsError> {
    parse_in(text, NOTHING)
}

fn parse_in(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    file::parse(text, Path::new("airlock.toml"), Path::new("/srv/shop"), &environment).map(|checked| checked.settings)
}

const FULL: &str = r#"
data = "data"
scripts_enabled = true
cache_size = "256MiB"

[store]
url = "postgres://airlock:hunter4@db.example.com/airlock"
connections = 6

[server]
listen = "0.0.0.0:9000"
max_body = "2MiB"
header_timeout = "5s"
body_timeout = "20s"
max_connections = 100
max_requests = 50
shutdown_grace = "1s"

[limits]
timeout = "10s"
memory = "64MiB"
fuel = 1_000_000
http_calls = 0
db_statement_bytes = 1024

[quotas]
concurrent_calls = 4
storage_bytes = "1MiB"

[sandboxes]
count = 8
wait = "500ms"

[database]
url = "postgres://shop_tenant:hunter2@db.example.com/shop"
admin_url = "postgres://postgres:hunter3@db.example.com/shop"
connections = 4
schema = "shop"
tenant_column = "org"
application_roles = ["shop"]
functions = ["slug"]
token_keys = [
    { id = "2026-11", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" },
    { id = "2026-08", key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" },
]

[[database.tables]]
name = "orders"

[[database.tables]]
name = "invoices"
tenant_column = "owner"
access = "read"

[[database.tables]]
name = "currencies"
access = "shared"

[http]
private_networks = ["127.0.0.1/32", "::1"]
user_agent = "shop/1"

[executions]
keep = "90d"
max_per_tenant = 1_000
max_bytes_per_tenant = "16MiB"
max_result = 0

[queue]
concurrency = 8
lease = "6s"
heartbeat = "2s"
sweep = "500ms"
attempts = 3
keep_dead = "7d"

[metrics]
listen = "127.0.0.1:9464"
max_tenants = 5

[smtp]
url = "smtps://user:hunter2@mail.example.com"
from = "Shop <shop@example.com>"

[[tenants]]
id = "acme"
name = "Acme"
schema = "schema.sql"
seed = "seed/acme.sql"

[[tenants]]
id = "globex"
executions = { keep = "7d" }
quotas = { storage_bytes = "1GiB", calls_per_minute = 6_000 }

[[users]]
id = "ann"
tenant = "acme"
email = "ann@acme.example"
name = "Ann"
roles = ["seller"]
permissions = ["reports.view", "orders.view"]
token = "ann-secret"

[[users]]
id = "ann"
tenant = "globex"
token_sha256 = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"

[roles]
seller = ["orders.view", "clients.*"]

[[service_accounts]]
id = "nightly"
name = "Nightly jobs"
roles = ["seller"]

[secrets]
keys = [{ id = "2026", key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" }]

[tables.orders]
read = "orders.view"
write = "orders.edit"

[services.clients]
[services.people]
table = "clients"
key = "id"
[services.notifications]
kind = "notifications"
[services.billing]
kind = "http"
url = "https://billing.internal/api"
signing_key = "hunter2-0123456789abcdef0123456789"
timeout = "3s"
retries = 0
[services.billing.methods]
get = { method = "GET", path = "/invoices/{id}" }
charge = { idempotent = true }

[[scripts]]
name = "sales-report"
file = "scripts/sales-report.js"
type = "http"
permission = "reports.view"
timeout = "2s"
memory = "256MiB"
fuel = 5

[[scripts]]
name = "order"
file = "/elsewhere/order.js"
type = "http"
path = "/orders/:id"
methods = ["get"]
tenants = ["acme"]
grants.http = ["api.example.com"]
grants.tables = ["orders(read)"]
run_as = "nightly"
entry = "show"
public = true

[[scripts]]
name = "Nightly clean-up"
file = "scripts/clean.js"
type = "cron"
cron = { schedule = "30 2 * * *", timezone = "Europe/Berlin", overlap = "queue", catch_up_window = "6h" }
"#;

#[test]
fn a_full_file() {
    let settings = parse(FULL).unwrap();
    assert_eq!(settings.data, Path::new("/srv/shop/data"));
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(settings.server.max_body, 2 << 20);
    assert_eq!(settings.server.header_timeout, Duration::from_secs(5));
    assert_eq!(settings.server.body_timeout, Duration::from_secs(20));
    assert_eq!((settings.server.max_connections, settings.server.max_requests), (100, 50));
    assert_eq!(settings.limits.timeout, 10_000);
    assert_eq!(settings.limits.fuel, 1_000_000);
    assert_eq!(settings.limits.http_calls, 0);
    assert_eq!(settings.limits.db_statement_bytes, 1024);
    let quotas = Quotas { concurrent_calls: 4, storage_bytes: 1 << 20, ..Quotas::default() };
    assert_eq!((&settings.quotas, &settings.tenants[0].quotas), (&quotas, &None));
    let own = Quotas { storage_bytes: 1 << 30, calls_per_minute: 6_000, ..quotas };
    assert_eq!(settings.tenants[1].quotas, Some(own), "the general ones below its own");
    assert_eq!((settings.sandboxes.count, settings.sandboxes.wait), (8, Duration::from_millis(500)));
    assert_eq!(settings.http.private_networks.len(), 2);
    let ExecutionSettings { record, keep, max_per_tenant, max_bytes_per_tenant, max_result, ref own } =
        settings.executions;
    let kept = Retention { keep: Duration::from_secs(7 * 24 * 60 * 60), max_per_tenant, max_bytes_per_tenant };
    assert_eq!(*own, BTreeMap::from([("globex".to_owned(), kept)]));
    assert_eq!((record, keep.as_secs()), (true, 90 * 24 * 60 * 60));
    assert_eq!((max_per_tenant, max_bytes_per_tenant, max_result), (1_000, 16 << 20, 0));
    let QueueSettings { concurrency, lease, heartbeat, sweep, attempts, .. } = settings.queue;
    assert_eq!((concurrency, lease.as_secs(), heartbeat.as_secs(), sweep.as_millis(), attempts), (8, 6, 2, 500, 3));
    assert_eq!(settings.queue.keep_dead.as_secs(), 7 * 24 * 60 * 60);
    assert_eq!(settings.queue.max_backoff, QueueSettings::default().max_backoff);
    let MetricsSettings { listen, max_tenants, max_scripts } = settings.metrics;
    assert_eq!((listen.unwrap().port(), max_tenants, max_scripts), (9464, 5, 1_000));
    assert_eq!(settings.tenants[0].seed.as_deref(), Some(Path::new("/srv/shop/seed/acme.sql")));
    assert_eq!(settings.tenants[1].tenant.name, "globex");
    assert_eq!(settings.users[0].token, TokenDigest::of(b"ann-secret"));
    assert_eq!(settings.users[1].token, TokenDigest::of(b"test"));
    let permissions = |user: &User| user.permissions.iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(permissions(&settings.users[0].user), ["orders.view", "clients.*", "reports.view"]);
    assert_eq!(permissions(&settings.service_accounts[0]), ["orders.view", "clients.*"]);
    assert_eq!(*settings.secrets.first().unwrap().bytes, [1; 32]);
    assert_eq!(settings.tables["orders"].write.as_deref(), Some("orders.edit"));
    assert_eq!(settings.services["clients"], ServiceSettings::default());
    let people = ServiceKind::Table { table: Some("clients".into()), key: Some("id".into()) };
    assert_eq!(settings.services["people"].kind, people);
    assert_eq!(settings.services["notifications"].kind, ServiceKind::Notifications);
    assert_eq!(
        settings.services["billing"].kind,
        ServiceKind::Http(Box::new(billing("hunter2-0123456789abcdef0123456789")))
    );

    let [report, order, nightly] = settings.scripts.as_slice() else { panic!("three scripts") };
    let route = report.route.as_ref().unwrap();
    assert_eq!(route.pattern.to_string(), "/sales-report");
    assert_eq!(route.methods, ["GET", "POST"]);
    assert_eq!((report.limits.timeout, report.limits.memory, report.limits.fuel), (2_000, 256 << 20, 5));
    assert_eq!(report.file, Path::new("/srv/shop/scripts/sales-report.js"));
    assert_eq!(report.shown_file, "scripts/sales-report.js");
    assert!(report.belongs_to("acme") && report.belongs_to("globex"));
    assert_eq!(order.file, Path::new("/elsewhere/order.js"));
    assert_eq!(order.route.as_ref().unwrap().pattern.to_string(), "/orders/{id}");
    assert_eq!(order.limits, settings.limits);
    assert!(order.belongs_to("acme") && !order.belongs_to("globex"));
    assert!(order.public);
    assert_eq!(order.grants["http"], ["api.example.com"]);
    assert_eq!(order.grants["tables"], ["orders (read)"]);
    assert_eq!(order.run_as.as_deref(), Some("nightly"));
    assert!(report.grants.is_empty());
    assert_eq!(nightly.kind, ScriptKind::Cron);
    assert!(nightly.route.is_none());
    let cron = nightly.cron.clone().unwrap();
    let expected = Cron {
        timezone: "Europe/Berlin".into(),
        overlap: Overlap::Queue,
        catch_up_window: Some("6h".into()),
        ..Cron::new("30 2 * * *")
    };
    assert_eq!(cron, expected);
    assert!(report.cron.is_none());
    assert_eq!(settings.longest_call(), Duration::from_millis(10_500));
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn nothing_set_is_the_default() {
    for settings in [parse("").unwrap(), Settings::load(None, NOTHING).unwrap(), Settings::default()] {
        assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.limits, Limits::default());
        assert!(settings.scripts_enabled);
    }
}

#[test]
fn the_environment_wins() {
    let environment = |name: &str| {
        let text = match name {
            "SCRIPTS_ENABLED" => "false",
            "SCRIPT_TIMEOUT_SECONDS" => " 7 ",
            "SCRIPT_MAX_MEMORY_MB" => "32",
            "SCRIPT_VM_POOL_SIZE" => "3",
            "SCRIPT_VM_TIMEOUT_SECONDS" => "",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let settings = parse_in(FULL, environment).unwrap();
    assert!(!settings.scripts_enabled);
    assert_eq!((settings.limits.timeout, settings.limits.memory), (7_000, 32 << 20));
    assert_eq!(settings.sandboxes.count, 3);
    // Empty is not set.
    assert_eq!(settings.sandboxes.wait, Duration::from_millis(500));
    // A script's own limits stand; those it leaves out follow.
    assert_eq!(settings.scripts[0].limits.timeout, 2_000);
    assert_eq!(settings.scripts[1].limits.timeout, 7_000);

    for (name, text, expected) in [
        ("SCRIPTS_ENABLED", "maybe", "SCRIPTS_ENABLED is `maybe`; it takes `true` or `false`"),
        ("SCRIPT_TIMEOUT_SECONDS", "30s", "it takes a whole number of seconds from 1 to 86400"),
        ("SCRIPT_TIMEOUT_SECONDS", "0", "from 1 to 86400"),
        ("SCRIPT_MAX_MEMORY_MB", "99999999999999999999", "from 1 to 4096"),
        ("SCRIPT_VM_POOL_SIZE", "-1", "from 1 to 10000"),
        ("AIRLOCK_SECRETS_KEYS", "hunter2", "key 1: there is no `:` after its id"),
        ("AIRLOCK_SECRETS_KEYS", "a:hunter2", "key 1: the key is neither hexadecimal nor base64"),
    ] {
        let error = parse_in("", |asked| (asked == name).then(|| text.to_owned())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// What `FULL` makes of the service.
fn billing(key: &str) -> Backend {
    let key = SigningKey::new(key).unwrap();
    let mut backend = Backend::new("https://billing.internal/api", key)
        .unwrap()
        .with("get", Endpoint::new("GET", "/invoices/{id}", false).unwrap())
        .with("charge", Endpoint::new("POST", "/charge", true).unwrap());
    (backend.timeout, backend.retries) = (Duration::from_secs(3), 0);
    backend
}

#[test]
fn a_signing_key_may_come_from_the_environment() {
    let other = "another-key-0123456789abcdef0123456789";
    let variable = |asked: &str| (asked == "AIRLOCK_SERVICES_BILLING_SIGNING_KEY").then(|| other.to_owned());
    let settings = parse_in(FULL, variable).unwrap();
    assert_eq!(settings.services["billing"].kind, ServiceKind::Http(Box::new(billing(other))));
    assert!(!format!("{settings:?}").contains("0123456789abcdef"), "a key is not printed");
    let error =
        parse_in(FULL, |asked| asked.ends_with("_SIGNING_KEY").then(|| "short-hunter2".to_owned())).unwrap_err();
    let report = error.to_string();
    assert!(
        report.contains("AIRLOCK_SERVICES_BILLING_SIGNING_KEY: a signing key is at least 32 characters"),
        "{report}"
    );
    assert!(!report.contains("hunter2"), "{report}");
}

#[test]
fn keys_of_the_environment_take_the_place_of_the_files() {
    let keys = format!("new:{}, old:{}", "02".repeat(32), "A".repeat(43) + "=");
    let settings = parse_in(FULL, |name| (name == "AIRLOCK_SECRETS_KEYS").then(|| keys.clone())).unwrap();
    let ids: Vec<_> = settings.secrets.0.iter().map(|key| (key.id.as_str(), key.bytes[0])).collect();
    assert_eq!(ids, [("new", 2), ("old", 0)]);
}

/// Settings, the line and column of the fault, and what the report says.
const WRONG: &[(&str, usize, usize, &[&str])] = &[
    ("[limts]", 1, 2, &["unknown key `limts`", "did you mean `limits`?", "airlock.toml:1:2", "^^^^^"]),
    ("[server]\nmax_bdy = 1", 2, 1, &["unknown key `max_bdy`", "did you mean `max_body`?"]),
    ("[server]\nqqq = 1", 2, 1, &["unknown key `qqq`", "known here: `listen`, `max_body`"]),
    ("[limits]\ntimout = \"1s\"", 2, 1, &["unknown key `timout`", "did you mean `timeout`?"]),
    ("[services.clients]\ntabel = \"x\"", 2, 1, &["unknown key `tabel`", "did you mean `table`?"]),
    ("[services.\"a b\"]", 1, 11, &["`a b` cannot be a service's name"]),
    ("[limits]\nstorage_bytes = \"1MiB\"", 2, 1, &["`storage_bytes` is a quota", "stands in [quotas]"]),
    ("[quotas]\nstorage_byte = \"1MiB\"", 2, 1, &["unknown key `storage_byte`", "did you mean `storage_bytes`?"]),
    ("[quotas]\nstorage_bytes = \"lots\"", 2, 17, &["`lots` is not a size"]),
    ("[quotas]\nconcurrent_calls = 0", 2, 20, &["no script could run", "scripts_enabled"]),
    ("[[tenants]]\nid = \"a\"\nquotas = { call_per_minute = 1 }", 3, 12, &["did you mean `calls_per_minute`?"]),
    ("[services.a]\nkind = \"http\"", 1, 11, &["the service `a` has no `url`"]),
    ("[services.a]\nurl = \"http://x\"", 2, 7, &["`url` is for services of the kind `http`"]),
    ("[services.a]\nkind = \"http\"\ntable = \"x\"", 3, 9, &["`table` is for services of the kind `table`"]),
    ("[services.a]\nkind = \"grpc\"", 2, 8, &["unknown variant"]),
    (
        "[services.a]\nkind = \"http\"\nurl = \"http://x\"",
        1,
        11,
        &["no `signing_key`", "AIRLOCK_SERVICES_A_SIGNING_KEY"],
    ),
    (
        "[services.a]\nkind = \"http\"\nurl = \"http://x\"\nsigning_key = \"hunter2\"",
        1,
        11,
        &["at least 32 characters", "openssl"],
    ),
    (
        "[services.a]\nkind = \"http\"\nsigning_key = \"0123456789abcdef0123456789abcdef\"\nurl = \"x.internal\"",
        4,
        7,
        &["not a backend's address"],
    ),
    (
        "[services.a]\nkind = \"http\"\nurl = \"http://x\"\nsigning_key = \"0123456789abcdef0123456789abcdef\"",
        1,
        11,
        &["the service `a` has no methods", "[services.a.methods]"],
    ),
    (
        "[services.a]\nkind = \"http\"\nurl = \"http://x\"\nsigning_key = \"0123456789abcdef0123456789abcdef\"\nmethods.get.path = \"/../x\"",
        5,
        20,
        &["`/../x` is not a path"],
    ),
    (
        "[services.a]\nkind = \"http\"\nurl = \"http://x\"\nsigning_key = \"0123456789abcdef0123456789abcdef\"\nmethods.then.path = \"/x\"",
        5,
        9,
        &["`then` cannot be a method's name"],
    ),
    ("[limits]\ntimeout = \"30x\"", 2, 11, &["`30x` is not a duration", "write it as `30s`"]),
    ("[limits]\ntimeout = 30", 2, 11, &["`30` is not a duration", "write it as `30s`"]),
    ("[limits]\ntimeout = 0", 2, 11, &["cannot be 0"]),
    ("[limits]\ntimeout = \"400days\"", 2, 11, &["the longest time is 1day"]),
    ("[limits]\nmemory = \"lots\"", 2, 10, &["`lots` is not a size", "write it as `128MiB`"]),
    ("[limits]\nmemory = \"8GiB\"", 2, 10, &["at most 4GiB"]),
    ("[limits]\nstorage_key_bytes = \"3KiB\"", 2, 21, &["at most 2KiB"]),
    ("cache_size = \"1MiB\"", 1, 14, &["64MiB"]),
    ("[store]\nconnections = 1", 2, 15, &["2"]),
    ("[limits]\nfuel = -1", 2, 8, &["`-1` is not a whole number"]),
    ("[limits]\nfuel = 1.5", 2, 8, &["expected a whole number"]),
    ("[server]\nlisten = \"8080\"", 2, 10, &["`8080` is not an address and port", "127.0.0.1:8080"]),
    ("[server]\nbody_timeout = \"0s\"", 2, 16, &["from 1ms to 1day"]),
    ("[server]\nmax_body = 0", 2, 12, &["a size from 1B to 1GiB"]),
    ("[server]\nmax_connections = 0", 2, 19, &["a whole number from 1 to 1000000"]),
    ("[sandboxes]\ncount = \"many\"", 2, 9, &["a whole number from 1 to 10000"]),
    ("[executions]\nkeep = \"5s\"", 2, 8, &["a time from `1m` to ten years", "`30d`"]),
    ("[events]\nkeep = \"5s\"", 2, 8, &["a time from `1m` to ten years"]),
    ("[events.nats]\npublish = \"shop\"", 1, 1, &["no `url`", "AIRLOCK_NATS_URL", "nats://nats.example.com:4222"]),
    ("[events.nats]\nurl = \"http://localhost\"", 2, 7, &["does not say where NATS is", "nats://"]),
    ("[events.nats]\nurl = \"nats://a,b\"", 2, 7, &["does not say where NATS is"]),
    ("[events.nats]\nurl = \"nats://a\"", 1, 1, &["neither what is sent nor what is received", "`publish`"]),
    ("[events.nats]\nurl = \"nats://a\"\npublish = \"a.>\"", 3, 11, &["`a.>` cannot be the beginning of a subject"]),
    ("[events.nats]\nurl = \"nats://a\"\npublish = \"\"", 3, 11, &["cannot be the beginning"]),
    ("[events.nats]\nurl = \"nats://a\"\nreceive = \"a\"", 3, 11, &["`receive` needs a `stream`", "`consumer`"]),
    (
        "[events.nats]\nurl = \"nats://a\"\nreceive = \"a\"\nstream = \"A\"\nconsumer = \"b.c\"",
        5,
        12,
        &["`b.c` cannot be a consumer's name"],
    ),
    (
        "[events.nats]\nurl = \"nats://a\"\npublish = \"a\"\nstream = \"A\"",
        4,
        10,
        &["`stream` is of no use without `receive`"],
    ),
    (
        "[events.nats]\nurl = \"nats://a\"\npublish = \"a.b\"\nreceive = \"a\"\nstream = \"A\"\nconsumer = \"c\"",
        4,
        11,
        &["`a` and `a.b` overlap", "would come back"],
    ),
    ("[executions]\nmax_per_tenant = 0", 2, 18, &["a whole number from 1"]),
    ("[queue]\nlease = \"29s\"", 2, 9, &["heartbeat of 10s", "lease of 29s", "three times"]),
    ("[queue]\nheartbeat = \"11s\"", 2, 13, &["heartbeat of 11s"]),
    ("[queue]\nattempts = 0", 2, 12, &["a whole number from 1 to 100"]),
    ("[queue]\nkeep_dead = \"1s\"", 2, 13, &["a time from `1m` to ten years"]),
    ("[schedules]\nkeep = \"5s\"", 2, 8, &["a time from `1m` to ten years"]),
    ("[schedules]\nmax_ticks = 0", 2, 13, &["a whole number from 1 to 1000000"]),
    ("[metrics]\nlisten = \"9464\"", 2, 10, &["is not an address and port"]),
    ("[http]\nprivate_networks = [\"10.0.0.0/33\"]", 2, 21, &["is not a network", "10.1.2.0/24"]),
    ("[smtp]\nurl = \"http://user:hunter2@x\"", 2, 7, &["not the URL of a mail server", "url = \"****"]),
    (
        "[secrets]\nkeys = [{ id = \"a\", key = \"hunter2\" }]",
        2,
        16,
        &["neither hexadecimal nor base64", "openssl rand -hex 32", "key = \"*******\""],
    ),
    ("[secrets]\nkeys = [{ id = \"a\", key = \"ab\" }]", 2, 16, &["the key has 1 bytes"]),
    ("[secrets]\nkeys = [{ id = \"a b\", key = \"ab\" }]", 2, 16, &["the key's id is not one"]),
    ("[[service_accounts]]\nid = \"a\"\nroles = [\"seler\"]", 3, 10, &["there is no role `seler`", "[roles]"]),
    (
        "[[service_accounts]]\nid = \"a\"\nroles = [\"seler\"]\n[roles]\nseller = []",
        3,
        10,
        &["there is no role `seler`", "did you mean `seller`?"],
    ),
    ("[[service_accounts]]\nid = \"a\"\n[[service_accounts]]\nid = \"a\"", 4, 6, &["service account `a` already"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\nrun_as = \"b\"", 4, 10, &["there is no service account `b`"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ngrants.tabels = []", 4, 8, &["`tabels`", "did you mean `tables`?"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ngrants.http = [\"a/b\"]", 4, 16, &["it has a path"]),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ncron.schedule = \"0 9 * * *\"",
        4,
        1,
        &["for scripts of type `cron`"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"cron\"\ncron.schedule = \"0 0 30 2 *\"",
        5,
        17,
        &["names a time that never comes"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"cron\"\n[scripts.cron]\nschedule = \"0 9 * * *\"\ntimezone = \"CEST\"",
        7,
        12,
        &["no time zone", "Europe/Berlin"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"cron\"\n[scripts.cron]\nschedul = \"0 9 * * *\"",
        6,
        1,
        &["unknown key `schedul`", "did you mean `schedule`?"],
    ),
    ("[tables.orders]\nreed = \"a\"", 2, 1, &["unknown key `reed`", "did you mean `read`?"]),
    ("data = \n", 1, 8, &["airlock.toml:1:"]),
    ("[[tenants]]\nname = \"x\"", 1, 1, &["this table lacks `id`"]),
    ("[[tenants]]\nid = \"../x\"", 2, 6, &["`../x` cannot be a tenant's id"]),
    ("[[tenants]]\nid = \"\"", 2, 6, &["cannot be a tenant's id"]),
    ("[[tenants]]\nid = \"acme\"\n[[tenants]]\nid = \"ACME\"", 4, 6, &["there is a tenant `acme` already"]),
    ("[[users]]\nid = \"ann\"\ntenant = \"acme\"", 3, 10, &["there is no tenant `acme`", "[[tenants]]"]),
];

/// The same, with the tenants `acme` and `globex` in the two lines before.
const WRONG_WITH_TENANTS: &[(&str, usize, usize, &[&str])] = &[
    ("[[users]]\nid = \"ann\"\ntenant = \"acne\"", 5, 10, &["there is no tenant `acne`", "did you mean `acme`?"]),
    ("[[users]]\nid = \"ann\"\ntenant = \"acme\"", 4, 6, &["this user has no token"]),
    ("[[users]]\nid = \"ann\"\ntenant = \"acme\"\ntoken = \"\"", 4, 6, &["token is empty"]),
    ("[[users]]\nid = \"ann\"\ntenant = \"acme\"\ntoken = \"a b\"", 4, 6, &["characters that a header cannot carry"]),
    ("[[users]]\nid = \"ann\"\ntenant = \"acme\"\ntoken = \"a\"\ntoken_sha256 = \"b\"", 4, 6, &["leave one out"]),
    ("[[users]]\nid = \"ann\"\ntenant = \"acme\"\ntoken_sha256 = \"abc\"", 4, 6, &["is not a SHA-256"]),
    (
        "[[users]]\nid = \"a\"\ntenant = \"acme\"\ntoken = \"t\"\n[[users]]\nid = \"b\"\ntenant = \"globex\"\ntoken = \"t\"",
        8,
        6,
        &["the users `a` and `b` have the same token"],
    ),
    (
        "[[users]]\nid = \"a\"\ntenant = \"acme\"\ntoken = \"t\"\n[[users]]\nid = \"a\"\ntenant = \"acme\"\ntoken = \"u\"",
        8,
        6,
        &["has a user `a` already"],
    ),
    ("[[users]]\nid = \"a\"\ntenant = \"acme\"\ntoken = [\"hunter2\"]", 6, 9, &["invalid type", "[\"*******\"]"]),
    ("[[scripts]]\nname = \"a\"", 3, 1, &["this table lacks `file`"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"htp\"", 6, 8, &["`htp`"]),
    ("[[scripts]]\nname = \" \"\nfile = \"a.js\"", 4, 8, &["` ` cannot be a script's name", "no UUID"]),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\nevent = { events = [\"a\"] }",
        6,
        9,
        &["`event` is for scripts of type `event`"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"event\"\nevent = { events = [\"a\", \"b c\"] }",
        7,
        9,
        &["`events[1]` is not sound", "`b c` names no events"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"event\"\nevent = { events = [\"a\"], filter = [] }",
        7,
        27,
        &["unknown key `filter`", "did you mean `filters`?"],
    ),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\npath = \"/a\"", 6, 8, &["`path` is for scripts of type `http`"]),
    (
        "[[scripts]]\nname = \"a b\"\nfile = \"a.js\"\ntype = \"http\"",
        4,
        8,
        &["cannot serve as its path", "path = \"/sales-report\""],
    ),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"a\"", 7, 8, &["write it as `/a`"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"/a//b\"", 7, 8, &["a segment is empty"]),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"/{a}/{a}\"",
        7,
        8,
        &["names the parameter `a` twice"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"/x{a}\"",
        7,
        8,
        &["mixes text and a parameter"],
    ),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"/*\"", 7, 8, &["`*` is not supported"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"/..\"", 7, 8, &["cannot be a segment"]),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\nmethods = [\"FETCH\"]",
        7,
        12,
        &["`FETCH` is not a method"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\nmethods = [\"HEAD\"]",
        7,
        12,
        &["HEAD needs no script"],
    ),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\nmethods = []", 7, 11, &["never called"]),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntenants = []", 6, 11, &["no tenant has this script"]),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntenants = [\"acme\", \"nobody\"]",
        6,
        20,
        &["there is no tenant `nobody`", "`acme`, `globex`"],
    ),
    ("[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntimeout = \"soon\"", 6, 11, &["`soon` is not a duration"]),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npublic = true\npermission = \"x\"",
        8,
        14,
        &["leave out `permission` or `public`"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npublic = true\nwebhook = { scheme = \"slack\", secrets = [\"A\"] }",
        8,
        11,
        &["a webhook is called with a signature and by no user", "leave out `permission` and `public`, or `webhook`"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\nwebhook = { scheme = \"slack\", secrets = [\"A\"] }",
        6,
        11,
        &["`webhook` is for scripts of type `http`", "add `type = \"http\"`"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\nwebhook = { scheme = \"slack\", secrets = [\"a b\"] }",
        7,
        11,
        &["`secrets` of this webhook is not sound", "is not a secret's name"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\n[[scripts]]\nname = \"a\"\nfile = \"b.js\"",
        7,
        8,
        &["there is a script `a` already"],
    ),
    (
        "[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\npath = \"/o/{id}\"\n[[scripts]]\nname = \"b\"\nfile = \"b.js\"\ntype = \"http\"\npath = \"/o/:key\"\ntenants = [\"globex\"]\nmethods = [\"POST\"]",
        12,
        8,
        &["`a` and `b` both serve POST /o/{key} for the tenant `globex`"],
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let plain = WRONG.iter().map(|case| (case.0.to_owned(), case));
    let prefix = "tenants = [{id = \"acme\"}, {id = \"globex\"}]\n\n";
    let with_tenants = WRONG_WITH_TENANTS.iter().map(|case| (format!("{prefix}{}", case.0), case));
    for (text, (_, line, column, expected)) in plain.chain(with_tenants) {
        let error = parse(&text).expect_err(&text);
        let report = error.to_string();
        let place = error.place.as_ref().unwrap_or_else(|| panic!("{text}\n{report}"));
        assert_eq!((place.line, place.column), (*line, *column), "{text}\n{report}");
        for part in *expected {
            assert!(report.contains(part), "{part}\nis not in\n{report}");
        }
        assert!(!report.contains("hunter2"), "{report}");
    }
}

#[test]
fn routes_that_do_not_collide() {
    let base = "tenants = [{id = \"acme\"}, {id = \"globex\"}]\n";
    for (first, second) in [
        ("path = \"/o/{id}\"\nmethods = [\"GET\"]", "path = \"/o/{id}\"\nmethods = [\"POST\"]"),
        ("path = \"/o/{id}\"\ntenants = [\"acme\"]", "path = \"/o/{id}\"\ntenants = [\"globex\"]"),
        ("path = \"/o/{id}\"", "path = \"/o/new\""),
    ] {
        let text = format!(
            "{base}[[scripts]]\nname = \"a\"\nfile = \"a.js\"\ntype = \"http\"\n{first}\n[[scripts]]\nname = \"b\"\nfile = \"b.js\"\ntype = \"http\"\n{second}"
        );
        parse(&text).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn files_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("airlock.toml");
    let error = Settings::load(Some(&path), NOTHING).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");

    std::fs::write(&path, "[[scripts]]\nname = \"a\"\nfile = \"a.js\"").unwrap();
    let error = Settings::load(Some(&path), NOTHING).unwrap_err();
    assert_eq!(error.place.as_ref().map(|place| place.line), Some(3), "{error}");
    assert!(error.to_string().contains("count from the folder of the settings file"), "{error}");

    std::fs::write(folder.path().join("a.js"), "").unwrap();
    let settings = Settings::load(Some(&path), NOTHING).unwrap();
    assert_eq!(settings.scripts[0].file, folder.path().join("a.js"));

    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = Settings::load(Some(&path), NOTHING).unwrap_err();
    assert!(error.to_string().contains("is not UTF-8 text"), "{error}");
}

#[test]
fn secrets_stay_out_of_reports() {
    for text in [
        "[[users]]\ntoekn = \"hunter2\"",
        "[[users]]\ntoken = [\"a\", \"hunter2\"]",
        "[[users]]\ntoken = \"a\\\"hunter2\" x",
        "[[users]]\ntoken = \"hunter2",
        "[[users]]\ntoken = 'hunter2",
        "users = [{id = \"a\", tenant = \"b\", token = \"hunter2\"}]",
    ] {
        let report = parse(text).expect_err(text).to_string();
        assert!(report.contains("airlock.toml:"), "{report}");
        assert!(!report.contains("hunter2"), "{report}");
    }
}

/// Whatever the text, an error is a report and not a panic.
#[test]
fn broken_text() {
    let text = format!("# ü\n{FULL}");
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        for broken in [text[..end].to_owned(), format!("{}ü{}", &text[..end], &text[end..])] {
            if let Err(error) = parse(&broken) {
                let report = error.to_string();
                assert!(report.contains("airlock.toml:"), "{report}");
                assert!(!report.contains("hunter2") && !report.contains("ann-secret"), "{report}");
            }
        }
    }
}

const DATABASE: &str = "[database]\nurl = \"postgres://shop_tenant:hunter2@db.example.com/shop\"\n";
/// Bytes 0 to 31, as the environment takes them.
const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn table(name: &str, tenant_column: Option<&str>, access: Access) -> Table {
    Table { name: name.to_owned(), tenant_column: tenant_column.map(str::to_owned), access }
}

#[test]
fn a_database_is_read_whole() {
    let database = parse(FULL).unwrap().database.unwrap();
    let protection = &database.protection;
    assert_eq!(database.connections, 4);
    assert_eq!(protection.login, "shop_tenant");
    assert_eq!(protection.schema, "shop");
    assert_eq!(
        protection.tables,
        [
            table("orders", Some("org"), Access::Write),
            table("invoices", Some("owner"), Access::Read),
            table("currencies", None, Access::Shared),
        ]
    );
    assert_eq!(
        (protection.application_roles.as_slice(), protection.functions.as_slice()),
        (&["shop".to_owned()][..], &["slug".to_owned()][..])
    );
    assert_eq!(protection.keys.iter().map(Key::id).collect::<Vec<_>>(), ["2026-11", "2026-08"]);
    // Hexadecimal and base64 of the same bytes are the same key.
    let hexadecimal = (0..32).map(|byte| format!("{byte:02x}")).collect::<String>();
    let same = |key: &str| {
        let text = format!("{DATABASE}token_keys = [{{ id = \"k\", key = \"{key}\" }}]");
        parse(&text).unwrap().database.unwrap().protection.keys.sign("acme", 1, 2)
    };
    assert_eq!(same(&hexadecimal), same("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));

    assert!(parse("").unwrap().database.is_none());
    let least = parse(DATABASE).unwrap().database.unwrap().protection;
    assert_eq!((least.schema.as_str(), least.tables.len(), least.keys.is_empty()), ("public", 0, true));
}

#[test]
fn the_host_s_own_data_may_be_in_a_database() {
    let settings = parse(FULL).unwrap();
    assert_eq!(settings.cache_size, 256 << 20);
    let store = settings.store.unwrap();
    assert_eq!((&*store.url, store.connections), ("postgres://airlock:hunter4@db.example.com/airlock", 6));
    assert!(!format!("{store:?}").contains("hunter4"));
    assert!(parse("").unwrap().store.is_none());

    const OTHER: &str = "postgres://other@localhost/airlock";
    let environment = |name: &str| (name == "AIRLOCK_STORE_URL").then(|| OTHER.to_owned());
    for text in [FULL, ""] {
        assert_eq!(parse_in(text, environment).unwrap().store.unwrap().url, OTHER);
    }
    assert_eq!(Settings::load(None, environment).unwrap().store.unwrap().url, OTHER);
}

#[test]
fn events_may_go_to_nats_and_come_from_there() {
    const TEXT: &str = "[events.nats]\nurl = \"nats://me:hunter2@one:4222, tls://two\"\npublish = \"shop.events\"
        receive = \"shop.eventsless\"\nstream = \"INBOX\"\nconsumer = \"airlock\"";
    let nats = parse(TEXT).unwrap().events.nats.unwrap();
    assert_eq!(nats.servers.iter().map(Url::as_str).collect::<Vec<_>>(), ["nats://me:hunter2@one:4222", "tls://two"]);
    assert_eq!((nats.publish.as_deref(), &nats.credentials), (Some("shop.events"), &None));
    let receive = nats.receive.as_ref().unwrap();
    let names = [&receive.subject, &receive.stream, &receive.consumer];
    assert_eq!(names, ["shop.eventsless", "INBOX", "airlock"], "beside the other subject, not below it");
    assert!(!format!("{nats:?}").contains("hunter2"));
    assert!(parse("").unwrap().events.nats.is_none());

    let environment = |name: &str| match name {
        "AIRLOCK_NATS_URL" => Some("nats://other".to_owned()),
        "AIRLOCK_NATS_CREDENTIALS" => Some("/etc/airlock.creds".to_owned()),
        _ => None,
    };
    let nats = parse_in(TEXT, environment).unwrap().events.nats.unwrap();
    assert_eq!(nats.servers[0].as_str(), "nats://other");
    assert_eq!(nats.credentials.as_deref(), Some(Path::new("/etc/airlock.creds")));
    assert!(parse_in("", environment).unwrap().events.nats.is_none(), "a place alone says nothing of what goes there");
    let wrong = |name: &str| (name == "AIRLOCK_NATS_URL").then(|| "hunter2".to_owned());
    let said = parse_in(TEXT, wrong).unwrap_err().to_string();
    assert!(said.contains("AIRLOCK_NATS_URL does not say where NATS is") && !said.contains("hunter2"), "{said}");
    let said = parse("[events.nats]\nurl = \"hunter2\"\npublish = \"a\"").unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn the_host_s_own_data_is_not_where_the_tenants_tables_are() {
    let store = |url: &str| parse(&format!("{DATABASE}[store]\nurl = \"{url}\"\n"));
    for apart in
        ["postgres://a@db.example.com/other", "postgres://a@db.example.com:5433/shop", "postgres://a@other/shop"]
    {
        assert!(store(apart).is_ok(), "{apart}");
    }
    let said = store("postgres://airlock:hunter5@db.example.com/shop").unwrap_err().to_string();
    assert!(said.contains("in the same database") && said.contains("airlock.toml:4:7"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    let same =
        |name: &str| (name == "AIRLOCK_STORE_URL").then(|| "postgres://a:hunter5@db.example.com/shop".to_owned());
    let said = parse_in(DATABASE, same).unwrap_err().to_string();
    assert!(said.contains("in the same database") && !said.contains("hunter5"), "{said}");
    let wrong = store("mysql://hunter5@localhost/shop").unwrap_err().to_string();
    assert!(wrong.contains("not the URL of a PostgreSQL database") && !wrong.contains("hunter5"), "{wrong}");
}

#[test]
fn the_environment_wins_over_the_databases_table() {
    let environment = |name: &str| match name {
        "AIRLOCK_DATABASE_URL" => Some("postgres://other_tenant@localhost/shop?host=/run/postgresql".to_owned()),
        "AIRLOCK_DATABASE_ADMIN_URL" => Some("postgresql://root@localhost/shop".to_owned()),
        "AIRLOCK_DATABASE_TOKEN_KEYS" => Some(format!("{KEYS}, k0:{}", "00".repeat(32))),
        _ => None,
    };
    for text in [FULL, ""] {
        let database = parse_in(text, environment).unwrap().database.unwrap();
        assert_eq!(database.protection.login, "other_tenant");
        assert_eq!(database.admin_url.as_deref(), Some("postgresql://root@localhost/shop"));
        assert_eq!(database.protection.keys.iter().map(Key::id).collect::<Vec<_>>(), ["k1", "k0"]);
    }
    // A key alone makes no database.
    let alone = |name: &str| (name == "AIRLOCK_DATABASE_TOKEN_KEYS").then(|| KEYS.to_owned());
    assert!(parse_in("", alone).unwrap().database.is_none());
}

#[test]
fn what_is_wrong_with_a_database_is_said_without_its_secrets() {
    let short = "00".repeat(31);
    for (text, message) in [
        ("[database]\nschema = \"shop\"".to_owned(), "this table lacks `url`"),
        ("[database]\nurl = \"mysql://hunter2@localhost/shop\"".to_owned(), "not the URL of a PostgreSQL database"),
        ("[database]\nurl = \"postgres://:hunter2@localhost/shop\"".to_owned(), "not the URL of a PostgreSQL database"),
        ("[database]\nurl = \"postgres://hunter2@localhost\"".to_owned(), "not the URL of a PostgreSQL database"),
        (format!("{DATABASE}admin_url = \"hunter2\""), "not the URL of a PostgreSQL database"),
        (format!("{DATABASE}connections = 0"), "this takes a whole number from 1 to 100"),
        (format!("{DATABASE}token_keys = [{{ id = \"k\", key = \"hunter2!\" }}]"), "neither hexadecimal nor base64"),
        (format!("{DATABASE}token_keys = [{{ id = \"k\", key = \"{short}\" }}]"), "has 31 bytes, and needs 32"),
        (format!("{DATABASE}token_keys = [{{ id = \"a.b\", key = \"{short}00\" }}]"), "id is not one"),
        (
            format!(
                "{DATABASE}token_keys = [{{ id = \"k\", key = \"{short}00\" }}, {{ id = \"k\", key = \"{short}01\" }}]"
            ),
            "there is a key `k` already",
        ),
        (format!("{DATABASE}[[database.tables]]\nname = \"a\"\n[[database.tables]]\nname = \"a\""), "named twice"),
        (
            format!("{DATABASE}[[database.tables]]\nname = \"a\"\naccess = \"shared\"\ntenant_column = \"b\""),
            "belongs to no tenant",
        ),
        (format!("{DATABASE}[[database.tables]]\nname = \"\""), "a table cannot be empty"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.message.contains(message), "{text}\n{error}");
        assert!(error.place.is_some(), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(&short), "{shown}");
    }
    for (name, value, message) in [
        ("AIRLOCK_DATABASE_URL", "hunter2".to_owned(), "not the URL"),
        ("AIRLOCK_DATABASE_TOKEN_KEYS", "hunter2".to_owned(), "key 1: there is no `:`"),
        ("AIRLOCK_DATABASE_TOKEN_KEYS", "k:hunter2".to_owned(), "key 1: the key is neither"),
        ("AIRLOCK_DATABASE_TOKEN_KEYS", format!("{KEYS},k1:{short}00"), "key 2: there is a key `k1` already"),
    ] {
        let error = parse_in(DATABASE, |asked| (asked == name).then(|| value.clone())).unwrap_err();
        assert!(error.message.contains(message), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn settings_show_no_secret_of_the_database() {
    let shown = format!("{:?}", parse(FULL).unwrap());
    for secret in ["hunter", "AAECAw", "001122", "34, 17", "54, 39"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
