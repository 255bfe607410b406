//! What `protect` does to tables as applications have them.

use sqlx::Connection as _;

use super::attacks::{pid, soon};
use super::run;
use crate::capabilities::db::postgres::fixture::Database;
use crate::capabilities::db::postgres::{Access, Error, Protection, Table, audit, protect};

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let database = Database::shop().await;
    let protection = database.protection();
    let mut admin = database.admin().await;
    let plan = protect::plan(&mut admin, &protection).await.unwrap();
    assert_eq!(plan.refusals, []);
    assert!(!plan.changes.is_empty());
    // Planning changed nothing, and applying does what was planned.
    let applied = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(applied.changes, plan.changes);
    let again = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(again.changes, []);
    let report = audit::audit(&mut admin, &protection).await.unwrap();
    assert_eq!(report.findings, []);
    let notes = report.notes.join("\n");
    assert!(notes.contains("orders_id_seq: tenants share these counters"), "{notes}");
}

#[tokio::test]
async fn the_printed_script_is_what_psql_can_run() {
    let database = Database::shop().await;
    let protection = database.protection();
    let mut admin = database.admin().await;
    let plan = protect::plan(&mut admin, &protection).await.unwrap();
    database.run(&plan.script()).await;
    // All but the key, which is not printed.
    let left = protect::plan(&mut admin, &protection).await.unwrap().changes;
    assert_eq!(left.iter().map(|finding| finding.kind).collect::<Vec<_>>(), ["token keys"]);
    assert_eq!(left[0].fix[0].secrets.len(), 2);
}

/// Tables as they are before anybody thinks of tenants.
const PLAIN: &str = "
    CREATE TABLE clients (id serial PRIMARY KEY, tenant_id uuid NOT NULL, email text UNIQUE);
    CREATE TABLE orders (id bigint PRIMARY KEY, tenant_id uuid NOT NULL, client_id int REFERENCES clients ON DELETE SET NULL,
        parent bigint REFERENCES orders, number text);
    CREATE UNIQUE INDEX by_number ON orders USING btree (lower(number)) WHERE number <> '';
    CREATE TABLE \"Odd names\" (id int PRIMARY KEY, \"Tenant\" uuid NOT NULL, client_id int REFERENCES clients);
    INSERT INTO clients (tenant_id, email) VALUES
        ('00000000-0000-4000-8000-000000000001', 'a'), ('00000000-0000-4000-8000-000000000002', 'hidden');";

fn plain(database: &Database) -> Protection {
    let table = |name: &str, column: &str| Table {
        name: name.to_owned(),
        tenant_column: Some(column.to_owned()),
        access: Access::Write,
    };
    Protection {
        tables: vec![table("clients", "tenant_id"), table("orders", "tenant_id"), table("Odd names", "Tenant")],
        ..database.protection()
    }
}

#[tokio::test]
async fn keys_without_the_tenant_are_refused_and_the_way_out_works() {
    let database = Database::new().await;
    database.run(PLAIN).await;
    let protection = plain(&database);
    let mut admin = database.admin().await;
    let plan = protect::apply(&mut admin, &protection).await.unwrap();
    let refused: Vec<_> = plan.refusals.iter().map(|finding| (finding.kind, finding.object.as_str())).collect();
    assert_eq!(
        refused,
        [
            ("unique key", "public.clients, public.clients_email_key"),
            ("unique key", "public.clients, public.clients_pkey"),
            ("unique key", "public.orders, public.by_number"),
            ("unique key", "public.orders, public.orders_pkey"),
            ("foreign key", "public.orders, orders_client_id_fkey"),
            ("foreign key", "public.orders, orders_parent_fkey"),
            ("unique key", "public.\"Odd names\", public.\"Odd names_pkey\""),
            ("foreign key", "public.\"Odd names\", \"Odd names_client_id_fkey\""),
        ]
    );
    // Nothing was done.
    let roles = run(&mut admin, &format!("SELECT rolname FROM pg_roles WHERE rolname = '{}'", database.login)).await;
    assert_eq!(roles.unwrap(), Vec::<String>::new());

    let mending = plan.mending_keys();
    assert!(mending.contains(&"ALTER TABLE public.clients DROP CONSTRAINT clients_pkey, ADD CONSTRAINT clients_pkey PRIMARY KEY (tenant_id, id)"));
    assert!(mending.contains(&"ALTER TABLE public.orders ADD CONSTRAINT orders_client_id_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES public.clients(tenant_id, id) ON DELETE SET NULL (client_id)"));
    for sql in mending {
        database.run(sql).await;
    }
    assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().refusals, []);
    assert_eq!(audit::audit(&mut admin, &protection).await.unwrap().findings, []);

    // The tenant column is a uuid, and so is what the policy compares it with.
    let mut tenant = database.connect(&database.login).await;
    let pid = pid(&database, &mut tenant).await;
    let id = "00000000-0000-4000-8000-000000000001";
    let token = protection.keys.sign(id, pid, soon()).unwrap();
    run(&mut tenant, &format!("SELECT airlock.enter('{token}')")).await.unwrap();
    assert_eq!(run(&mut tenant, "SELECT email FROM clients").await.unwrap(), ["a"]);
    // Another tenant has the address and the id, and that does not tell.
    run(&mut tenant, "INSERT INTO clients (id, email) VALUES (2, 'hidden')").await.unwrap();
    assert_eq!(
        run(&mut tenant, "INSERT INTO orders (id, client_id) VALUES (1, 2) RETURNING tenant_id").await.unwrap(),
        [id]
    );
}

