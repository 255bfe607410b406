//! Jobs of which the database refuses what is to be written. They must not keep
//! others waiting, nor be forgotten.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::json;

use super::State;
use super::finish::{Done, Finished};
use super::lease::{Orphan, record_lost, release, take};
use super::workers::Crew;
use crate::pause::Pause;
use crate::store::clock::Millis;
use crate::store::{Connection, is_refusal};

/// How often one job is tried to be finished by itself.
const TRIES: u32 = 3;

impl Crew {
    /// Writes what came of attempts, however long the database is away. What it
    /// refuses is set aside.
    pub(super) async fn finish_each(&self, done: Vec<Arc<Done>>) {
        let mut parts = VecDeque::from([(done, 0)]);
        let mut pause = Pause::default();
        while let Some((mut part, tries)) = parts.pop_front() {
            match self.finish_part(part.clone()).await {
                Ok(finished) => {
                    self.note(Ok(()));
                    self.report(&part, &finished);
                }
                Err(reason) if !is_refusal(&reason) => {
                    self.note(Err(&reason));
                    parts.push_front((part, tries));
                    tokio::time::sleep(pause.next()).await;
                }
                // It is one of them, which the others do not wait for.
                Err(_) if part.len() > 1 => {
                    let other = part.split_off(part.len() / 2);
                    parts.extend([(part, 0), (other, 0)]);
                }
                Err(_) if tries + 1 < TRIES => {
                    if parts.is_empty() {
                        tokio::time::sleep(pause.next()).await;
                    }
                    parts.push_back((part, tries + 1));
                }
                Err(reason) => {
                    for done in part {
                        self.set_aside(Orphan::of(&done.job, self.store.now()), &reason).await;
                    }
                }
            }
        }
    }

    /// Makes a dead letter of a job, with no more of its attempt on record than
    /// the database takes.
    pub(super) async fn set_aside(&self, orphan: Orphan, reason: &sqlx::Error) {
        tracing::error!(
            %reason,
            job = orphan.id,
            tenant_id = orphan.tenant,
            script = orphan.script,
            attempt = orphan.attempt,
            "the host's database refuses what came of a job; it is a dead letter"
        );
        let mut pause = Pause::default();
        let mut on_record = true;
        loop {
            let (now, name, of) = (self.store.now(), self.name_of(&orphan), orphan.clone());
            let (events, told) = (self.host.process().events.clone(), orphan.told());
            let done = self.store.write(&orphan.tenant, move |connection| {
                Box::pin(async move {
                    let tenant = of.tenant.clone();
                    let was_ours = give_up(&mut *connection, now, &of).await?;
                    if was_ours && on_record {
                        record_lost(&mut *connection, now, of, name).await?;
                        events.tell(connection, &tenant, told).await?;
                    }
                    Ok::<_, sqlx::Error>(was_ours)
                })
            });
            match done.await {
                Ok(was_ours) => {
                    if was_ours {
                        let metrics = &self.host.process().metrics;
                        metrics.attempted("set_aside");
                        metrics.died(1);
                    }
                    return;
                }
                Err(refusal) if is_refusal(&refusal) && on_record => on_record = false,
                Err(refusal) if is_refusal(&refusal) => {
                    // It stays this host's until its lease ends, and others look at it again.
                    tracing::error!(reason = %refusal, job = orphan.id, "nor can it be made one");
                    return;
                }
                Err(failure) => {
                    self.note(Err(&failure));
                    tokio::time::sleep(pause.next()).await;
                }
            }
        }
    }

    /// Says what became of jobs.
    fn report(&self, done: &[Arc<Done>], finished: &Finished) {
        let metrics = &self.host.process().metrics;
        metrics.died(finished.dead.len());
        for Done { job, end } in done.iter().map(|done| &**done) {
            metrics.attempted(end.name());
            let (id, tenant_id) = (&job.id, &job.tenant);
            if finished.dead.contains(&job.number) {
                tracing::warn!(job = id, tenant_id, "a job has failed for good; it is a dead letter");
            }
            if finished.taken.contains(&job.number) {
                tracing::warn!(job = id, tenant_id, "this host counted as dead; its attempt is lost");
            }
        }
    }
}

/// Answers whether it was still the host's that had it.
async fn give_up(connection: &mut Connection, now: Millis, orphan: &Orphan) -> sqlx::Result<bool> {
    let message = "the host's database refused what came of it; the host's log has the reason";
    let error = json!({ "name": "InternalError", "message": message });
    let was_its = take(connection, now, orphan, State::Dead, &error.to_string()).await?;
    if was_its {
        release(connection, now, orphan).await?;
    }
    Ok(was_its)
}
