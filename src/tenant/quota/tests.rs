use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::store::clock::Clock;

fn ledger(quotas: Quotas) -> (Ledger, Clock) {
    let clock = Clock::manual(1_000_000);
    (Ledger::new(quotas, HashMap::new(), clock.clone()), clock)
}

fn account(quotas: Quotas) -> (Arc<Account>, Clock) {
    let (ledger, clock) = ledger(quotas);
    (ledger.account("a"), clock)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Exceeded>) -> (Quota, u64, u64, Duration) {
    let Exceeded { quota, value, used, retry_after } = result.unwrap_err();
    (quota, value, used, retry_after)
}

const EVENTS: Quota = Quota::EventsPerMinute;

#[test]
fn a_minutes_worth_may_be_used_at_once_and_flows_back_evenly() {
    let (account, clock) = account(Quotas { events_per_minute: 60, ..Quotas::default() });
    for _ in 0..60 {
        account.take(EVENTS, 1).unwrap();
    }
    let second = Duration::from_secs(1);
    assert_eq!(refused(account.take(EVENTS, 1)), (EVENTS, 60, 61, second));
    clock.advance(999);
    assert_eq!(refused(account.take(EVENTS, 1)).3, second, "never less than a second");
    clock.advance(1);
    account.take(EVENTS, 1).unwrap();
    account.take(EVENTS, 1).unwrap_err();
    clock.advance(3_600_000);
    assert_eq!(account.left(EVENTS), Some(60), "an idle hour saves up no more than a minute");
    assert_eq!(refused(account.take(EVENTS, 90)), (EVENTS, 60, 90, Duration::from_secs(30)));
    assert_eq!(account.left(EVENTS), Some(60), "a refusal uses nothing");
}

#[test]
fn what_was_used_already_is_charged_beyond_the_quota() {
    let (account, clock) = account(Quotas { fuel_per_minute: 600, ..Quotas::default() });
    let fuel = Quota::FuelPerMinute;
    drop(account.admit().unwrap());
    account.charge(fuel, 590);
    assert_eq!(account.left(fuel), Some(10));
    drop(account.admit().unwrap());
    account.charge(fuel, 610);
    assert_eq!(account.left(fuel), Some(0));
    assert_eq!(refused(account.admit()), (fuel, 600, 1200, Duration::from_secs(60)));
    clock.advance(59_999);
    account.admit().unwrap_err();
    // A whole unit has to be left, not a part of one.
    clock.advance(101);
    drop(account.admit().unwrap());
}

#[test]
fn a_quota_per_minute_of_0_is_no_limit_and_others_of_0_are_nothing() {
    let quotas =
        Quotas { storage_keys: 0, events_per_minute: 0, fuel_per_minute: 0, calls_per_minute: 0, ..Quotas::default() };
    let (account, _) = account(quotas);
    account.take(EVENTS, u64::MAX).unwrap();
    account.charge(Quota::FuelPerMinute, u64::MAX);
    assert_eq!(account.left(Quota::FuelPerMinute), None);
    drop(account.admit().unwrap());
    account.check(Quota::StorageKeys, 1).unwrap_err();
}

#[test]
fn numbers_beyond_all_measure_neither_overflow_nor_pass() {
    for value in [1, 7, u64::MAX] {
        let (account, clock) = account(Quotas { fuel_per_minute: value, ..Quotas::default() });
        for _ in 0..3 {
            account.charge(Quota::FuelPerMinute, u64::MAX);
        }
        clock.advance(1000);
        assert_eq!(account.left(Quota::FuelPerMinute), Some(0), "{value}");
        let (_, _, used, wait) = refused(account.admit());
        assert!(used >= value && wait >= Duration::from_secs(1), "{value}: {used} {wait:?}");
    }
}

#[test]
fn calls_are_refused_once_enough_run_and_wait() {
    let (account, _) = account(Quotas { concurrent_calls: 2, waiting_calls: 1, ..Quotas::default() });
    let mut admitted: Vec<Admission> = (0..3).map(|_| account.admit().unwrap()).collect();
    assert_eq!(refused(account.admit()), (Quota::WaitingCalls, 1, 2, Duration::from_secs(1)));
    admitted.pop();
    admitted.push(account.admit().unwrap());
    account.admit().unwrap_err();
    drop(admitted);
    account.admit().unwrap();
}

