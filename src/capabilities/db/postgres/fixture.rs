//! A database for one test, in the server that `tests/with-postgres` starts.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::token::{Key, Keys};
use super::{Access, Protection, Table};

/// Two tenants' rows: acme's and globex's.
const SHOP: &str = include_str!("fixture.sql");

/// A database of its own, and a name for a role of its own. Both go with the
/// server.
pub struct Database {
    options: PgConnectOptions,
    pub name: String,
    /// The login role. It exists once the database is protected.
    pub login: String,
}

impl Database {
    /// An empty one.
    pub async fn new() -> Database {
        let url = std::env::var("AIRLOCK_TEST_POSTGRES").expect(
            "these tests need a PostgreSQL server: run them with `make test`, or put tests/with-postgres before the command",
        );
        let options = PgConnectOptions::from_str(&url).unwrap();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("airlock_test_{id}");
        let mut server = PgConnection::connect_with(&options).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut server).await.unwrap();
        Database { options: options.database(&name), login: format!("tenant_{id}"), name }
    }

    /// With a shop's tables, not protected yet.
    pub async fn shop() -> Database {
        let database = Database::new().await;
        database.run(SHOP).await;
        database
    }

    /// With a shop's tables, protected.
    pub async fn protected() -> (Database, Protection) {
        let database = Database::shop().await;
        let protection = database.protection();
        let plan = super::protect::apply(&mut database.admin().await, &protection).await.unwrap();
        assert_eq!(plan.refusals, []);
        (database, protection)
    }

    /// What the shop's tables need.
    pub fn protection(&self) -> Protection {
        let table = |name: &str, access| Table {
            name: name.to_owned(),
            tenant_column: (access != Access::Shared).then(|| "tenant_id".to_owned()),
            access,
        };
        Protection {
            login: self.login.clone(),
            schema: "public".to_owned(),
            tables: vec![
                table("clients", Access::Write),
                table("orders", Access::Write),
                table("invoices", Access::Read),
                table("secrets", Access::None),
                table("currencies", Access::Shared),
            ],
            application_roles: Vec::new(),
            functions: Vec::new(),
            keys: Keys::new(vec![Key::new("k1", &[7; 32]).unwrap()]),
        }
    }

    /// What the login role connects to.
    pub fn url(&self) -> String {
        let mut url = url::Url::parse(&std::env::var("AIRLOCK_TEST_POSTGRES").unwrap()).unwrap();
        url.set_path(&self.name);
        url.set_username(&self.login).unwrap();
        url.into()
    }

    /// A superuser's connection.
    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect_with(&self.options).await.unwrap()
    }

    /// A connection of the role.
    pub async fn connect(&self, role: &str) -> PgConnection {
        PgConnection::connect_with(&self.options.clone().username(role)).await.unwrap()
    }

    /// Runs statements as a superuser.
    pub async fn run(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut self.admin().await).await.unwrap_or_else(|error| panic!("{error}"));
    }
}
