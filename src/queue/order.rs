//! Jobs of a script with the same order key run one after the other.
//!
//! One of them waits, runs or is delayed, and those behind it are blocked. Who
//! takes it out of the way lets the next one go, in the same transaction.

use super::State;
use crate::store::clock::Millis;
use crate::store::{Connection, Kind};

/// Whether a job that is inserted now is behind another one.
///
/// On PostgreSQL the one before it is held until this commits. Whoever ends that
/// one waits, and then sees whom to let go.
pub async fn is_behind(connection: &mut Connection, tenant: &str, script: &str, key: &str) -> sqlx::Result<bool> {
    let sql = format!(
        "SELECT number FROM jobs WHERE tenant = $1 AND script = $2 AND order_key = $3 AND state <> 'dead'
         ORDER BY number DESC LIMIT 1{}",
        Kind::of(connection).share()
    );
    let before: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(tenant)
        .bind(script)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(before.is_some())
}

/// Lets the next one go, where nothing is before it.
pub async fn release(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    key: &str,
    now: Millis,
) -> sqlx::Result<()> {
    let next: Option<(i64, String, Millis)> = sqlx::query_as(
        "SELECT number, state, run_at FROM jobs
         WHERE tenant = $1 AND script = $2 AND order_key = $3 AND state <> 'dead'
         ORDER BY CASE WHEN state = 'blocked' THEN 1 ELSE 0 END, number LIMIT 1",
    )
    .bind(tenant)
    .bind(script)
    .bind(key)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some((number, state, run_at)) = next
        && state == State::Blocked.name()
    {
        sqlx::query("UPDATE jobs SET state = $2, changed_at = $3 WHERE number = $1 AND state = 'blocked'")
            .bind(number)
            .bind(State::at(run_at, now).name())
            .bind(now)
            .execute(connection)
            .await?;
    }
    Ok(())
}
