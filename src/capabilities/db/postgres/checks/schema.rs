//! The schema `airlock`: the keys, and the function that policies ask.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::scene::Scene;
use super::super::{Error, Protection, token};
use super::{Finding, Secret, Statement};

const TABLE: &str = "CREATE TABLE airlock.token_keys (\
    id text PRIMARY KEY, inner_padded bytea NOT NULL, outer_padded bytea NOT NULL)";

pub async fn check(
    connection: &mut PgConnection,
    scene: &Scene,
    protection: &Protection,
) -> Result<Vec<Finding>, Error> {
    let mut findings = namespace(connection, scene).await?;
    findings.extend(keys(connection, scene, protection).await?);
    findings.extend(function(connection, scene).await?);
    Ok(findings)
}

async fn namespace(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let (owner, login) = (&scene.owner.name.quoted, &scene.login.name.quoted);
    let found = sqlx::query("SELECT oid, nspowner FROM pg_namespace WHERE nspname = 'airlock'");
    let Some(row) = found.fetch_optional(&mut *connection).await? else {
        let fix = [
            format!("CREATE SCHEMA airlock AUTHORIZATION {owner}"),
            format!("GRANT USAGE ON SCHEMA airlock TO {login}"),
        ];
        return Ok(vec![Finding::new("airlock schema", "airlock", "the schema does not exist", fix)]);
    };
    let mut findings = Vec::new();
    if row.get::<Oid, _>("nspowner") != scene.owner.oid() {
        let fix = format!("ALTER SCHEMA airlock OWNER TO {owner}");
        findings.push(Finding::new("airlock schema", "airlock", "whoever owns it can replace what is in it", [fix]));
    }
    let grants = sqlx::query_as::<_, (Oid, String, String)>(
        "SELECT a.grantee, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.privilege_type
           FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'airlock' AND a.grantee <> n.nspowner ORDER BY 2, 3",
    );
    let mut usage = false;
    for (grantee, name, privilege) in grants.fetch_all(connection).await? {
        if grantee == scene.login.oid() && privilege == "USAGE" {
            usage = true;
        } else if privilege == "CREATE" {
            let why = format!("{name} can put functions and operators where the tenant function looks");
            findings.push(Finding::new(
                "airlock schema",
                "airlock",
                why,
                [format!("REVOKE CREATE ON SCHEMA airlock FROM {name}")],
            ));
        }
    }
    if !usage {
        let why = "the login role cannot ask for its tenant";
        findings.push(Finding::new(
            "airlock schema",
            "airlock",
            why,
            [format!("GRANT USAGE ON SCHEMA airlock TO {login}")],
        ));
    }
    Ok(findings)
}