#[test]
fn a_refused_call_does_not_count_as_one() {
    let (account, clock) =
        account(Quotas { calls_per_minute: 6, concurrent_calls: 1, waiting_calls: 0, ..Quotas::default() });
    let running = account.admit().unwrap();
    for _ in 0..100 {
        assert_eq!(account.admit().unwrap_err().quota, Quota::WaitingCalls);
    }
    drop(running);
    for _ in 0..5 {
        drop(account.admit().unwrap());
    }
    assert_eq!(refused(account.admit()), (Quota::CallsPerMinute, 6, 7, Duration::from_secs(10)));
    clock.advance(10_000);
    drop(account.admit().unwrap());
}

#[test]
fn threads_together_take_no_more_than_there_is() {
    let (account, _) = account(Quotas { events_per_minute: 1000, ..Quotas::default() });
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| account.take(EVENTS, 1).is_ok()).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 1000);
}

#[test]
fn one_tenants_use_is_none_of_anothers() {
    let (ledger, _) = ledger(Quotas { events_per_minute: 1, ..Quotas::default() });
    ledger.account("a").take(EVENTS, 1).unwrap();
    ledger.account("a").take(EVENTS, 1).unwrap_err();
    ledger.account("b").take(EVENTS, 1).unwrap();
}

#[test]
fn a_tenant_may_have_quotas_of_its_own() {
    let own = HashMap::from([("large".to_owned(), Quotas { storage_keys: 10, ..Quotas::default() })]);
    let defaults = Quotas { storage_keys: 1, ..Quotas::default() };
    let ledger = Ledger::new(defaults, own, Clock::manual(0));
    let (large, small) = (ledger.account("large"), ledger.account("small"));
    assert_eq!((large.get(Quota::StorageKeys), small.get(Quota::StorageKeys)), (10, 1));
    ledger.set("small", Quotas { storage_keys: 5, ..Quotas::default() });
    assert_eq!(small.get(Quota::StorageKeys), 5, "in calls that are under way, too");
    assert_eq!(ledger.account("small").get(Quota::StorageKeys), 5);
}

#[test]
fn refusals_are_counted_by_tenant_and_quota() {
    let (ledger, _) = ledger(Quotas { events_per_minute: 1, storage_keys: 0, ..Quotas::default() });
    ledger.account("quiet").take(EVENTS, 1).unwrap();
    for tenant in ["b", "a"] {
        let account = ledger.account(tenant);
        for _ in 0..3 {
            let _ = account.take(EVENTS, 1);
        }
        account.check(Quota::StorageKeys, 1).unwrap_err();
    }
    let expected = ["a", "b"].map(|tenant| {
        [(EVENTS, 2), (Quota::StorageKeys, 1)].map(|(quota, count)| Refusal { tenant: tenant.into(), quota, count })
    });
    assert_eq!(ledger.refusals(), expected.concat());
}

#[test]
fn idle_accounts_are_forgotten_and_busy_ones_are_not() {
    let (ledger, clock) = ledger(Quotas { events_per_minute: 1, ..Quotas::default() });
    let held = ledger.account("held");
    let running = ledger.account("running").admit().unwrap();
    ledger.account("spent").take(EVENTS, 1).unwrap();
    for tenant in 0..10_000 {
        ledger.account(&format!("tenant {tenant}"));
    }
    assert!(ledger.accounts() < 2_000, "{} accounts", ledger.accounts());
    assert!(Arc::ptr_eq(&held, &ledger.account("held")));
    ledger.account("spent").take(EVENTS, 1).unwrap_err();
    drop(running);
    clock.advance(60_000);
    ledger.account("spent").take(EVENTS, 1).unwrap();
}

#[test]
fn errors_name_the_quota_its_value_what_was_used_and_the_setting() {
    for (quota, value, used, message) in [
        (
            Quota::HttpCallsPerMinute,
            50,
            51,
            "the quota of HTTP calls per minute is 50, and this tenant used 51; the setting quotas.http_calls_per_minute changes it",
        ),
        (
            Quota::StorageBytes,
            64 << 20,
            (64 << 20) + 1,
            "the quota of storage bytes is 67108864 bytes, and this tenant used 67108865 bytes; the setting quotas.storage_bytes changes it",
        ),
    ] {
        let exceeded = Exceeded { quota, value, used, retry_after: Duration::from_secs(1) };
        assert_eq!(exceeded.to_string(), message);
        let failure = Failure::from(exceeded);
        assert_eq!((failure.name.as_str(), failure.message.as_str()), ("LimitError", message));
        assert_eq!(failure.limit.unwrap(), quota.hit(value, used));
    }
}
