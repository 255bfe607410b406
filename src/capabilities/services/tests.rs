//! Services of tables, as scripts call them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::remote::{Backend, Endpoint, SigningKey};
use super::{Known, find, known};
use crate::capabilities::db::{self, access::unlimited};
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;
use crate::settings::{ServiceKind, ServiceSettings};
use crate::tenant::permission::Mode;

const SCHEMA: &str = "
    CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, last_activity TEXT, active BOOLEAN,
        credit REAL, extra TEXT, photo BLOB);
    INSERT INTO clients (id, name, email, last_activity, active, credit) VALUES
        (1, 'Ada', 'ada@example.com', '2024-01-10T00:00:00.000Z', 1, 10.5),
        (2, 'Bob', 'bob@example.com', '2024-03-01T00:00:00.000Z', 0, 0),
        (3, 'Cy', NULL, '2024-02-01T00:00:00.000Z', NULL, NULL);
    CREATE TABLE crm (number TEXT PRIMARY KEY, big INTEGER, huge REAL, photo BLOB);
    INSERT INTO crm VALUES ('a', 9007199254740991, 9e999, x'00'), ('b', 9007199254740992, -9e999, x'00ff'), ('c', -9223372036854775808, 5.0, x'00ff10');
";

struct Fixture {
    db: db::Process,
    services: BTreeMap<String, Known>,
    limits: Arc<Limits>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let db = db::Process::new(directory.path().to_owned());
        db.provision("acme", SCHEMA).await.unwrap();
        let table = |table: Option<&str>, key: Option<&str>| ServiceSettings {
            kind: ServiceKind::Table { table: table.map(str::to_owned), key: key.map(str::to_owned) },
            ..ServiceSettings::default()
        };
        let settings = BTreeMap::from([
            ("clients".to_owned(), ServiceSettings::default()),
            ("missing".to_owned(), ServiceSettings::default()),
            ("customers".to_owned(), table(Some("crm"), Some("number"))),
            (
                "notifications".to_owned(),
                ServiceSettings { kind: ServiceKind::Notifications, ..ServiceSettings::default() },
            ),
        ]);
        Fixture { db, services: known(&settings), limits: Arc::default(), _directory: directory }
    }

    async fn call(&self, service: &str, method: &str, arguments: Json) -> Result<Json, Failure> {
        let Known::Table(table) = find(&self.services, service)? else { panic!("{service} is no table") };
        let Json::Array(arguments) = arguments else { panic!("arguments are an array") };
        table.call(&self.db, &unlimited("acme"), &self.limits, method, arguments).await
    }
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_cut() {
    let services = Fixture::new().await;
    for (options, ids) in [
        (json!([]), vec![1, 2, 3]),
        (json!([null]), vec![1, 2, 3]),
        (json!([{}]), vec![1, 2, 3]),
        (json!([{ "limit": 100 }]), vec![1, 2, 3]),
        (json!([{ "limit": 1.0 }]), vec![1]),
        (json!([{ "limit": 0 }]), vec![]),
        (json!([{ "limit": 2, "offset": 2 }]), vec![3]),
        (json!([{ "order": "-name" }]), vec![3, 2, 1]),
        (json!([{ "order": { "field": "name", "direction": "desc" } }]), vec![3, 2, 1]),
        (json!([{ "order": ["active", { "field": "id" }] }]), vec![3, 2, 1]),
        (json!([{ "filters": [] }]), vec![1, 2, 3]),
        (json!([{ "filters": { "name": "Bob" } }]), vec![2]),
        (json!([{ "filters": [{ "field": "name", "value": "Bob" }] }]), vec![2]),
        (
            json!([{ "filters": [{ "field": "last_activity", "operator": "lt", "value": "2024-02-15" }], "limit": 100 }]),
            vec![1, 3],
        ),
        (json!([{ "filters": [{ "field": "active", "operator": "=", "value": true }] }]), vec![1]),
        (
            json!([{ "filters": [{ "field": "id", "operator": ">=", "value": 2 }, { "field": "id", "operator": "<>", "value": 3 }] }]),
            vec![2],
        ),
        (json!([{ "filters": [{ "field": "id", "operator": "in", "value": [1, 3] }] }]), vec![1, 3]),
        (json!([{ "filters": [{ "field": "id", "operator": "nin", "value": [1, 3] }] }]), vec![2]),
        (json!([{ "filters": [{ "field": "name", "operator": "contains", "value": "b" }] }]), vec![2]),
        (json!([{ "filters": [{ "field": "email", "operator": "eq", "value": null }] }]), vec![3]),
        (json!([{ "filters": [{ "field": "email", "operator": "is_null", "value": false }] }]), vec![1, 2]),
    ] {
        let rows = services
            .call("clients", "list", options.clone())
            .await
            .unwrap_or_else(|failure| panic!("{options}: {failure:?}"));
        let found: Vec<i64> = rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(found, ids, "{options}");
    }
    let fields = services.call("clients", "list", json!([{ "fields": ["name"], "limit": 1 }])).await.unwrap();
    assert_eq!(fields, json!([{ "name": "Ada" }]));
    let counted = services.call("clients", "count", json!([{ "filters": { "active": true } }])).await.unwrap();
    assert_eq!(counted, json!(1));
}

