use super::*;
use crate::store::clock::{Clock, Millis};
use crate::store::fixture::on_both_databases;
use crate::store::usage::Usage;
use crate::store::{Kind, Store};

const NOW: Millis = 1_700_000_000_000;

struct Scene {
    store: Store,
    clock: Clock,
}

impl Scene {
    async fn new(kind: Kind) -> Scene {
        let clock = Clock::manual(NOW);
        Scene { store: Store::fresh(kind).await.with_clock(clock.clone()), clock }
    }

    async fn insert(&self, tenant: &str, jobs: Vec<NewJob>) -> Inserted {
        let (owner, now) = (tenant.to_owned(), self.clock.now());
        let inserted: sqlx::Result<Inserted> = self
            .store
            .write(tenant, move |connection| Box::pin(async move { insert(connection, &owner, now, &jobs).await }))
            .await;
        inserted.unwrap()
    }

    /// The states of a tenant's jobs, in the order of their inputs.
    async fn states(&self, tenant: &str) -> Vec<String> {
        let tenant = tenant.to_owned();
        let states: sqlx::Result<Vec<String>> = self
            .store
            .read(move |connection| {
                Box::pin(async move {
                    sqlx::query_scalar("SELECT state FROM jobs WHERE tenant = $1 ORDER BY input")
                        .bind(tenant)
                        .fetch_all(connection)
                        .await
                })
            })
            .await;
        states.unwrap()
    }
}

fn job(input: usize) -> NewJob {
    NewJob { input: Some(input.to_string()), ..NewJob::new("script-1", Trigger::Api) }
}

async fn jobs_are_kept_in_the_state_that_is_theirs(kind: Kind) {
    let scene = Scene::new(kind).await;
    let ordered = |input| NewJob { order_key: Some("key".into()), ..job(input) };
    let other = NewJob { script: "script-2".into(), ..ordered(5) };
    let delayed = NewJob { run_at: Some(NOW + 1), ..job(2) };
    let late = NewJob { run_at: Some(NOW + 1), order_key: Some("late".into()), ..job(6) };
    let behind = NewJob { order_key: Some("late".into()), ..job(7) };
    let past = NewJob { run_at: Some(NOW - 1), ..job(8) };
    let jobs = vec![job(1), delayed, ordered(3), ordered(4), other, late, behind, past];
    let inserted = scene.insert("a", jobs).await;
    assert_eq!(inserted.used.items, 8);
    let states = scene.states("a").await;
    let expected =
        ["waiting", "delayed", "waiting", "blocked", "waiting", "delayed", "blocked", "waiting"].map(str::to_owned);
    assert_eq!(states, expected);
    assert!(scene.states("b").await.is_empty());
}

async fn many_jobs_are_one_insert(kind: Kind) {
    let scene = Scene::new(kind).await;
    let inserted = scene.insert("a", (0..75).map(job).collect()).await;
    assert!(inserted.jobs.iter().all(|kept| kept.is_new));
    assert_eq!(inserted.used.items, 75);
    assert_eq!(scene.states("a").await.len(), 75);
    assert_eq!(scene.insert("a", Vec::new()).await.used, inserted.used);
}

async fn a_job_is_not_queued_twice(kind: Kind) {
    let scene = Scene::new(kind).await;
    let keyed = |input| NewJob { dedup_key: Some("key".into()), ..job(input) };
    let named = |input| NewJob { id: Some("id".into()), ..job(input) };
    let first = scene.insert("a", vec![keyed(1), named(2), keyed(3), named(4), job(5)]).await;
    let id = |n: usize| first.jobs[n].id.clone();
    let kept = |n: usize, is_new| Kept { id: id(n), is_new };
    assert_eq!(first.jobs, [kept(0, true), kept(1, true), kept(0, false), kept(1, false), kept(4, true)]);
    assert_eq!(id(1), "id");
    let again = scene.insert("a", vec![keyed(6), named(7)]).await;
    assert_eq!(again.jobs, [kept(0, false), kept(1, false)]);
    assert_eq!(again.used, first.used);
    assert!(scene.insert("b", vec![keyed(1), named(2)]).await.jobs.iter().all(|kept| kept.is_new), "a tenant's own");
}

async fn what_is_not_committed_is_not_queued(kind: Kind) {
    let scene = Scene::new(kind).await;
    let done: sqlx::Result<Usage> = scene
        .store
        .write("a", move |connection| {
            Box::pin(async move {
                insert(connection, "a", NOW, &[job(1)]).await?;
                Err(sqlx::Error::RowNotFound)
            })
        })
        .await;
    assert!(done.is_err());
    assert!(scene.states("a").await.is_empty());
}

on_both_databases!(
    jobs_are_kept_in_the_state_that_is_theirs,
    many_jobs_are_one_insert,
    a_job_is_not_queued_twice,
    what_is_not_committed_is_not_queued,
);
