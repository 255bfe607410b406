//! Which tokens `airlock.tenant()` takes.

use sqlx::PgConnection;

use super::attacks::{pid, soon};
use super::run;
use crate::capabilities::db::postgres::fixture::Database;
use crate::capabilities::db::postgres::protect;
use crate::capabilities::db::postgres::token::{Key, Keys};

const INVALID: &str = "this transaction has no valid tenant token";

fn keys(keys: &[(&str, u8)]) -> Keys {
    Keys::new(keys.iter().map(|(id, byte)| Key::new(id, &[*byte; 32]).unwrap()).collect())
}

/// Who the database takes a token for.
async fn tenant(connection: &mut PgConnection, token: &str) -> Result<String, String> {
    run(connection, &format!("SET airlock.token = '{token}'")).await.unwrap();
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
    ] {
        assert_eq!(tenant(&mut connection, &token).await, Err(INVALID.to_owned()), "{what}");
    }
    run(&mut connection, "RESET airlock.token").await.unwrap();
    let unset = run(&mut connection, "SELECT count(*) FROM clients").await;
    assert_eq!(unset.unwrap_err().1, INVALID);
    let mut fresh = database.connect(&database.login).await;
    for sql in ["SELECT * FROM clients", "INSERT INTO clients (id, email) VALUES (1, 'x')", "DELETE FROM clients"] {
        assert_eq!(run(&mut fresh, sql).await.unwrap_err().1, INVALID, "{sql}");
    }
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