#[tokio::test]
async fn the_applications_roles_go_on_working() {
    let (database, app) = (Database::new().await, uuid::Uuid::new_v4().simple().to_string());
    let (owner, reader, other) = (format!("owner_{app}"), format!("reader_{app}"), format!("other_{app}"));
    database
        .run(&format!(
            "CREATE ROLE {owner} LOGIN; CREATE ROLE {reader} LOGIN; CREATE ROLE {other} LOGIN;
             GRANT CREATE ON SCHEMA public TO {owner};
             SET ROLE {owner};
             CREATE TABLE orders (tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id));
             GRANT SELECT ON orders TO {reader}, {other};
             CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
             INSERT INTO orders VALUES ('acme', 1), ('globex', 2);"
        ))
        .await;
    let orders = |access| vec![Table { name: "orders".into(), tenant_column: Some("tenant_id".into()), access }];
    let mut protection = Protection { tables: orders(Access::Write), ..database.protection() };
    let mut admin = database.admin().await;

    // Its owner would be held to policies from now on.
    let plan = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(plan.refusals.iter().map(|finding| finding.kind).collect::<Vec<_>>(), ["owner"]);
    assert!(plan.refusals[0].why.contains(&owner), "{plan:?}");

    protection.application_roles = vec![owner.clone(), reader.clone()];
    let plan = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(plan.refusals, []);
    assert!(plan.notes.iter().any(|note| note.contains(&other) && !note.contains(&reader)), "{:?}", plan.notes);
    for role in [&owner, &reader] {
        let mut connection = database.connect(role).await;
        for (sql, expected) in [
            ("SELECT count(*) FROM orders", "2"),
            ("SELECT twice(2), set_config('app.x', 'y', false), format('%s', 1)", "4 y 1"),
            ("SELECT count(*) > 10 FROM pg_class", "t"),
            ("SELECT count(*) > 10 FROM information_schema.tables", "t"),
            ("CREATE TEMP TABLE t AS SELECT 1 AS x; SELECT x FROM t", "1"),
            ("DO $$ BEGIN PERFORM 1; END $$; SELECT lo_create(0) > 0", "t"),
        ] {
            let rows = run(&mut connection, sql).await.unwrap_or_else(|error| panic!("{role}: {sql}: {error:?}"));
            assert_eq!(rows, [expected], "{role}: {sql}");
        }
    }
    // Who is not named has lost it, and sees no rows.
    let mut connection = database.connect(&other).await;
    assert_eq!(run(&mut connection, "SELECT count(*) FROM orders").await.unwrap(), ["0"]);
    assert_eq!(run(&mut connection, "SELECT count(*) FROM pg_class").await.unwrap_err().0, "42501");
    // A tenant is no member of the application.
    let mut tenant = database.connect(&database.login).await;
    assert_eq!(run(&mut tenant, "SELECT twice(2)").await.unwrap_err().0, "42501");

    // A function that the settings name is open to tenants.
    protection.functions = vec!["twice".to_owned()];
    protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(run(&mut tenant, "SELECT twice(2)").await.unwrap(), ["4"]);
    assert_eq!(audit::audit(&mut admin, &protection).await.unwrap().findings, []);
    // And closed again with it.
    protection.functions.clear();
    protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(run(&mut tenant, "SELECT twice(2)").await.unwrap_err().0, "42501");
    // As is a table whose access is narrowed.
    protection.tables = orders(Access::None);
    protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(run(&mut tenant, "SELECT * FROM orders").await.unwrap_err().0, "42501");
    assert_eq!(audit::audit(&mut admin, &protection).await.unwrap().findings, []);
}

#[tokio::test]
async fn an_application_with_policies_of_its_own_keeps_them() {
    let (database, app) = (Database::new().await, format!("app_{}", uuid::Uuid::new_v4().simple()));
    database
        .run(&format!(
            "CREATE ROLE {app} LOGIN;
             CREATE TABLE orders (tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id));
             GRANT SELECT ON orders TO {app};
             ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
             CREATE POLICY mine ON orders TO {app} USING (tenant_id = current_setting('app.tenant'));
             INSERT INTO orders VALUES ('acme', 1), ('globex', 2);"
        ))
        .await;
    let table = Table { name: "orders".into(), tenant_column: Some("tenant_id".into()), access: Access::Write };
    let protection = Protection { tables: vec![table], application_roles: vec![app.clone()], ..database.protection() };
    let mut admin = database.admin().await;
    assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().refusals, []);
    let mut connection = database.connect(&app).await;
    let rows = run(&mut connection, "SET app.tenant = 'globex'; SELECT * FROM orders").await.unwrap();
    assert_eq!(rows, ["globex 2"]);
    assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().changes, []);
}

