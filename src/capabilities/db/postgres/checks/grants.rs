//! Privileges on everything but functions: the login role has those on its
//! tables and nothing else, neither by itself nor as everyone has it.
//!
//! What is taken from everyone is granted to the application's roles.

use std::collections::BTreeMap;

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::scene::Scene;
use super::super::{Access, Error};
use super::Finding;

/// The catalogs that the host reads, on the connections of scripts' statements,
/// to learn the types of parameters and columns, and the columns of keys. They
/// say what the application's tables are made of, and nothing of any tenant; and
/// scripts' SQL can name none of them.
const DESCRIBING: [&str; 5] = [
    "pg_catalog.pg_attribute",
    "pg_catalog.pg_enum",
    "pg_catalog.pg_index",
    "pg_catalog.pg_range",
    "pg_catalog.pg_type",
];

pub async fn check(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = schemas(connection, scene).await?;
    findings.extend(relations(connection, scene).await?);
    findings.extend(sequences(connection, scene).await?);
    findings.extend(languages(connection, scene).await?);
    findings.extend(database(connection, scene).await?);
    Ok(findings)
}

/// The schemas whose objects a script can name. The others are closed, whatever
/// is granted on what is in them.
pub(super) async fn open_schemas(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Oid>, Error> {
    let open = sqlx::query_scalar(
        "SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'airlock', $1)
         UNION SELECT pronamespace FROM pg_proc WHERE oid = ANY ($2)",
    );
    Ok(open.bind(&scene.schema.plain).bind(&scene.functions).fetch_all(connection).await?)
}

/// The statements that take privileges from a role, or from everyone; what
/// everyone had, the application keeps.
pub(super) fn take(scene: &Scene, grantee: &Grantee, privileges: &str, on: &str) -> Vec<String> {
    let mut statements = vec![format!("REVOKE {privileges} ON {on} FROM {}", grantee.name)];
    if grantee.everyone() {
        statements.push(format!("GRANT {privileges} ON {on} TO {}", scene.application.name.quoted));
    }
    statements
}

/// Who has a privilege that a script can use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grantee {
    oid: u32,
    /// Quoted, or PUBLIC.
    pub name: String,
}

impl Grantee {
    /// Reads the columns `grantee` and `grantee_name`.
    pub fn of(row: &sqlx::postgres::PgRow) -> Grantee {
        Grantee { oid: row.get::<Oid, _>("grantee").0, name: row.get("grantee_name") }
    }

    pub fn everyone(&self) -> bool {
        self.oid == 0
    }
}

async fn schemas(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let open = open_schemas(connection, scene).await?;
    let found = sqlx::query(
        "SELECT n.oid, quote_ident(n.nspname) AS name, a.grantee,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee_name, a.privilege_type
           FROM pg_namespace n, aclexplode(n.nspacl) a
          WHERE a.grantee = ANY ($1) AND a.grantee <> n.nspowner AND n.nspname !~ '^pg_(toast|temp)' AND n.nspname <> 'airlock'
          ORDER BY 2, 4, 5",
    );
    let mut findings = Vec::new();
    let mut named: Vec<Oid> = Vec::new();
    for row in found.bind(&scene.reach).fetch_all(&mut *connection).await? {
        let (oid, name, privilege): (Oid, String, String) =
            (row.get("oid"), row.get("name"), row.get("privilege_type"));
        if privilege == "USAGE" && open.contains(&oid) {
            named.push(oid);
            continue;
        }
        let grantee = Grantee::of(&row);
        let why = match privilege.as_str() {
            "CREATE" => "a script could make tables and functions in it",
            _ => "a script can name what is in it",
        };
        let fix = take(scene, &grantee, &privilege, &format!("SCHEMA {name}"));
        findings.push(Finding::new("schema", name, format!("{} has {privilege}: {why}", grantee.name), fix));
    }
    let missing = sqlx::query_scalar::<_, String>(
        "SELECT quote_ident(nspname) FROM pg_namespace WHERE oid = ANY ($1) AND NOT oid = ANY ($2) AND nspname <> 'airlock' ORDER BY 1",
    );
    for name in missing.bind(&open).bind(&named).fetch_all(connection).await? {
        let fix = format!("GRANT USAGE ON SCHEMA {name} TO {}", scene.login.name.quoted);
        findings.push(Finding::new("schema", name, "the login role cannot name its tables", [fix]));
    }
    Ok(findings)
}

