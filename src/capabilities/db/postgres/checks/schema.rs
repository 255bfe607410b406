//! The schema `airlock`: the keys, the functions that check tokens, and the
//! sequence that seals what they said.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::gaps::READS;
use super::super::routine::{CALLS, FUNCTIONS, Function};
use super::super::scene::Scene;
use super::super::{Error, Protection};
use super::{Finding, Secret, Statement};

const TABLE: &str = "CREATE TABLE airlock.token_keys (\
    id text PRIMARY KEY, inner_padded bytea NOT NULL, outer_padded bytea NOT NULL)";

/// Its value is the session's alone, and is not worth writing to the log.
const SEAL: &str = "CREATE UNLOGGED SEQUENCE airlock.verified MINVALUE -9223372036854775808 START 1";

pub async fn check(
    connection: &mut PgConnection,
    scene: &Scene,
    protection: &Protection,
) -> Result<Vec<Finding>, Error> {
    let mut findings = namespace(connection, scene).await?;
    findings.extend(keys(connection, scene, protection).await?);
    findings.extend(seal(connection, scene).await?);
    for function in FUNCTIONS {
        findings.extend(self::function(connection, scene, function).await?);
    }
    findings.extend(calls(connection, scene).await?);
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
            let why = format!("{name} can put functions and operators where the tenant functions look");
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

async fn seal(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let (kind, object, owner) = ("tenant seal", "airlock.verified", &scene.owner.name.quoted);
    let found = sqlx::query_as::<_, (bool, bool, Vec<String>)>(
        "SELECT c.relowner = $1,
                c.relkind = 'S' AND c.relpersistence = 'u' AND s.seqtypid = 'int8'::regtype
                AND s.seqmin = -9223372036854775808 AND s.seqmax = 9223372036854775807 IS TRUE,
                ARRAY(SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
                        FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner ORDER BY 1)
           FROM pg_class c LEFT JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.oid = to_regclass('airlock.verified')",
    );
    let Some((owned, same, grantees)) = found.bind(scene.owner.oid()).fetch_optional(connection).await? else {
        let fix = [SEAL.to_owned(), format!("ALTER SEQUENCE airlock.verified OWNER TO {owner}")];
        return Ok(vec![Finding::new(kind, object, "the sequence does not exist", fix)]);
    };
    let mut findings = Vec::new();
    if !same {
        let why = "it is not the sequence that holds what sessions have proved";
        let fix = [
            "ALTER SEQUENCE airlock.verified AS bigint MINVALUE -9223372036854775808 NO MAXVALUE",
            "ALTER SEQUENCE airlock.verified SET UNLOGGED",
        ];
        findings.push(Finding::new(kind, object, why, fix.map(str::to_owned)));
    }
    if !owned {
        let fix = format!("ALTER SEQUENCE airlock.verified OWNER TO {owner}");
        findings.push(Finding::new(kind, object, "its owner can take any session for any tenant's", [fix]));
    }
    for grantee in grantees {
        let why = format!("{grantee} has privileges on it, and with them a session could be any tenant's");
        let fix = format!("REVOKE ALL ON SEQUENCE airlock.verified FROM {grantee}");
        findings.push(Finding::new(kind, object, why, [fix]));
    }
    Ok(findings)
}

async fn function(connection: &mut PgConnection, scene: &Scene, known: &Function) -> Result<Vec<Finding>, Error> {
    let (kind, name) = ("tenant function", known.signature);
    let (owner, login) = (&scene.owner.name.quoted, &scene.login.name.quoted);
    let found = sqlx::query(
        "SELECT p.prosrc = $3 AND l.lanname = 'plpgsql' AND p.prosecdef AND p.provolatile::text = $4
                AND p.proparallel::text = $5 AND p.prorettype = $6::regtype AND NOT p.proretset AND NOT p.proleakproof
                AND NOT p.proisstrict AND p.prokind = 'f' AND p.proowner = $1 AND coalesce(p.proconfig, '{}') = $7 AS same,
                coalesce((SELECT array_agg(a.grantee) FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                  WHERE a.grantee <> p.proowner), '{}') AS grantees
           FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = to_regprocedure($2)",
    );
    let found = found.bind(scene.owner.oid()).bind(name).bind(known.body).bind(known.volatility).bind(known.parallel);
    let row = found.bind(known.returns).bind(known.settings).fetch_optional(&mut *connection).await?;
    let mut findings = Vec::new();
    let mut grantees: Vec<Oid> = vec![Oid(0)];
    let mut why = "the function does not exist";
    let mut same = false;
    if let Some(row) = row {
        grantees = row.get("grantees");
        same = row.get("same");
        why = "another function stands in its place";
    }
    if !same {
        let fix = [
            format!("CREATE OR REPLACE FUNCTION {} AS $function${}$function$", known.create, known.body),
            format!("ALTER FUNCTION {name} OWNER TO {owner}"),
        ];
        findings.push(Finding::new(kind, name, why, fix));
    }
    if grantees.contains(&Oid(0)) {
        let fix = format!("REVOKE ALL ON FUNCTION {name} FROM PUBLIC");
        findings.push(Finding::new(kind, name, "everyone may call it", [fix]));
    }
    if !grantees.contains(&scene.login.oid()) {
        let fix = format!("GRANT EXECUTE ON FUNCTION {name} TO {login}");
        findings.push(Finding::new(kind, name, "the login role may not call it", [fix]));
    }
    Ok(findings)
}

/// The owner's functions use what everybody else loses.
async fn calls(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for called in CALLS {
        let granted = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a WHERE p.oid = $1::regprocedure AND a.grantee = $2)",
        );
        if !granted.bind(called).bind(scene.owner.oid()).fetch_one(&mut *connection).await? {
            let fix = format!("GRANT EXECUTE ON FUNCTION {called} TO {}", scene.owner.name.quoted);
            findings.push(Finding::new("tenant function", called, "Airlock's functions may not call it", [fix]));
        }
    }
    for read in READS {
        let granted = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) a
              WHERE c.oid = $1::regclass AND a.grantee = $2 AND a.privilege_type = 'SELECT')",
        );
        if !granted.bind(read).bind(scene.owner.oid()).fetch_one(&mut *connection).await? {
            let fix = format!("GRANT SELECT ON {read} TO {}", scene.owner.name.quoted);
            findings.push(Finding::new("tenant function", read, "Airlock's functions may not read it", [fix]));
        }
    }
    Ok(findings)
}