#[tokio::test]
async fn partitions_are_held_as_their_table() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE events (tenant_id int NOT NULL, day date NOT NULL, id int, PRIMARY KEY (tenant_id, day, id))
                 PARTITION BY RANGE (day);
             CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
             CREATE UNIQUE INDEX of_partition ON events_2024 (id);
             INSERT INTO events VALUES (1, '2024-05-05', 1), (2, '2024-05-05', 2);",
        )
        .await;
    let table = Table { name: "events".into(), tenant_column: Some("tenant_id".into()), access: Access::Write };
    let protection = Protection { tables: vec![table], ..database.protection() };
    let mut admin = database.admin().await;
    let plan = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(
        plan.refusals.iter().map(|finding| finding.object.as_str()).collect::<Vec<_>>(),
        ["public.events_2024, public.of_partition"]
    );
    for sql in plan.mending_keys() {
        database.run(sql).await;
    }
    assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().refusals, []);
    let mut tenant = database.connect(&database.login).await;
    let pid = pid(&database, &mut tenant).await;
    let token = protection.keys.sign("2", pid, soon()).unwrap();
    run(&mut tenant, &format!("SELECT airlock.enter('{token}')")).await.unwrap();
    assert_eq!(run(&mut tenant, "SELECT id FROM events").await.unwrap(), ["2"]);
    assert_eq!(run(&mut tenant, "SELECT id FROM events_2024").await.unwrap_err().0, "42501");
    assert_eq!(run(&mut tenant, "INSERT INTO events VALUES (1, '2024-06-06', 3)").await.unwrap_err().0, "42501");
}

#[tokio::test]
async fn settings_that_do_not_fit_the_database_are_told() {
    let database = Database::shop().await;
    database
        .run(
            "CREATE VIEW some_orders AS SELECT * FROM orders;
             CREATE TABLE money (tenant_id numeric NOT NULL);
             CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE folded (tenant_id text COLLATE anycase NOT NULL);",
        )
        .await;
    let good = database.protection();
    let table = |name: &str, column: &str| {
        vec![Table { name: name.into(), tenant_column: Some(column.into()), access: Access::Write }]
    };
    for (protection, told) in [
        (Protection { schema: "shop".into(), ..good.clone() }, "has no schema shop"),
        (Protection { tables: table("order", "tenant_id"), ..good.clone() }, "there is no table public.order,"),
        (Protection { tables: table("orders", "org"), ..good.clone() }, "has no column org"),
        (Protection { tables: table("some_orders", "tenant_id"), ..good.clone() }, "is not a table"),
        (Protection { tables: table("money", "tenant_id"), ..good.clone() }, "is of type numeric"),
        (Protection { tables: table("folded", "tenant_id"), ..good.clone() }, "holds different texts for equal"),
        (Protection { application_roles: vec!["nobody_here".into()], ..good.clone() }, "there is no role nobody_here"),
        (Protection { functions: vec!["shop.f".into()], ..good.clone() }, "there is no function shop.f"),
        (Protection { login: "postgres".into(), ..good.clone() }, "name a superuser of its own"),
    ] {
        let error = protect::plan(&mut database.admin().await, &protection).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(message) if message.contains(told)), "{told}: {error}");
    }
    protect::apply(&mut database.admin().await, &good).await.unwrap();
    let error = audit::audit(&mut database.connect(&database.login).await, &good).await.unwrap_err();
    assert!(error.to_string().contains("superuser"), "{error}");
}

#[tokio::test]
async fn names_are_never_sql() {
    let database = Database::new().await;
    let odd = "x\"; DROP TABLE kept; --";
    let quoted = format!("\"{}\"", odd.replace('"', "\"\""));
    database
        .run(&format!(
            "CREATE TABLE kept (x int); CREATE SCHEMA {quoted};
             CREATE TABLE {quoted}.{quoted} ({quoted} text NOT NULL, id int, PRIMARY KEY ({quoted}, id));"
        ))
        .await;
    let protection = Protection {
        login: format!("{}\"'; --", database.login),
        schema: odd.to_owned(),
        tables: vec![Table { name: odd.to_owned(), tenant_column: Some(odd.to_owned()), access: Access::Write }],
        ..database.protection()
    };
    let mut admin = database.admin().await;
    assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().refusals, []);
    assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().changes, []);
    assert_eq!(run(&mut admin, "SELECT count(*) FROM kept").await.unwrap(), ["0"]);
    admin.close().await.unwrap();
}