async fn relations(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let open = open_schemas(connection, scene).await?;
    // The keys have a check of their own, and sequences too.
    let found = sqlx::query(
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname = 'pg_catalog' AS catalog, c.relkind::text AS kind,
                a.grantee, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee_name,
                a.privilege_type || coalesce(' (' || string_agg(quote_ident(l.attname), ', ' ORDER BY l.attname) || ')', '') AS privilege
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
                SELECT c.relacl, NULL::name
                UNION ALL SELECT attacl, attname FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL) l (acl, attname),
                aclexplode(l.acl) a
          WHERE c.relnamespace = ANY ($1) AND a.grantee = ANY ($2) AND a.grantee <> c.relowner AND c.relkind <> 'S'
            AND c.oid IS DISTINCT FROM to_regclass('airlock.token_keys')
          GROUP BY c.oid, n.nspname, a.grantee, a.privilege_type, l.attname IS NULL
          ORDER BY 2, 6, 7",
    );
    let rows = found.bind(&open).bind(&scene.reach).fetch_all(connection).await?;

    let mut excess: BTreeMap<(String, Grantee), (Oid, String, Vec<String>)> = BTreeMap::new();
    let mut catalogs: BTreeMap<Grantee, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let mut had: Vec<(Oid, String)> = Vec::new();
    let mut described: Vec<String> = Vec::new();
    for row in &rows {
        let (oid, name, privilege): (Oid, String, String) = (row.get("oid"), row.get("name"), row.get("privilege"));
        let grantee = Grantee::of(row);
        let own = grantee.oid == scene.login.oid().0;
        if own && row.get("catalog") && privilege == "SELECT" && DESCRIBING.contains(&name.as_str()) {
            described.push(name);
        } else if row.get("catalog") {
            catalogs.entry(grantee).or_default().entry(privilege).or_default().push(name);
        } else if own && wanted(scene, oid).contains(&privilege.as_str()) {
            had.push((oid, privilege));
        } else {
            let entry = excess.entry((name, grantee)).or_insert_with(|| (oid, row.get("kind"), Vec::new()));
            entry.2.push(privilege);
        }
    }

    let mut findings = Vec::new();
    for (grantee, privileges) in catalogs {
        let mut fix = Vec::new();
        let mut shown: Vec<&str> = Vec::new();
        for (privilege, names) in &privileges {
            shown.extend(names.iter().map(String::as_str));
            fix.extend(take(scene, &grantee, privilege, &names.join(", ")));
        }
        let why = format!("{} can read in them what others have, do and call their things", grantee.name);
        findings.push(Finding::new("catalog", some(&shown), why, fix));
    }
    for ((name, grantee), (oid, kind, privileges)) in excess {
        let (kind, why) = reason(scene, oid, &kind);
        let listed = privileges.join(", ");
        let fix = take(scene, &grantee, &listed, &name);
        findings.push(Finding::new(kind, name, format!("{} has {listed}: {why}", grantee.name), fix));
    }
    let missing: Vec<&str> =
        DESCRIBING.into_iter().filter(|name| !described.iter().any(|known| known == name)).collect();
    if !missing.is_empty() {
        let names = missing.join(", ");
        let fix = format!("GRANT SELECT ON {names} TO {}", scene.login.name.quoted);
        let why = "the host cannot learn of which types parameters and columns are";
        findings.push(Finding::new("grant", names, why, [fix]));
    }
    for table in &scene.tables {
        let wanted = wanted(scene, table.oid).iter();
        let missing: Vec<&str> =
            wanted.copied().filter(|one| !had.iter().any(|(oid, had)| *oid == table.oid && had == one)).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let fix = format!("GRANT {missing} ON {} TO {}", table.name, scene.login.name.quoted);
            findings.push(Finding::new("grant", &table.name, format!("the login role lacks {missing}"), [fix]));
        }
    }
    Ok(findings)
}

/// What the login role must have on a relation.
fn wanted(scene: &Scene, relation: Oid) -> &'static [&'static str] {
    let table = scene.tables.iter().find(|table| table.oid == relation);
    match table.map(|table| table.access) {
        Some(Access::Write) => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        Some(Access::Read | Access::Shared) => &["SELECT"],
        Some(Access::None) | None => &[],
    }
}

/// What kind of leak a privilege on a relation is, and why it is one.
fn reason(scene: &Scene, relation: Oid, kind: &str) -> (&'static str, &'static str) {
    match kind {
        "v" => ("view", "a view reads with the rights of its owner, for whom other policies hold, or none"),
        "m" => ("materialized view", "its rows were stored for whoever made it, and have no policies"),
        "f" => ("foreign table", "its rows come from another server, which knows no tenant"),
        _ if scene.tables.iter().any(|table| table.oid == relation) => ("grant", "this is more than the settings give"),
        _ => ("table", "it is not a table of the settings, and nothing holds a tenant to rows of its own"),
    }
}

