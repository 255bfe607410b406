//! Who a call runs as, from one call to the next in one host.

mod support;

use std::sync::Arc;

use airlock::host::Host;
use airlock::server::{Invocation, Invoke, Scripts};
use airlock::settings::Settings;
use airlock::tenant::{Authority, Execution, Identity, Permissions, Script, Tenant, User};
use serde_json::{Value, json};

const SETTINGS: &str = r#"
[roles]
seller = ["orders.*"]

[[tenants]]
id = "acme"
schema = "schema.sql"

[[users]]
id = "ann"
tenant = "acme"
roles = ["seller"]
token = "t"

[[service_accounts]]
id = "nightly"
name = "Nightly jobs"
permissions = ["orders.view"]

[tables.orders]
read = "orders.view"
write = "orders.edit"

[[scripts]]
name = "count"
file = "count.js"
type = "http"
run_as = "nightly"
grants.tables = ["orders"]

[[scripts]]
name = "alone"
file = "count.js"
type = "cron"
grants.tables = ["orders"]
"#;

const COUNT: &str = "
    export default async () => {
        const { n } = await db.queryOne('SELECT count(*) AS n FROM orders');
        const written = await db.execute('INSERT INTO orders VALUES (1)').then(() => true, (error) => error.name);
        return { user: context.user, n, written };
    };
";

struct Fixture {
    host: Host,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("airlock.toml", SETTINGS), ("schema.sql", "CREATE TABLE orders (id)"), ("count.js", COUNT)]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        support::share_cache(&folder.path().join("data"));
        let settings = Settings::load(Some(&folder.path().join("airlock.toml")), |_| None).unwrap();
        let mut host = Host::open(settings).await.unwrap();
        assert!(host.load_scripts().await.is_empty());
        Fixture { host, _folder: folder }
    }

    /// What a call answers, or its error as `name: message`.
    async fn call(&self, script: &str, user: Option<User>) -> Value {
        let script = self.host.places().get("acme").unwrap().shelf().get(script).unwrap().clone();
        let identity = Identity {
            tenant: Tenant { id: "acme".into(), name: "Acme".into() },
            user,
            script: Script {
                id: script.name.clone(),
                name: script.name.clone(),
                kind: "http".into(),
                file: "count.js".into(),
            },
            execution: Execution { id: "execution-1".into(), triggered_by: "api".into(), cause: None },
        };
        let request = Invoke {
            script,
            identity: Arc::new(identity),
            authority: Authority::Listed,
            input: "null".into(),
            origin: Default::default(),
        };
        let admission = Scripts::admit(&self.host, &request.identity.tenant.id).unwrap();
        let Invocation::Ended(outcome) = Scripts::invoke(&self.host, request, admission).await else {
            panic!("it did not run")
        };
        match (&outcome.result, &outcome.error) {
            (Some(result), _) => serde_json::from_str(result.get()).unwrap(),
            (None, Some(error)) => json!(format!("{}: {}", error.name, error.message)),
            (None, None) => panic!("neither a result nor an error"),
        }
    }

    /// Makes Ann the only user, with these permissions.
    fn let_ann(&self, permissions: &[&str]) {
        let permissions = Permissions::new(permissions.iter().map(|held| (*held).to_owned()));
        let ann = User { permissions, ..ann() };
        self.host.people().replace([("acme".to_owned(), ann)], []);
    }
}

/// As a request names her. What she may do is not its to say.
fn ann() -> User {
    User { id: "ann".into(), permissions: Permissions::new(["*".into()]), ..User::default() }
}

#[tokio::test]
async fn a_permission_that_is_taken_away_counts_from_the_next_call_on() {
    let fixture = Fixture::new().await;
    let done = fixture.call("count", Some(ann())).await;
    assert_eq!((&done["n"], &done["written"]), (&json!(0), &json!(true)), "{done}");
    assert_eq!(done["user"]["permissions"], json!(["orders.*"]));

    fixture.let_ann(&["orders.view"]);
    let done = fixture.call("count", Some(ann())).await;
    assert_eq!((&done["n"], &done["written"]), (&json!(1), &json!("PermissionDenied")), "{done}");
    assert_eq!(done["user"]["permissions"], json!(["orders.view"]));

    fixture.let_ann(&[]);
    let refused = fixture.call("count", Some(ann())).await;
    assert_eq!(
        refused,
        "PermissionDenied: reading the table orders needs the permission `orders.view`, which ann does not have; an \
         administrator can grant it"
    );

    // Somebody who is gone has no permissions either.
    fixture.host.people().replace([], []);
    let refused = fixture.call("count", Some(ann())).await;
    assert!(refused.as_str().unwrap().contains("`orders.view`, which ann does not have"), "{refused}");

    fixture.let_ann(&["*"]);
    assert_eq!(fixture.call("count", Some(ann())).await["written"], true);
}

#[tokio::test]
async fn where_nobody_calls_the_service_account_runs() {
    let fixture = Fixture::new().await;
    let done = fixture.call("count", None).await;
    assert_eq!((&done["n"], &done["written"]), (&json!(0), &json!("PermissionDenied")), "{done}");
    assert_eq!(
        done["user"],
        json!({ "id": "nightly", "email": "", "name": "Nightly jobs", "permissions": ["orders.view"] })
    );
    // It lends its permissions to nobody.
    fixture.host.people().replace([("acme".to_owned(), User { permissions: Permissions::default(), ..ann() })], []);
    let refused = fixture.call("count", Some(ann())).await;
    assert!(refused.as_str().unwrap().contains("which ann does not have"), "{refused}");
    // An account that is gone, and a script that names none.
    for script in ["count", "alone"] {
        let refused = fixture.call(script, None).await;
        assert!(refused.as_str().unwrap().contains("this call runs for no user"), "{refused}");
    }
}
