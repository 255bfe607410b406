//! What a database has of the things that a [`Protection`] names, read once
//! before the checks. Names in it are quoted, ready for SQL.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::{Access, Error, Protection};

/// The first version of PostgreSQL that this is tested with, as the server
/// numbers it.
const OLDEST: i32 = 150_000;

pub(super) struct Scene {
    pub version: i32,
    pub current_user: String,
    pub database: Name,
    pub schema: Name,
    pub login: Role,
    pub owner: Role,
    pub application: Role,
    pub application_roles: Vec<Role>,
    /// Everyone, the login role, and every role that it could become. What is
    /// granted to one of these, a tenant's statement has.
    pub reach: Vec<Oid>,
    pub tables: Vec<Table>,
    /// The application's functions that the settings allow.
    pub functions: Vec<Oid>,
}

/// As the server knows it, and as SQL must spell it.
pub(super) struct Name {
    pub plain: String,
    pub quoted: String,
}

pub(super) struct Role {
    pub name: Name,
    /// None where it does not exist yet.
    pub oid: Option<Oid>,
}

pub(super) struct Table {
    pub oid: Oid,
    /// With the schema.
    pub name: String,
    /// None for shared tables.
    pub tenant: Option<Column>,
    pub access: Access,
}

pub(super) struct Column {
    pub number: i16,
    pub name: String,
    /// What the tenant's id is cast to; None where it is text already.
    pub cast: Option<String>,
}

impl Role {
    /// 4294967295 is nobody's: nothing is granted to a role that is not there.
    pub fn oid(&self) -> Oid {
        self.oid.unwrap_or(Oid(u32::MAX))
    }
}

impl Column {
    /// What a row's tenant must be. In a subquery, it is worked out once.
    pub fn condition(&self) -> String {
        match &self.cast {
            None => format!("{} = (SELECT airlock.tenant())", self.name),
            Some(cast) => format!("{} = (SELECT airlock.tenant()::{cast})", self.name),
        }
    }
}

impl Scene {
    pub async fn load(connection: &mut PgConnection, protection: &Protection) -> Result<Scene, Error> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::int4, current_database()::text, current_user::text,
                    to_regnamespace(quote_ident($1)) IS NOT NULL",
        )
        .bind(&protection.schema)
        .fetch_one(&mut *connection)
        .await?;
        let version: i32 = row.get(0);
        if version < OLDEST {
            return Err(Error::Refused(format!(
                "the server is PostgreSQL {}; Airlock needs {} or later",
                version / 10_000,
                OLDEST / 10_000
            )));
        }
        if !row.get::<bool, _>(3) {
            return Err(Error::Refused(format!(
                "the database {} has no schema {}: set `database.schema` to the one with the tables",
                row.get::<String, _>(1),
                protection.schema
            )));
        }
        let mut roles = Vec::new();
        for name in &protection.application_roles {
            let role = role(connection, name).await?;
            if role.oid.is_none() {
                return Err(Error::Refused(format!(
                    "there is no role {name}, which `database.application_roles` names"
                )));
            }
            roles.push(role);
        }
        let login = role(connection, &protection.login).await?;
        let mut scene = Scene {
            version,
            current_user: row.get(2),
            database: name(connection, row.get(1)).await?,
            schema: name(connection, protection.schema.clone()).await?,
            reach: reach(connection, login.oid()).await?,
            login,
            owner: role(connection, &protection.owner()).await?,
            application: role(connection, &protection.application()).await?,
            application_roles: roles,
            tables: Vec::new(),
            functions: Vec::new(),
        };
        for table in &protection.tables {
            scene.tables.push(self::table(connection, protection, table).await?);
        }
        for function in &protection.functions {
            scene.functions.extend(functions(connection, protection, function).await?);
        }
        Ok(scene)
    }

    /// The tables that show each tenant its own rows.
    pub fn tenants_tables(&self) -> impl Iterator<Item = (&Table, &Column)> {
        self.tables.iter().filter_map(|table| Some((table, table.tenant.as_ref()?)))
    }
}