async fn sequences(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let open = open_schemas(connection, scene).await?;
    // A column's default takes its next value as the role that inserts. That of
    // an identity column does not, and needs no privilege.
    let tables: Vec<Oid> =
        scene.tables.iter().filter(|table| table.access == Access::Write).map(|table| table.oid).collect();
    let needed = sqlx::query_as::<_, (Oid, String)>(
        "SELECT DISTINCT s.oid, format('%I.%I', n.nspname, s.relname)
           FROM pg_attrdef d JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
           JOIN pg_class s ON p.refclassid = 'pg_class'::regclass AND s.oid = p.refobjid AND s.relkind = 'S'
           JOIN pg_namespace n ON n.oid = s.relnamespace
          WHERE d.adrelid = ANY ($1) ORDER BY 2",
    );
    let needed = needed.bind(&tables).fetch_all(&mut *connection).await?;
    let found = sqlx::query(
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, a.grantee,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee_name,
                a.privilege_type AS privilege
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
          WHERE c.relkind = 'S' AND a.grantee = ANY ($2) AND a.grantee <> c.relowner
            AND (c.relnamespace = ANY ($1) OR c.oid = ANY ($3)) AND c.oid IS DISTINCT FROM to_regclass('airlock.verified')
          ORDER BY 2, 4, 5",
    );
    let oids: Vec<Oid> = needed.iter().map(|(oid, _)| *oid).collect();
    let mut had = Vec::new();
    let mut findings = Vec::new();
    for row in found.bind(&open).bind(&scene.reach).bind(&oids).fetch_all(connection).await? {
        let (oid, name, privilege): (Oid, String, String) = (row.get("oid"), row.get("name"), row.get("privilege"));
        let grantee = Grantee::of(&row);
        if privilege == "USAGE" && oids.contains(&oid) && grantee.oid == scene.login.oid().0 {
            had.push(oid);
            continue;
        }
        let fix = take(scene, &grantee, &privilege, &format!("SEQUENCE {name}"));
        let why = format!("{} has {privilege}: a script can read or set what all tenants count with", grantee.name);
        findings.push(Finding::new("sequence", name, why, fix));
    }
    for (oid, name) in needed {
        if !had.contains(&oid) {
            let fix = format!("GRANT USAGE ON SEQUENCE {name} TO {}", scene.login.name.quoted);
            findings.push(Finding::new("grant", name, "the login role cannot take the next value of a column", [fix]));
        }
    }
    Ok(findings)
}

async fn languages(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let found = sqlx::query(
        "SELECT quote_ident(l.lanname) AS name, a.grantee,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee_name
           FROM pg_language l, aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a
          WHERE l.lanpltrusted AND a.grantee = ANY ($1) AND a.grantee <> l.lanowner ORDER BY 1, 3",
    );
    let mut findings = Vec::new();
    for row in found.bind(&scene.reach).fetch_all(connection).await? {
        let (name, grantee): (String, _) = (row.get("name"), Grantee::of(&row));
        let fix = take(scene, &grantee, "USAGE", &format!("LANGUAGE {name}"));
        let why = format!("{} may use it: DO runs a whole program in one statement", grantee.name);
        findings.push(Finding::new("language", name, why, fix));
    }
    Ok(findings)
}

async fn database(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let found = sqlx::query(
        "SELECT a.privilege_type AS privilege, a.grantee,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee_name
           FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
          WHERE d.datname = current_database() AND a.grantee = ANY ($1) AND a.grantee <> d.datdba ORDER BY 1, 3",
    );
    let name = &scene.database.quoted;
    let mut connects = false;
    let mut findings = Vec::new();
    for row in found.bind(&scene.reach).fetch_all(connection).await? {
        let (privilege, grantee): (String, _) = (row.get("privilege"), Grantee::of(&row));
        if privilege == "CONNECT" {
            connects = true;
            continue;
        }
        let why = format!("{} has {privilege}: a script could make tables, functions and operators", grantee.name);
        let fix = take(scene, &grantee, &privilege, &format!("DATABASE {name}"));
        findings.push(Finding::new("database", name, why, fix));
    }
    if !connects {
        let fix = format!("GRANT CONNECT ON DATABASE {name} TO {}", scene.login.name.quoted);
        findings.push(Finding::new("database", name, "the login role cannot connect", [fix]));
    }
    Ok(findings)
}

/// The first few of many names.
pub(super) fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let first = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
