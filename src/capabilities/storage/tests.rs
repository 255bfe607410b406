use std::collections::HashMap;
use std::sync::Arc;

use super::{PAGE_BYTES, Process, Space};
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;
use crate::store::clock::Clock;
use crate::store::fixture::{Lasting, on_both_databases};
use crate::store::usage::{self, Room, Usage};
use crate::store::{Kind, Store};
use crate::tenant::quota::{Account, Ledger, Quotas};

struct Fixture {
    store: Store,
    process: Process,
    clock: Clock,
}

impl Fixture {
    async fn new(kind: Kind) -> Fixture {
        let clock = Clock::manual(1_700_000_000_000);
        let store = Store::fresh(kind).await.with_clock(clock.clone());
        Fixture { process: Process::new(store.clone()), store, clock }
    }

    fn space(&self, tenant: &str) -> Space {
        self.limited(tenant, Quotas::default())
    }

    fn limited(&self, tenant: &str, quotas: Quotas) -> Space {
        let ledger = Ledger::new(quotas, HashMap::new(), self.clock.clone());
        self.process.space(ledger.account(tenant), Arc::new(Limits::default()))
    }

    /// What the usage row says, after checking that it says what is there.
    async fn usage(&self, tenant: &'static str) -> Usage {
        let (told, counted): (Usage, (i64, i64)) = self
            .store
            .read::<_, sqlx::Error>(move |connection| {
                Box::pin(async move {
                    let told = usage::of(&mut *connection, tenant, Room::Storage).await?;
                    let counted = sqlx::query_as(
                        "SELECT COUNT(*), CAST(COALESCE(SUM(OCTET_LENGTH(key) + OCTET_LENGTH(value)), 0) AS BIGINT)
                         FROM storage WHERE tenant = $1",
                    )
                    .bind(tenant)
                    .fetch_one(connection)
                    .await?;
                    Ok((told, counted))
                })
            })
            .await
            .unwrap();
        assert_eq!((told.items, told.bytes), counted, "the usage row is exact");
        told
    }
}

fn account(tenant: &str) -> Arc<Account> {
    Ledger::new(Quotas::default(), HashMap::new(), Clock::manual(0)).account(tenant)
}

impl Space {
    async fn put_text(&self, key: &str, value: &str, ttl: Option<f64>) -> Result<(), Failure> {
        self.set(key.to_owned(), value.to_owned(), ttl).await
    }

    async fn text(&self, key: &str) -> Option<String> {
        self.get(key.to_owned()).await.unwrap()
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.list(prefix.to_owned(), None, None).await.unwrap();
        page.entries.into_iter().map(|(key, _)| key).collect()
    }
}