#[tokio::test]
async fn rows_are_got_created_updated_and_deleted() {
    let services = Fixture::new().await;
    let call = async |method, arguments| services.call("clients", method, arguments).await.unwrap();
    let name = |row: &Json| row["name"].as_str().map(str::to_owned);

    assert_eq!(name(&call("get", json!([1])).await).as_deref(), Some("Ada"));
    assert_eq!(name(&call("get", json!(["1"])).await).as_deref(), Some("Ada"), "as a path parameter has it");
    assert_eq!(call("get", json!([99])).await, Json::Null);

    let created =
        call("create", json!([{ "name": "Di", "active": true, "credit": 1, "extra": { "tags": ["a"] } }])).await;
    assert_eq!(
        created,
        json!({ "id": 4, "name": "Di", "email": null, "last_activity": null, "active": true, "credit": 1.0, "extra": "{\"tags\":[\"a\"]}", "photo": null })
    );
    assert_eq!(name(&call("update", json!([4, { "name": "Dee" }])).await).as_deref(), Some("Dee"));
    assert_eq!(name(&call("update", json!([4, {}])).await).as_deref(), Some("Dee"));
    assert_eq!(call("update", json!([99, { "name": "x" }])).await, Json::Null);
    assert_eq!(call("delete", json!([4])).await, json!(true));
    assert_eq!(call("delete", json!([4])).await, json!(false));
}

#[tokio::test]
async fn answers_lose_nothing() {
    let services = Fixture::new().await;
    let rows = services.call("customers", "list", json!([{ "order": "number" }])).await.unwrap();
    assert_eq!(
        rows,
        json!([
            { "number": "a", "big": 9_007_199_254_740_991_i64, "huge": "Infinity", "photo": "AA==" },
            { "number": "b", "big": "9007199254740992", "huge": "-Infinity", "photo": "AP8=" },
            { "number": "c", "big": "-9223372036854775808", "huge": 5.0, "photo": "AP8Q" },
        ])
    );
    assert_eq!(services.call("customers", "get", json!(["c"])).await.unwrap()["huge"], json!(5.0));
}

