//! Which tokens `airlock.enter` takes, and whom `airlock.tenant()` then answers.

use sqlx::PgConnection;

use super::attacks::{pid, soon};
use super::run;
use crate::capabilities::db::postgres::fixture::Database;
use crate::capabilities::db::postgres::protect;
use crate::capabilities::db::postgres::token::{Key, Keys};

const INVALID: &str = "this is no valid tenant token";
const NOBODY: &str = "this session has no valid tenant token";

fn keys(keys: &[(&str, u8)]) -> Keys {
    Keys::new(keys.iter().map(|(id, byte)| Key::new(id, &[*byte; 32]).unwrap()).collect())
}

/// Who the database takes a token for.
async fn tenant(connection: &mut PgConnection, token: &str) -> Result<String, String> {
    run(connection, &format!("SELECT airlock.enter('{token}')")).await.map_err(|(_, message)| message)?;
    let rows = run(connection, "SELECT DISTINCT tenant_id FROM clients").await.map_err(|(_, message)| message)?;
    Ok(rows.join(" "))
}

#[tokio::test]
async fn only_a_token_of_this_connection_that_holds_is_taken() {
    let (database, _) = Database::protected().await;
    let mut connection = database.connect(&database.login).await;
    let pid = pid(&database, &mut connection).await;
    let ours = keys(&[("k1", 7)]);
    let good = ours.sign("acme", pid, soon()).unwrap();
    assert_eq!(tenant(&mut connection, &good).await.unwrap(), "acme");
    let other = ours.sign("globex", pid, soon()).unwrap();
    assert_eq!(tenant(&mut connection, &other).await.unwrap(), "globex");
    assert_eq!(tenant(&mut connection, &ours.sign("nobody", pid, soon()).unwrap()).await.unwrap(), "");

    let (head, mac) = good.rsplit_once('.').unwrap();
    let (other_head, _) = other.rsplit_once('.').unwrap();
    for (what, token) in [
        ("expired", ours.sign("acme", pid, soon() - 7200).unwrap()),
        ("another connection's", ours.sign("acme", pid + 1, soon()).unwrap()),
        // 12 with 3 is not 1 with 23: the parts cannot be shifted.
        ("a pid that continues the head", ours.sign("acme", pid * 10, soon()).unwrap()),
        ("another key by that id", keys(&[("k1", 8)]).sign("acme", pid, soon()).unwrap()),
        ("an unknown key", keys(&[("k2", 7)]).sign("acme", pid, soon()).unwrap()),
        ("another tenant with this one's signature", format!("{other_head}.{mac}")),
        ("no signature", head.to_owned()),
        ("an empty signature", format!("{head}.")),
        ("half a signature", format!("{head}.{}", &mac[..32])),
        ("a longer signature", format!("{head}.{mac}00")),
        ("a signature in capitals", format!("{head}.{}", mac.to_uppercase())),
        ("a later end", good.replacen(&soon().to_string()[..6], "999999", 1)),
        ("another version", good.replacen("v1", "v2", 1)),
        ("empty", String::new()),
        ("dots", ".....".to_owned()),
        ("a name", "acme".to_owned()),
        ("an infinite end", "v1.k1.infinity.61.00".to_owned()),
        ("an end of eleven digits", ours.sign("acme", pid, 10_000_000_000).unwrap()),
    ] {
        assert_eq!(tenant(&mut connection, &token).await, Err(INVALID.to_owned()), "{what}");
    }
}

#[tokio::test]
async fn what_a_session_proved_cannot_be_changed() {
    let (database, protection) = Database::protected().await;
    let mut connection = database.connect(&database.login).await;
    let pid = pid(&database, &mut connection).await;
    let seen = "SELECT DISTINCT tenant_id FROM clients";
    // Nothing was proved yet, whatever the setting says.
    for claim in ["", "SET airlock.tenant = '9999999999acme'; "] {
        for sql in [seen, "INSERT INTO clients (id, email) VALUES (1, 'x')", "DELETE FROM clients"] {
            let (code, _) = run(&mut connection, &format!("{claim}{sql}")).await.unwrap_err();
            assert_eq!(code, "55000", "{claim}{sql}");
        }
    }
    let sign = |tenant: &str, expires| protection.keys.sign(tenant, pid, expires).unwrap();
    tenant(&mut connection, &sign("globex", soon())).await.unwrap();
    let globex = run(&mut connection, "SHOW airlock.tenant").await.unwrap().remove(0);
    assert_eq!(globex, format!("{}globex", &globex[..10]));
    tenant(&mut connection, &sign("acme", soon())).await.unwrap();
    for claim in [&globex, &globex.replace("globex", "acme2"), &format!("{globex} "), "9999999999acme", "x", ""] {
        let refused = run(&mut connection, &format!("SET airlock.tenant = '{claim}'; {seen}")).await;
        assert_eq!(refused.unwrap_err(), ("42501".to_owned(), NOBODY.to_owned()), "{claim}");
    }
    // A refused token takes nothing, and gives nothing.
    assert!(tenant(&mut connection, &format!("{}0", sign("globex", soon()))).await.is_err());
    assert_eq!(run(&mut connection, seen).await.unwrap(), ["acme"]);
    // What was proved is not undone with a transaction, but what it was for is.
    let undone = format!("BEGIN; SELECT airlock.enter('{}'); ROLLBACK", sign("globex", soon()));
    run(&mut connection, &undone).await.unwrap();
    assert_eq!(run(&mut connection, seen).await.unwrap_err().1, NOBODY);

    let now = soon() - 3600;
    tenant(&mut connection, &sign("acme", now + 2)).await.unwrap();
    let over =
        format!("SELECT 1 FROM generate_series(1, 100) AS g (n) WHERE clock_timestamp() < to_timestamp({})", now + 2);
    while !run(&mut connection, &over).await.unwrap().is_empty() {}
    assert_eq!(run(&mut connection, seen).await.unwrap_err().1, NOBODY);
}

