//! Secrets in the host's database.

use super::cipher::tests::keys;
use super::{Keys, Name, Process, Refused};
use crate::runtime::limits::{Limit, Limits};
use crate::store::clock::Clock;
use crate::store::fixture::on_both_databases;
use crate::store::{Kind, Store};

async fn store(kind: Kind) -> Store {
    Store::fresh(kind).await.with_clock(Clock::manual(1_700_000_000_000))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn set(secrets: &Process, tenant: &str, text: &str, value: &str) {
    secrets.set(tenant, &name(text), value, &Limits::default()).await.unwrap();
}

/// The value, or the name of the failure.
async fn get(secrets: &Process, tenant: &str, text: &str) -> String {
    match secrets.get(tenant, &name(text)).await {
        Ok(value) => value.to_string(),
        Err(failure) => failure.name,
    }
}

async fn a_secret_is_its_tenants_alone(kind: Kind) {
    let secrets = Process::new(store(kind).await, keys(&[("a", 1)]));
    set(&secrets, "acme", "KEY", "first").await;
    set(&secrets, "acme", "KEY", "second").await;
    set(&secrets, "globex", "KEY", "other").await;
    assert_eq!(get(&secrets, "acme", "KEY").await, "second");
    assert_eq!(get(&secrets, "globex", "KEY").await, "other");
    assert_eq!(get(&secrets, "initech", "KEY").await, "NotFoundError");

    let listed = secrets.list("acme").await.unwrap();
    let [listed] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&*listed.name, &*listed.key_id, listed.updated_at), ("KEY", "a", 1_700_000_000_000));
    assert!(secrets.delete("acme", &name("KEY")).await.unwrap());
    assert!(!secrets.delete("acme", &name("KEY")).await.unwrap());
    assert_eq!(get(&secrets, "acme", "KEY").await, "NotFoundError");
    assert_eq!(get(&secrets, "globex", "KEY").await, "other");
}

async fn without_its_key_a_secret_stays_closed_and_the_script_learns_no_more(kind: Kind) {
    let store = store(kind).await;
    set(&Process::new(store.clone(), keys(&[("a", 1)])), "acme", "KEY", "sesame").await;
    for other in [keys(&[("a", 2)]), keys(&[("b", 1)]), Keys::default()] {
        let secrets = Process::new(store.clone(), other);
        let failure = secrets.get("acme", &name("KEY")).await.unwrap_err();
        assert_eq!(failure.name, "InternalError");
        assert_eq!(failure.message, "the secret KEY cannot be read; the host's log has the reason");
    }
    let refused = Process::new(store, Keys::default()).set("acme", &name("KEY"), "x", &Limits::default()).await;
    assert!(refused.unwrap_err().to_string().contains("AIRLOCK_SECRETS_KEYS"));
}

async fn keys_are_changed_without_losing_a_secret(kind: Kind) {
    let store = store(kind).await;
    let old = Process::new(store.clone(), keys(&[("old", 1)]));
    set(&old, "acme", "A", "one").await;
    set(&old, "globex", "B", "two").await;
    let both = Process::new(store.clone(), keys(&[("new", 2), ("old", 1)]));
    assert_eq!(get(&both, "acme", "A").await, "one");
    set(&both, "acme", "C", "three").await;
    assert_eq!(both.rotate().await.unwrap(), 2);
    assert_eq!(both.rotate().await.unwrap(), 0);
    let new = Process::new(store.clone(), keys(&[("new", 2)]));
    for (tenant, name, value) in [("acme", "A", "one"), ("globex", "B", "two"), ("acme", "C", "three")] {
        assert_eq!(get(&new, tenant, name).await, value);
    }
    // A key that is not there any more takes none of the others along.
    let later = Process::new(store, keys(&[("later", 3)]));
    let refused = later.rotate().await.unwrap_err().to_string();
    assert!(refused.contains("`new`, which [secrets] keys does not have"), "{refused}");
    assert_eq!(get(&new, "globex", "B").await, "two");
}

async fn number_and_size_are_limited(kind: Kind) {
    let secrets = Process::new(store(kind).await, keys(&[("a", 1)]));
    let limits = Limits { secrets: 2, secret_bytes: 5, ..Limits::default() };
    let set = async |tenant: &str, text: &str, value: &str| secrets.set(tenant, &name(text), value, &limits).await;
    assert!(set("acme", "A", "12345").await.is_ok());
    assert!(set("acme", "B", "12345").await.is_ok());
    assert!(matches!(set("acme", "C", "12345").await, Err(Refused::Limit(Limit::Secrets, 2))));
    assert!(set("acme", "B", "changed").await.is_err());
    assert!(set("acme", "B", "new").await.is_ok());
    assert!(set("globex", "C", "12345").await.is_ok());
    assert!(matches!(set("globex", "D", "").await, Err(Refused::Empty)));
    assert_eq!(secrets.list("acme").await.unwrap().len(), 2, "what was refused is not kept");
}

on_both_databases!(
    a_secret_is_its_tenants_alone,
    without_its_key_a_secret_stays_closed_and_the_script_learns_no_more,
    keys_are_changed_without_losing_a_secret,
    number_and_size_are_limited,
);

#[tokio::test]
async fn the_file_holds_nothing_readable() {
    let folder = tempfile::tempdir().unwrap();
    let value = "correct horse battery staple";
    {
        let store = Store::open(folder.path().join("airlock.db")).await.unwrap();
        let secrets = Process::new(store, keys(&[("a", 1)]));
        set(&secrets, "acme", "PASSPHRASE", value).await;
        assert_eq!(get(&secrets, "acme", "PASSPHRASE").await, value);
    }
    let mut found = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found += usize::from(holds("PASSPHRASE"));
        assert!(["correct", "horse", "battery", "staple"].iter().all(|word| !holds(word)));
    }
    assert!(found > 0, "the row was looked at");
}