#[tokio::test]
async fn mistakes_are_named() {
    let services = Fixture::new().await;
    let filter = |filter| json!([{ "filters": [filter] }]);
    for (service, method, arguments, name, message) in [
        (
            "zebra",
            "get",
            json!([1]),
            "TypeError",
            "there is no service `zebra`; there are: clients, customers, missing, notifications",
        ),
        ("client", "get", json!([1]), "TypeError", "there is no service `client`; did you mean `clients`?"),
        ("__proto__", "get", json!([1]), "TypeError", "there is no service `__proto__`"),
        (
            "clients",
            "lst",
            json!([]),
            "TypeError",
            "the service `clients` has no method `lst`; did you mean `list`? There are: list, count, get, create, update, delete",
        ),
        (
            "clients",
            "get",
            json!([null]),
            "TypeError",
            "services.clients.get needs the id of a row, a text or a number, and was given null or undefined",
        ),
        ("clients", "get", json!([]), "TypeError", "was given null or undefined"),
        ("clients", "get", json!([{ "id": 1 }]), "TypeError", "was given an object"),
        ("clients", "delete", json!([[1, 2]]), "TypeError", "was given an array"),
        ("customers", "get", json!([null]), "TypeError", "needs the number of a row"),
        ("clients", "create", json!([]), "TypeError", "services.clients.create needs an object of columns"),
        ("clients", "update", json!([1]), "TypeError", "services.clients.update needs an object of columns"),
        (
            "clients",
            "create",
            json!([{ "nmae": "x" }]),
            "DatabaseError",
            "table clients has no column named nmae; did you mean name?",
        ),
        ("clients", "create", json!([{ "email": "x" }]), "DatabaseError", "NOT NULL constraint failed: clients.name"),
        ("missing", "list", json!([]), "DatabaseError", "no such table: missing; there are: clients, crm"),
        (
            "clients",
            "list",
            json!([{ "filter": [] }]),
            "TypeError",
            "list has no option `filter`; did you mean `filters`?",
        ),
        ("clients", "count", json!([{ "limit": 1 }]), "TypeError", "count has no option `limit`"),
        ("clients", "list", json!([1]), "TypeError", "list takes an object of options"),
        ("clients", "list", json!([{ "limit": -1 }]), "TypeError", "limit is a whole number"),
        ("clients", "list", json!([{ "offset": 1.5 }]), "TypeError", "offset is a whole number"),
        ("clients", "list", json!([{ "order": 1 }]), "TypeError", "order is 'name'"),
        (
            "clients",
            "list",
            json!([{ "order": { "field": "id", "direction": "up" } }]),
            "TypeError",
            "direction is 'asc' or 'desc'",
        ),
        (
            "clients",
            "list",
            filter(json!({ "field": "id", "operator": "~", "value": 1 })),
            "TypeError",
            "`~` is not an operator; there are: eq, ne",
        ),
        (
            "clients",
            "list",
            filter(json!({ "field": "id" })),
            "TypeError",
            "the filter on `id` has no value, or an undefined one",
        ),
        ("clients", "list", filter(json!({ "operator": "eq", "value": 1 })), "TypeError", "a filter needs a field"),
        (
            "clients",
            "list",
            filter(json!({ "field": "id", "op": "eq", "value": 1 })),
            "TypeError",
            "a filter has no member `op`",
        ),
        (
            "clients",
            "list",
            filter(json!({ "field": "id", "operator": "in", "value": 1 })),
            "TypeError",
            "takes an array for in",
        ),
        (
            "clients",
            "list",
            filter(json!({ "field": "id", "operator": "eq", "value": [1] })),
            "TypeError",
            "takes one value; `in` takes an array",
        ),
        (
            "clients",
            "list",
            filter(json!({ "field": "id", "operator": "lt", "value": null })),
            "TypeError",
            "compares with null",
        ),
        (
            "clients",
            "list",
            filter(json!({ "field": "id\" OR 1=1 --", "value": 1 })),
            "DatabaseError",
            "no such column",
        ),
    ] {
        let described = format!("{service}.{method}({arguments})");
        let failure = services.call(service, method, arguments).await.expect_err(&described);
        assert_eq!(
            (failure.name.as_str(), failure.message.contains(message)),
            (name, true),
            "{described}: {failure:?}"
        );
    }
}

#[test]
fn a_method_reads_or_writes_as_its_service_says() {
    let key = SigningKey::new("0123456789abcdef0123456789abcdef").unwrap();
    let backend = Backend::new("https://backend.test/", key)
        .unwrap()
        .with("search", Endpoint::new("GET", "/search", false).unwrap())
        .with("get", Endpoint::new("POST", "/get", true).unwrap());
    let remote = Known::Remote(Box::new(backend));
    for (service, method, mode) in [
        (&Known::Notifications, "list", Mode::Read),
        (&Known::Notifications, "sendEmail", Mode::Write),
        (&remote, "search", Mode::Read),
        (&remote, "get", Mode::Write),
        // There is none, which is said later.
        (&remote, "list", Mode::Write),
    ] {
        assert_eq!(service.mode(method), mode, "{method}");
    }
}
