//! A PostgreSQL database that nobody has protected yet, for one test, in the
//! server that `tests/with-postgres` starts.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use url::Url;

/// A database of its own, and a name for a role of its own. Both go with the
/// server.
pub struct Database {
    url: Url,
    /// The role that tenants' statements run as. It does not exist yet.
    pub login: String,
    runtime: tokio::runtime::Runtime,
}

impl Database {
    pub fn new(schema: &str) -> Database {
        let url = std::env::var("AIRLOCK_TEST_POSTGRES").expect(
            "these tests need a PostgreSQL server: run them with `make test`, or put tests/with-postgres before the command",
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut database = Database { url: url.parse().unwrap(), login: format!("tenant_{id}"), runtime };
        database.run(&format!("CREATE DATABASE airlock_test_{id}"));
        database.url.set_path(&format!("airlock_test_{id}"));
        database.run(schema);
        database
    }

    /// A superuser's URL.
    pub fn admin_url(&self) -> String {
        self.url.to_string()
    }

    /// The login role's.
    pub fn login_url(&self) -> String {
        let mut url = self.url.clone();
        url.set_username(&self.login).unwrap();
        url.to_string()
    }

    /// Runs statements as a superuser.
    pub fn run(&self, sql: &str) {
        let options = PgConnectOptions::from_str(self.url.as_str()).unwrap();
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        });
    }
}
