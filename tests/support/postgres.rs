//! A PostgreSQL database for one test, in the server that `tests/with-postgres`
//! starts. It goes with the server.

// Each program uses its part of this.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use airlock::capabilities::db::postgres::token::{Key, Keys};
use airlock::capabilities::db::postgres::{Access, Protection, Table, protect};
use airlock::settings::DatabaseSettings;
use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

/// A superuser's URL of an empty database.
pub async fn empty() -> anyhow::Result<Url> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("AIRLOCK_TEST_POSTGRES").context(
        "this test needs a PostgreSQL server: run it with `make test`, or put tests/with-postgres before the command",
    )?;
    let name = format!("airlock_test_case_{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
    let mut url = Url::parse(&server)?;
    let mut admin = PgConnection::connect(url.as_str()).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await?;
    url.set_path(&name);
    Ok(url)
}

/// A protected database with the tables that `schema` makes.
pub async fn database(schema: &str) -> anyhow::Result<DatabaseSettings> {
    let mut url = empty().await?;
    let login = url.path().replace("/airlock_test_case_", "airlock_test_tenant_");
    let mut admin = PgConnection::connect(url.as_str()).await?;
    sqlx::raw_sql(AssertSqlSafe(schema.to_owned())).execute(&mut admin).await.context("schema.postgres.sql")?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(&mut admin)
    .await?;
    let table = |name| Table { name, tenant_column: Some("tenant_id".to_owned()), access: Access::Write };
    let protection = Protection {
        login: login.clone(),
        schema: "public".to_owned(),
        tables: tables.into_iter().map(table).collect(),
        application_roles: Vec::new(),
        functions: Vec::new(),
        keys: Keys::new(Key::new("k1", &[7; 32]).into_iter().collect()),
    };
    let plan = protect::apply(&mut admin, &protection).await?;
    anyhow::ensure!(plan.refusals.is_empty(), "schema.postgres.sql: {:?}", plan.refusals);
    url.set_username(&login).map_err(|()| anyhow::anyhow!("the URL takes no role"))?;
    Ok(DatabaseSettings { url: url.into(), admin_url: None, connections: 8, protection })
}