#[tokio::test]
async fn no_search_path_changes_what_the_functions_mean() {
    let (database, protection) = Database::protected().await;
    // Nobody but a superuser could make these.
    database
        .run(&format!(
            "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO {};
             CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT '9999999999globex' $$;
             CREATE FUNCTION evil.substr(text, int) RETURNS text LANGUAGE sql AS $$ SELECT 'globex' $$;
             CREATE FUNCTION evil.split_part(text, text, int) RETURNS text LANGUAGE sql AS $$ SELECT '676c6f626578' $$;
             CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
             CREATE FUNCTION evil.substr(bytea, int, int) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
             CREATE FUNCTION evil.int8send(bigint) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
             CREATE FUNCTION evil.currval(regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT 0::bigint $$;
             CREATE FUNCTION evil.convert_to(text, name) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
             CREATE FUNCTION evil.left(text, int) RETURNS text LANGUAGE sql AS $$ SELECT '9999999999' $$;
             CREATE FUNCTION evil.to_timestamp(float8) RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
             CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '-infinity'::timestamptz $$;
             CREATE FUNCTION evil.yes(bytea, bytea) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
             CREATE FUNCTION evil.yes(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
             CREATE FUNCTION evil.yes(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
             CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = bytea, RIGHTARG = bytea);
             CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = text, RIGHTARG = text);
             CREATE OPERATOR evil.> (FUNCTION = evil.yes, LEFTARG = timestamptz, RIGHTARG = timestamptz);
             CREATE DOMAIN evil.float8 AS text; CREATE DOMAIN evil.regclass AS text;",
            database.login
        ))
        .await;
    let mut connection = database.connect(&database.login).await;
    let pid = pid(&database, &mut connection).await;
    run(&mut connection, "SET search_path = evil, public, pg_catalog").await.unwrap();
    assert_eq!(run(&mut connection, "SELECT current_setting('x')").await.unwrap(), ["9999999999globex"], "it is found");
    let token = protection.keys.sign("acme", pid, soon()).unwrap();
    let seen = "SELECT DISTINCT tenant_id FROM clients";
    assert_eq!(run(&mut connection, seen).await.unwrap_err().0, "55000");
    assert_eq!(tenant(&mut connection, &token.replace("61636d65", "676c6f626578")).await, Err(INVALID.to_owned()));
    assert_eq!(tenant(&mut connection, &token).await.unwrap(), "acme");
    run(&mut connection, "SET airlock.tenant = '9999999999globex'").await.unwrap();
    assert_eq!(run(&mut connection, seen).await.unwrap_err().1, NOBODY);
}

#[tokio::test]
async fn keys_are_replaced_while_hosts_run() {
    let (database, mut protection) = Database::protected().await;
    let mut connection = database.connect(&database.login).await;
    let pid = pid(&database, &mut connection).await;
    let old = keys(&[("k1", 7)]).sign("acme", pid, soon()).unwrap();
    let new = keys(&[("k2", 9)]).sign("acme", pid, soon()).unwrap();
    let mut admin = database.admin().await;
    for (settings, first_is_taken, second_is_taken) in [
        (&[("k1", 7)][..], true, false),
        // Known before a host signs with it, and until none does any more.
        (&[("k1", 7), ("k2", 9)], true, true),
        (&[("k2", 9), ("k1", 7)], true, true),
        (&[("k2", 9)], false, true),
        // The same id with another key.
        (&[("k2", 10)], false, false),
    ] {
        protection.keys = keys(settings);
        protect::apply(&mut admin, &protection).await.unwrap();
        assert_eq!(tenant(&mut connection, &old).await.is_ok(), first_is_taken, "{settings:?}");
        assert_eq!(tenant(&mut connection, &new).await.is_ok(), second_is_taken, "{settings:?}");
        assert_eq!(protect::apply(&mut admin, &protection).await.unwrap().changes, []);
    }
    protection.keys = Keys::default();
    let none = protect::apply(&mut admin, &protection).await.unwrap_err();
    assert!(none.to_string().contains("database.token_keys"), "{none}");
}

#[tokio::test]
async fn keys_show_in_no_plan() {
    let database = Database::shop().await;
    let plan = protect::plan(&mut database.admin().await, &database.protection()).await.unwrap();
    let script = plan.script();
    assert!(script.contains("-- INSERT INTO airlock.token_keys"), "{script}");
    // 7 padded for HMAC, and as itself.
    for byte in ["31", "5b", "07"] {
        assert!(!script.contains(&byte.repeat(8)), "{byte}");
    }
    assert!(!format!("{plan:?}").contains("49, 49"), "{plan:?}");
}