async fn a_value_is_there_until_it_is_deleted(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    assert_eq!(space.text("k").await, None);
    assert!(!space.has("k".into()).await.unwrap());

    space.put_text("k", r#"{"é":1}"#, None).await.unwrap();
    assert_eq!(space.text("k").await.as_deref(), Some(r#"{"é":1}"#));
    assert!(space.has("k".into()).await.unwrap());

    space.put_text("k", "null", None).await.unwrap();
    assert_eq!(space.text("k").await.as_deref(), Some("null"), "null is a value");
    assert_eq!(fixture.usage("a").await, Usage { items: 1, bytes: 5 });

    assert!(space.delete("k".into()).await.unwrap());
    assert!(!space.delete("k".into()).await.unwrap());
    assert_eq!(fixture.usage("a").await, Usage::default());
}

async fn tenants_do_not_see_each_other(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let (a, b) = (fixture.space("a"), fixture.space("b"));
    a.put_text("k", "1", None).await.unwrap();
    assert_eq!(b.text("k").await, None);
    assert!(!b.has("k".into()).await.unwrap());
    assert!(!b.delete("k".into()).await.unwrap());
    assert!(b.keys("").await.is_empty());
    assert!(!b.compare_and_set("k".into(), Some("1".into()), "2".into(), None).await.unwrap());
    assert_eq!(b.increment("k".into(), 5.0, None).await.unwrap(), 5.0);
    assert_eq!(a.text("k").await.as_deref(), Some("1"));
}

async fn an_expired_value_is_not_there_for_any_function(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    for key in ["get", "has", "delete", "cas", "inc"] {
        space.put_text(key, "7", Some(0.5)).await.unwrap();
    }
    fixture.clock.advance(499);
    assert_eq!(space.keys("").await.len(), 5);
    assert_eq!(space.text("get").await.as_deref(), Some("7"));

    fixture.clock.advance(1);
    assert!(space.keys("").await.is_empty());
    assert_eq!(space.text("get").await, None);
    assert!(!space.has("has".into()).await.unwrap());
    assert!(!space.delete("delete".into()).await.unwrap());
    assert!(!space.compare_and_set("cas".into(), Some("7".into()), "8".into(), None).await.unwrap());
    assert_eq!(space.increment("inc".into(), 1.0, None).await.unwrap(), 1.0);
    fixture.clock.advance(1_000_000);
    assert_eq!(space.text("inc").await.as_deref(), Some("1"), "it took no time to live over");
}

async fn a_time_to_live_is_within_bounds(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    for ttl in [0.001, 3600.0, 315_576_000.0] {
        assert!(space.put_text("k", "1", Some(ttl)).await.is_ok(), "{ttl}");
    }
    for ttl in [0.0, -1.0, f64::NAN, f64::INFINITY, 315_576_001.0] {
        let failure = space.put_text("k", "1", Some(ttl)).await.unwrap_err();
        assert_eq!(failure.name, "RangeError");
        assert!(failure.message.contains("time to live"), "{}", failure.message);
        assert!(space.increment("n".into(), 1.0, Some(ttl)).await.is_err());
        assert!(space.compare_and_set("c".into(), None, "1".into(), Some(ttl)).await.is_err());
    }
    assert_eq!(space.keys("").await, ["k"]);
}

async fn setting_again_replaces_the_time_to_live_and_adding_keeps_it(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    space.put_text("set", "1", Some(1.0)).await.unwrap();
    space.put_text("set", "2", None).await.unwrap();
    space.put_text("kept", "1", Some(1.0)).await.unwrap();
    space.increment("kept".into(), 1.0, None).await.unwrap();
    space.put_text("longer", "1", Some(1.0)).await.unwrap();
    space.increment("longer".into(), 1.0, Some(10.0)).await.unwrap();
    fixture.clock.advance(1000);
    assert_eq!(space.keys("").await, ["longer", "set"]);
}

async fn what_is_not_json_is_refused(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    for text in ["", "{", "undefined", "1 2", "\0"] {
        let failure = space.put_text("k", text, None).await.unwrap_err();
        assert_eq!(failure.name, "TypeError", "{text:?}");
        assert!(space.compare_and_set("k".into(), None, text.into(), None).await.is_err());
        assert!(space.compare_and_set("k".into(), Some(text.into()), "1".into(), None).await.is_err());
    }
    assert!(space.keys("").await.is_empty());
}

async fn a_list_has_the_keys_of_the_prefix_in_byte_order(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    for key in ["a%b", "a%", "aXb", "a_b", "B", "é", "a%b\u{10ffff}", "a&"] {
        space.put_text(key, "1", None).await.unwrap();
    }
    assert_eq!(space.keys("").await, ["B", "a%", "a%b", "a%b\u{10ffff}", "a&", "aXb", "a_b", "é"]);
    assert_eq!(space.keys("a%").await, ["a%", "a%b", "a%b\u{10ffff}"]);
    assert_eq!(space.keys("a_").await, ["a_b"]);
    assert!(space.keys("%").await.is_empty());
}

async fn pages_follow_each_other_without_gaps(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    for n in 0..7 {
        space.put_text(&format!("k{n}"), "1", None).await.unwrap();
    }
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = space.list("k".into(), after, Some(3)).await.unwrap();
        pages.push(page.entries.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [3, 3, 1]);
    let whole = space.list("k".into(), None, Some(7)).await.unwrap();
    assert_eq!((whole.entries.len(), whole.next), (7, None));

    for limit in [0, 1001, u32::MAX] {
        let failure = space.list(String::new(), None, Some(limit)).await.unwrap_err();
        assert!(failure.message.contains("from 1 to 1000"), "{}", failure.message);
    }
}

async fn a_page_of_large_values_ends_early(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    let value = format!("\"{}\"", "x".repeat(200_000));
    for n in 0..8 {
        space.put_text(&format!("k{n}"), &value, None).await.unwrap();
    }
    let page = space.list(String::new(), None, Some(8)).await.unwrap();
    let bytes: usize = page.entries.iter().map(|(_, value)| value.len()).sum();
    assert!(bytes as u64 <= PAGE_BYTES + 200_010, "{bytes}");
    let rest = space.list(String::new(), page.next, Some(8)).await.unwrap();
    assert_eq!(page.entries.len() + rest.entries.len(), 8);
    assert_eq!(rest.next, None);
}

async fn only_numbers_are_added_to(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    assert_eq!(space.increment("n".into(), 1.5, None).await.unwrap(), 1.5);
    assert_eq!(space.increment("n".into(), -0.5, None).await.unwrap(), 1.0);
    assert_eq!(space.text("n").await.as_deref(), Some("1"));

    space.put_text("t", "\"1\"", None).await.unwrap();
    assert_eq!(space.increment("t".into(), 1.0, None).await.unwrap_err().name, "TypeError");
    assert_eq!(space.text("t").await.as_deref(), Some("\"1\""));
    for by in [f64::NAN, f64::INFINITY] {
        assert!(space.increment("n".into(), by, None).await.is_err());
    }
    space.put_text("n", "1.7e308", None).await.unwrap();
    assert_eq!(space.increment("n".into(), 1.7e308, None).await.unwrap_err().name, "RangeError");
    assert_eq!(space.text("n").await.as_deref(), Some("1.7e308"));
}

async fn comparing_decides_about_setting(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.space("a");
    let swap = |expected: Option<&str>, value: &str| {
        let (space, expected, value) = (space.clone(), expected.map(str::to_owned), value.to_owned());
        async move { space.compare_and_set("k".into(), expected, value, None).await.unwrap() }
    };
    assert!(!swap(Some("null"), "1").await, "null is not the same as none");
    assert!(swap(None, r#"{"a":1,"b":2}"#).await);
    assert!(!swap(None, "1").await);
    assert!(swap(Some(r#"{"b":2.0,"a":1}"#), "2").await);
    assert!(!swap(Some("3"), "4").await);
    assert_eq!(space.text("k").await.as_deref(), Some("2"));
}

async fn a_tenant_stays_within_its_quotas(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.limited("a", Quotas { storage_keys: 2, storage_bytes: 20, ..Quotas::default() });
    let hit = |result: Result<(), Failure>| {
        let hit = result.unwrap_err().limit.unwrap();
        (hit.name, hit.value, hit.used)
    };

    let long = "1".repeat((256 << 10) + 1);
    assert_eq!(hit(space.put_text("a", &long, None).await), ("storage_value_bytes".into(), 256 << 10, (256 << 10) + 1));
    space.put_text("a", "1234567890", None).await.unwrap();
    space.put_text("b", "12345678", None).await.unwrap();
    assert_eq!(fixture.usage("a").await, Usage { items: 2, bytes: 20 });
    assert_eq!(hit(space.put_text("b", "123456789", None).await), ("storage_bytes".into(), 20, 21));
    assert_eq!(hit(space.put_text("c", "1", None).await), ("storage_keys".into(), 2, 3));
    assert_eq!(fixture.usage("a").await, Usage { items: 2, bytes: 20 }, "a refusal changes nothing");

    space.put_text("b", "1", None).await.unwrap();
    assert!(space.delete("a".into()).await.unwrap());
    space.put_text("c", "1", None).await.unwrap();
    assert_eq!(space.keys("").await, ["b", "c"]);
    // Another tenant's room is its own.
    assert!(fixture.space("b").put_text("a", "1234567890", None).await.is_ok());
}

async fn lowered_quotas_still_let_a_tenant_write_less(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    fixture.space("a").put_text("k", "1234567890", None).await.unwrap();
    let lowered = fixture.limited("a", Quotas { storage_bytes: 5, storage_keys: 0, ..Quotas::default() });
    lowered.put_text("k", "12345678", None).await.unwrap();
    assert!(lowered.put_text("k", "123456789", None).await.is_err());
    assert!(lowered.put_text("l", "1", None).await.is_err());
}

async fn expired_values_take_no_room_from_new_ones(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let quotas = Quotas { storage_keys: 100, storage_bytes: 1000, ..Quotas::default() };
    let space = fixture.limited("a", quotas);
    for n in 0..100 {
        space.put_text(&format!("k{n:02}"), "1234567", Some(1.0)).await.unwrap();
    }
    assert!(space.put_text("new", "1", None).await.is_err());
    fixture.clock.advance(1000);
    // It fits only once nearly all of the hundred are gone.
    let large = "1".repeat(900);
    space.put_text("k50", &large, None).await.unwrap();
    assert_eq!(space.text("k50").await, Some(large));
    assert!(fixture.usage("a").await.bytes <= 1000);
}

async fn sweeping_removes_what_has_expired_and_nothing_else(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    for tenant in ["a", "b", "c"] {
        let space = fixture.space(tenant);
        for n in 0..40 {
            space.put_text(&format!("old{n}"), "1", Some(1.0)).await.unwrap();
        }
        space.put_text("kept", "1", None).await.unwrap();
        space.put_text("later", "1", Some(2.0)).await.unwrap();
    }
    assert_eq!(fixture.process.sweep().await.unwrap(), 0);
    fixture.clock.advance(1000);
    assert_eq!(fixture.process.sweep().await.unwrap(), 120);
    assert_eq!(fixture.usage("a").await.items, 2);
    assert_eq!(fixture.space("b").keys("").await, ["kept", "later"]);
}

async fn concurrent_writes_lose_nothing(kind: Kind) {
    let database = Lasting::new(kind).await;
    let space = Process::new(database.open().await).space(account("a"), Arc::new(Limits::default()));

    let increments = (0..50).map(|_| space.increment("n".into(), 1.0, None));
    let mut sums: Vec<f64> = futures_util::future::try_join_all(increments).await.unwrap();
    sums.sort_by(f64::total_cmp);
    assert_eq!(sums, (1..=50).map(f64::from).collect::<Vec<_>>());

    let claims = (0..50).map(|n| space.compare_and_set("owner".into(), None, n.to_string(), None));
    let won = futures_util::future::try_join_all(claims).await.unwrap();
    assert_eq!(won.iter().filter(|won| **won).count(), 1);

    // Each of fifty adds one by comparing and setting until it succeeds.
    space.put_text("c", "0", None).await.unwrap();
    let adders = (0..50).map(|_| async {
        loop {
            let seen = space.text("c").await.unwrap();
            let next = (seen.parse::<u32>().unwrap() + 1).to_string();
            if space.compare_and_set("c".into(), Some(seen), next, None).await.unwrap() {
                return;
            }
        }
    });
    futures_util::future::join_all(adders).await;
    assert_eq!(space.text("c").await.as_deref(), Some("50"));
}

async fn concurrent_writes_do_not_pass_a_limit_together(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.limited("a", Quotas { storage_keys: 10, ..Quotas::default() });
    let writes = (0..50).map(|n| space.set(format!("k{n}"), "1".into(), None));
    let written = futures_util::future::join_all(writes).await;
    assert_eq!(written.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(fixture.usage("a").await.items, 10);
}

async fn values_that_are_written_at_once_are_each_as_if_alone(kind: Kind) {
    let fixture = Fixture::new(kind).await;
    let space = fixture.limited("a", Quotas { storage_keys: 90, ..Quotas::default() });
    for n in 0..40 {
        space.put_text(&format!("ended-{n}"), "1", Some(1.0)).await.unwrap();
        space.put_text(&format!("k{n}"), "\"replaced\"", Some(1.0 + f64::from(n % 2))).await.unwrap();
    }
    fixture.clock.advance(1000);
    let small = (0..80).map(|n| space.set(format!("k{n}"), n.to_string(), (n % 3 == 0).then_some(9.0)));
    let again = (0..80).map(|n| space.set(format!("k{n}"), n.to_string(), None));
    let large = (0..2).map(|n| space.set(format!("large-{n}"), format!("\"{}\"", "x".repeat(20_000)), None));
    let b = fixture.space("b");
    let (all, other) = tokio::join!(
        futures_util::future::join_all(small.chain(again).chain(large)),
        b.set("k1".into(), "\"b\"".into(), None)
    );
    assert!(all.iter().all(Result::is_ok) && other.is_ok(), "{all:?}");
    assert_eq!(fixture.usage("a").await.items, 82);
    for n in 0..80 {
        assert_eq!(space.text(&format!("k{n}")).await, Some(n.to_string()));
    }
    assert_eq!(b.text("k1").await.as_deref(), Some("\"b\""));

    let more = (0..40).map(|n| space.set(format!("more-{n}"), "1".into(), None));
    let written = futures_util::future::join_all(more).await;
    assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 8);
    let refused = written.into_iter().find_map(Result::err).unwrap();
    assert!(refused.message.contains("quotas.storage_keys"), "{refused:?}");
    assert_eq!(fixture.usage("a").await.items, 90);
}

async fn what_was_answered_is_there_after_opening_again(kind: Kind) {
    let database = Lasting::new(kind).await;
    let limits = Arc::new(Limits::default());
    {
        let store = database.open().await;
        Process::new(store).space(account("a"), limits.clone()).put_text("k", "1", None).await.unwrap();
    }
    let store = database.open().await;
    assert_eq!(Process::new(store).space(account("a"), limits).text("k").await.as_deref(), Some("1"));
}

/// Each host has a pool of its own, and they agree all the same.
async fn hosts_that_share_a_database_write_by_turns(kind: Kind) {
    let database = Lasting::new(kind).await;
    let mut spaces = Vec::new();
    for _ in 0..3 {
        let process = Process::new(database.open().await);
        spaces.extend(["a", "b", "c"].map(|tenant| process.space(account(tenant), Arc::new(Limits::default()))));
    }
    let increments = (0..180).map(|n| spaces[n % 9].increment("n".into(), 1.0, None));
    futures_util::future::try_join_all(increments).await.unwrap();
    for space in spaces {
        assert_eq!(space.text("n").await.as_deref(), Some("60"));
    }
}

on_both_databases!(
    a_value_is_there_until_it_is_deleted,
    tenants_do_not_see_each_other,
    an_expired_value_is_not_there_for_any_function,
    a_time_to_live_is_within_bounds,
    setting_again_replaces_the_time_to_live_and_adding_keeps_it,
    what_is_not_json_is_refused,
    a_list_has_the_keys_of_the_prefix_in_byte_order,
    pages_follow_each_other_without_gaps,
    a_page_of_large_values_ends_early,
    only_numbers_are_added_to,
    comparing_decides_about_setting,
    a_tenant_stays_within_its_quotas,
    lowered_quotas_still_let_a_tenant_write_less,
    expired_values_take_no_room_from_new_ones,
    sweeping_removes_what_has_expired_and_nothing_else,
    concurrent_writes_do_not_pass_a_limit_together,
    values_that_are_written_at_once_are_each_as_if_alone,
    concurrent_writes_lose_nothing,
    what_was_answered_is_there_after_opening_again,
    hosts_that_share_a_database_write_by_turns,
);

/// Not a check but a measurement: `tests/with-postgres cargo test --release storage_speed -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn storage_speed() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        println!("{kind:?}");
        measure(Lasting::new(kind).await).await;
    }
}

async fn measure(database: Lasting) {
    let process = Process::new(database.open().await);
    let value = format!("\"{}\"", "x".repeat(100));
    for (lanes, tenants) in [(1, 1), (32, 1), (32, 32)] {
        for verb in ["set", "get"] {
            let began = std::time::Instant::now();
            let lane = |lane: usize| {
                let space = process.space(account(&format!("t{}", lane % tenants)), Arc::new(Limits::default()));
                let value = &value;
                async move {
                    for n in 0..3200 / lanes {
                        let key = format!("k{lane}-{n}");
                        match verb {
                            "set" => space.put_text(&key, value, Some(60.0)).await.unwrap(),
                            _ => drop(space.text(&key).await.unwrap()),
                        }
                    }
                }
            };
            futures_util::future::join_all((0..lanes).map(lane)).await;
            let rate = 3200.0 / began.elapsed().as_secs_f64();
            println!("{verb}, {lanes} at once of {tenants} tenants: {rate:.0} a second");
        }
    }
}
