//! The roles: what they are, what they are members of, and what bounds them.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::Error;
use super::super::scene::{Role, Scene};
use super::Finding;

/// What a role must not be, as `pg_roles` and as ALTER ROLE say it.
const ATTRIBUTES: [(&str, &str); 5] = [
    ("rolsuper", "NOSUPERUSER"),
    ("rolbypassrls", "NOBYPASSRLS"),
    ("rolcreatedb", "NOCREATEDB"),
    ("rolcreaterole", "NOCREATEROLE"),
    ("rolreplication", "NOREPLICATION"),
];

/// Connections of the login role, all hosts together.
const CONNECTIONS: i32 = 100;

/// What bounds a statement that no host bounds. The host sets narrower ones in
/// each transaction; the first four must not be missing or off.
const SETTINGS: [(&str, &str); 7] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
    // Only a superuser can raise it.
    ("temp_file_limit", "256MB"),
    ("work_mem", "8MB"),
    // One statement, one core: tenants share the server.
    ("max_parallel_workers_per_gather", "0"),
    // Compiling costs more than short statements do.
    ("jit", "off"),
];
const BOUNDS: usize = 4;

pub async fn check(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for (role, login) in [(&scene.owner, false), (&scene.application, false), (&scene.login, true)] {
        findings.extend(attributes(connection, role, login).await?);
    }
    findings.extend(memberships(connection, scene).await?);
    findings.extend(settings(connection, scene).await?);
    Ok(findings)
}

async fn attributes(connection: &mut PgConnection, role: &Role, login: bool) -> Result<Vec<Finding>, Error> {
    let name = &role.name.quoted;
    let kind = "role";
    let Some(oid) = role.oid else {
        let all = ATTRIBUTES.map(|(_, word)| word).join(" ");
        let rest = if login { format!("LOGIN NOINHERIT CONNECTION LIMIT {CONNECTIONS}") } else { "NOLOGIN".to_owned() };
        return Ok(vec![Finding::new(
            kind,
            name,
            "the role does not exist",
            [format!("CREATE ROLE {name} {rest} {all}")],
        )]);
    };
    let row = sqlx::query(
        "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication, rolcanlogin, rolinherit, rolconnlimit
           FROM pg_roles WHERE oid = $1",
    );
    let row = row.bind(oid).fetch_one(connection).await?;
    let mut wrong: Vec<String> = Vec::new();
    for (column, word) in ATTRIBUTES {
        if row.get::<bool, _>(column) {
            wrong.push(word.to_owned());
        }
    }
    if row.get::<bool, _>("rolcanlogin") != login {
        wrong.push(if login { "LOGIN" } else { "NOLOGIN" }.to_owned());
    }
    if login {
        if row.get::<bool, _>("rolinherit") {
            wrong.push("NOINHERIT".to_owned());
        }
        if row.get::<i32, _>("rolconnlimit") < 0 {
            wrong.push(format!("CONNECTION LIMIT {CONNECTIONS}"));
        }
    }
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = wrong.join(" ");
    let why = format!("the role may do more than it needs: it lacks {wrong}");
    Ok(vec![Finding::new(kind, name, why, [format!("ALTER ROLE {name} {wrong}")])])
}

async fn memberships(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let (login, owner) = (&scene.login.name.quoted, &scene.owner.name.quoted);
    let roles = sqlx::query_as::<_, (String, String)>(
        "SELECT quote_ident(r.rolname), quote_ident(m.rolname)
           FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
          WHERE a.member = $1 OR a.roleid = $2 AND NOT m.rolsuper ORDER BY 1, 2",
    );
    for (role, member) in roles.bind(scene.login.oid()).bind(scene.owner.oid()).fetch_all(&mut *connection).await? {
        let why = if &member == login {
            format!("a script that reaches SET ROLE has all that {role} has")
        } else {
            format!("{member} can read the keys of tokens, which belong to {owner}")
        };
        findings.push(Finding::new("membership", &member, why, [format!("REVOKE {role} FROM {member}")]));
    }
    for role in &scene.application_roles {
        let (name, group) = (&role.name.quoted, &scene.application.name.quoted);
        let member =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_auth_members WHERE roleid = $1 AND member = $2)");
        let member: bool = member.bind(scene.application.oid()).bind(role.oid()).fetch_one(&mut *connection).await?;
        if !member {
            // What a role does not inherit it has only after SET ROLE.
            let inherit = if scene.version >= 160_000 { " WITH INHERIT TRUE" } else { "" };
            let why = "the application's role loses what everyone had, and the rows of its tables";
            findings.push(Finding::new("application", name, why, [format!("GRANT {group} TO {name}{inherit}")]));
        }
    }
    Ok(findings)
}

async fn settings(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    // A setting for this database goes over one for all.
    let found = sqlx::query_as::<_, (String, Oid)>(
        "SELECT unnest(setconfig), setdatabase FROM pg_db_role_setting
          WHERE setrole = $1 AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
          ORDER BY setdatabase",
    );
    let found = found.bind(scene.login.oid()).fetch_all(connection).await?;
    let value = |name: &str| {
        let values = found.iter().filter_map(|(text, database)| Some((text.split_once('=')?, *database)));
        values.filter(|((found, _), _)| *found == name).map(|((_, value), database)| (value, database)).next_back()
    };
    let login = &scene.login.name.quoted;
    let exact = [("row_security", "on"), ("search_path", scene.schema.quoted.as_str())];
    let mut findings = Vec::new();
    for (at, (name, wanted)) in SETTINGS.into_iter().chain(exact).enumerate() {
        let current = value(name);
        let good = match current {
            None => false,
            Some((current, _)) if at < BOUNDS => bounds(current),
            Some((current, _)) if at >= SETTINGS.len() => current == wanted,
            Some(_) => true,
        };
        if !good {
            let place = match current {
                Some((_, database)) if database != Oid(0) => format!(" IN DATABASE {}", scene.database.quoted),
                _ => String::new(),
            };
            let why = if at < BOUNDS {
                format!("nothing bounds {name}: one statement can occupy the server")
            } else {
                format!("{name} is left to the server's default")
            };
            let wanted = if name == "search_path" { wanted.to_owned() } else { format!("'{wanted}'") };
            let fix = format!("ALTER ROLE {login}{place} SET {name} = {wanted}");
            findings.push(Finding::new("limit", format!("{login}, {name}"), why, [fix]));
        }
    }
    Ok(findings)
}

/// Whether a value bounds anything: 0 and -1 switch a limit off.
fn bounds(value: &str) -> bool {
    let number: String = value.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '-' || *c == '.').collect();
    number.parse::<f64>().is_ok_and(|number| number > 0.0)
}