async fn name(connection: &mut PgConnection, plain: String) -> Result<Name, Error> {
    let quoted = sqlx::query_scalar("SELECT quote_ident($1)").bind(&plain).fetch_one(connection).await?;
    Ok(Name { plain, quoted })
}

async fn role(connection: &mut PgConnection, plain: &str) -> Result<Role, Error> {
    let oid = sqlx::query_scalar("SELECT oid FROM pg_roles WHERE rolname = $1").bind(plain);
    let oid = oid.fetch_optional(&mut *connection).await?;
    Ok(Role { name: name(connection, plain.to_owned()).await?, oid })
}

async fn reach(connection: &mut PgConnection, login: Oid) -> Result<Vec<Oid>, Error> {
    // SET ROLE reaches what is not inherited, so every membership counts.
    let reach = sqlx::query_scalar(
        "WITH RECURSIVE reach (role) AS (
             SELECT $1::oid UNION SELECT m.roleid FROM pg_auth_members m JOIN reach ON m.member = reach.role
         ) SELECT role FROM reach UNION SELECT 0::oid",
    );
    Ok(reach.bind(login).fetch_all(connection).await?)
}

async fn table(connection: &mut PgConnection, protection: &Protection, table: &super::Table) -> Result<Table, Error> {
    let row = sqlx::query(
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
    );
    let row = row.bind(&protection.schema).bind(&table.name).fetch_optional(&mut *connection).await?;
    let Some(row) = row else {
        return Err(Error::Refused(format!(
            "there is no table {}.{}, which `database.tables` names",
            protection.schema, table.name
        )));
    };
    let (oid, name, kind): (Oid, String, String) = (row.get(0), row.get(1), row.get(2));
    // Policies hold for tables. A view would read with its owner's rights.
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(Error::Refused(format!("{name} is not a table, and only tables can be protected: leave it out")));
    }
    let tenant = match &table.tenant_column {
        None => None,
        Some(column) => Some(self::column(connection, oid, &name, column).await?),
    };
    Ok(Table { oid, name, tenant, access: table.access })
}

async fn column(connection: &mut PgConnection, table: Oid, shown: &str, column: &str) -> Result<Column, Error> {
    let row = sqlx::query(
        "SELECT a.attnum, quote_ident(a.attname), format_type(a.atttypid, NULL), l.collisdeterministic
           FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
          WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
    );
    let Some(row) = row.bind(table).bind(column).fetch_optional(connection).await? else {
        return Err(Error::Refused(format!(
            "the table {shown} has no column {column} with the tenant's id: add it, or set the table's `tenant_column`; \
             a table that belongs to no tenant has `access = \"shared\"`"
        )));
    };
    let (number, name, kind): (i16, String, String) = (row.get(0), row.get(1), row.get(2));
    let cast = match kind.as_str() {
        "text" | "character varying" => None,
        "uuid" | "smallint" | "integer" | "bigint" => Some(kind),
        // Types such as citext hold for equal what are two tenants.
        _ => {
            return Err(Error::Refused(format!(
                "the column {name} of {shown} is of type {kind}; a tenant's id is text, varchar, uuid, smallint, integer or bigint"
            )));
        }
    };
    if row.get::<Option<bool>, _>(3) == Some(false) {
        return Err(Error::Refused(format!(
            "the column {name} of {shown} has a collation that holds different texts for equal, and so different tenants: \
             ALTER TABLE {shown} ALTER COLUMN {name} TYPE text COLLATE \"C\""
        )));
    }
    Ok(Column { number, name, cast })
}

async fn functions(connection: &mut PgConnection, protection: &Protection, named: &str) -> Result<Vec<Oid>, Error> {
    let (schema, name) = named.split_once('.').unwrap_or((&protection.schema, named));
    let found = sqlx::query_scalar(
        "SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2",
    );
    let found: Vec<Oid> = found.bind(schema).bind(name).fetch_all(connection).await?;
    if found.is_empty() {
        return Err(Error::Refused(format!("there is no function {schema}.{name}, which `database.functions` names")));
    }
    Ok(found)
}