async fn keys(connection: &mut PgConnection, scene: &Scene, protection: &Protection) -> Result<Vec<Finding>, Error> {
    let owner = &scene.owner.name.quoted;
    let mut findings = Vec::new();
    let found = sqlx::query_as::<_, (Oid, Oid)>(
        "SELECT oid, relowner FROM pg_class WHERE relname = 'token_keys' AND relnamespace = to_regnamespace('airlock')",
    );
    let found = found.fetch_optional(&mut *connection).await?;
    let stored: Vec<(String, Vec<u8>, Vec<u8>)> = match found {
        None => {
            let fix = [TABLE.to_owned(), format!("ALTER TABLE airlock.token_keys OWNER TO {owner}")];
            findings.push(Finding::new("token keys", "airlock.token_keys", "the table does not exist", fix));
            Vec::new()
        }
        Some((_, relowner)) => {
            if relowner != scene.owner.oid() {
                let fix = format!("ALTER TABLE airlock.token_keys OWNER TO {owner}");
                let why = "its owner can read the keys that tokens are signed with";
                findings.push(Finding::new("token keys", "airlock.token_keys", why, [fix]));
            }
            sqlx::query_as("SELECT id, inner_padded, outer_padded FROM airlock.token_keys ORDER BY id")
                .fetch_all(&mut *connection)
                .await?
        }
    };
    let readers = sqlx::query_scalar::<_, String>(
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
           FROM pg_class c, LATERAL (
                SELECT c.relacl UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = c.oid) l (acl), aclexplode(l.acl) a
          WHERE c.oid = $1 AND a.grantee <> c.relowner ORDER BY 1",
    );
    for reader in readers.bind(found.map(|(oid, _)| oid)).fetch_all(connection).await? {
        let why = format!("{reader} has privileges on the keys, and can sign a token for any tenant");
        let fix = format!("REVOKE ALL ON airlock.token_keys FROM {reader}");
        findings.push(Finding::new("token keys", "airlock.token_keys", why, [fix]));
    }
    // An audit may be run without the keys.
    if protection.keys.is_empty() {
        return Ok(findings);
    }
    for key in protection.keys.iter() {
        let (inner, outer) = key.padded();
        let same = stored.iter().find(|(id, ..)| id == key.id()).map(|(_, i, o)| i == inner && o == outer);
        // Ids are letters, digits, `-` and `_`.
        let id = key.id();
        let sql = match same {
            Some(true) => continue,
            Some(false) => {
                format!("UPDATE airlock.token_keys SET inner_padded = $1, outer_padded = $2 WHERE id = '{id}'")
            }
            None => format!("INSERT INTO airlock.token_keys (id, inner_padded, outer_padded) VALUES ('{id}', $1, $2)"),
        };
        let secrets = vec![Secret(inner.to_vec()), Secret(outer.to_vec())];
        let why = format!("the key {id} of the settings is not the database's, so what it signs is refused");
        findings.push(Finding {
            fix: vec![Statement { sql, secrets }],
            ..Finding::new("token keys", "airlock.token_keys", why, [])
        });
    }
    for (id, ..) in &stored {
        if !protection.keys.iter().any(|key| key.id() == id) {
            let why = format!("the key {id}, which the settings do not name any more, still signs");
            // Not from the settings, so it may be anything.
            let fix = format!("DELETE FROM airlock.token_keys WHERE id = '{}'", id.replace('\'', "''"));
            findings.push(Finding::new("token keys", "airlock.token_keys", why, [fix]));
        }
    }
    Ok(findings)
}

async fn function(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let (owner, login) = (&scene.owner.name.quoted, &scene.login.name.quoted);
    let found = sqlx::query(
        "SELECT p.oid, p.prosrc = $2 AND l.lanname = 'plpgsql' AND p.prosecdef AND p.provolatile = 's' AND p.proparallel = 'r'
                AND p.prorettype = 'text'::regtype AND NOT p.proretset AND NOT p.proleakproof AND p.proowner = $1
                AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp'] IS TRUE AS same,
                coalesce((SELECT array_agg(a.grantee) FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                  WHERE a.grantee <> p.proowner), '{}') AS grantees
           FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = to_regprocedure('airlock.tenant()')",
    );
    let row = found.bind(scene.owner.oid()).bind(token::FUNCTION).fetch_optional(&mut *connection).await?;
    let mut findings = Vec::new();
    let mut grantees: Vec<Oid> = vec![Oid(0)];
    let mut why = "the function that policies ask does not exist";
    let mut same = false;
    if let Some(row) = row {
        grantees = row.get("grantees");
        same = row.get("same");
        why = "another function stands in the place of the one that checks tokens";
    }
    if !same {
        let fix = [
            format!("{} AS $function${}$function$", token::DECLARATION, token::FUNCTION),
            format!("ALTER FUNCTION airlock.tenant() OWNER TO {owner}"),
        ];
        findings.push(Finding::new("tenant function", "airlock.tenant()", why, fix));
    }
    if grantees.contains(&Oid(0)) {
        let fix = "REVOKE ALL ON FUNCTION airlock.tenant() FROM PUBLIC".to_owned();
        findings.push(Finding::new("tenant function", "airlock.tenant()", "everyone may call it", [fix]));
    }
    if !grantees.contains(&scene.login.oid()) {
        let fix = format!("GRANT EXECUTE ON FUNCTION airlock.tenant() TO {login}");
        findings.push(Finding::new("tenant function", "airlock.tenant()", "the login role may not call it", [fix]));
    }
    for called in token::CALLS {
        let granted = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a WHERE p.oid = $1::regprocedure AND a.grantee = $2)",
        );
        if !granted.bind(called).bind(scene.owner.oid()).fetch_one(&mut *connection).await? {
            let fix = format!("GRANT EXECUTE ON FUNCTION {called} TO {owner}");
            findings.push(Finding::new("tenant function", called, "the tenant function may not call it", [fix]));
        }
    }
    Ok(findings)
}
