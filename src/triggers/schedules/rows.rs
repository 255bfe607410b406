//! The queries of the tables that hold schedules and their ticks.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use sqlx::FromRow;

use super::policy::{Fate, Reason};
use super::state::State;
use crate::queue::NewJob;
use crate::store::clock::Millis;
use crate::store::{Connection, Kind, Statements};

#[derive(FromRow)]
struct StateRow {
    cron: String,
    enabled: i64,
    paused: i64,
    settled_to: Millis,
    next_at: Option<Millis>,
}

impl StateRow {
    fn read(self) -> sqlx::Result<State> {
        let StateRow { cron, enabled, paused, settled_to, next_at } = self;
        let cron = serde_json::from_str(&cron).map_err(|reason| sqlx::Error::Decode(reason.into()))?;
        Ok(State { cron, enabled: enabled != 0, paused: paused != 0, settled_to, next_at })
    }
}

/// Where a schedule stands.
pub async fn state(connection: &mut Connection, tenant: &str, script: &str) -> sqlx::Result<Option<State>> {
    let row: Option<StateRow> = sqlx::query_as(
        "SELECT cron, enabled, paused, settled_to, next_at FROM schedules WHERE tenant = $1 AND script = $2",
    )
    .bind(tenant)
    .bind(script)
    .fetch_optional(connection)
    .await?;
    row.map(StateRow::read).transpose()
}

/// Writes where a schedule stands. `is_stored` says whether its script is in this
/// database.
pub async fn put(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    is_stored: bool,
    state: &State,
) -> sqlx::Result<()> {
    let cron = serde_json::to_string(&state.cron).map_err(|reason| sqlx::Error::Encode(reason.into()))?;
    sqlx::query(
        "INSERT INTO schedules (tenant, script, stored, cron, enabled, paused, settled_to, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant, script) DO UPDATE SET stored = excluded.stored, cron = excluded.cron,
         enabled = excluded.enabled, paused = excluded.paused, settled_to = excluded.settled_to,
         next_at = excluded.next_at",
    )
    .bind(tenant)
    .bind(script)
    .bind(i64::from(is_stored))
    .bind(cron)
    .bind(i64::from(state.enabled))
    .bind(i64::from(state.paused))
    .bind(state.settled_to)
    .bind(state.next_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that a schedule rests, or rests no more.
pub async fn rest(connection: &mut Connection, tenant: &str, script: &str, state: &State) -> sqlx::Result<()> {
    sqlx::query("UPDATE schedules SET paused = $3, settled_to = $4, next_at = $5 WHERE tenant = $1 AND script = $2")
        .bind(tenant)
        .bind(script)
        .bind(i64::from(state.paused))
        .bind(state.settled_to)
        .bind(state.next_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes a schedule with its ticks.
pub async fn delete(connection: &mut Connection, tenant: &str, script: &str) -> sqlx::Result<()> {
    for query in [
        "DELETE FROM ticks WHERE tenant = $1 AND script = $2",
        "DELETE FROM schedules WHERE tenant = $1 AND script = $2",
    ] {
        sqlx::query(query).bind(tenant).bind(script).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The schedules of the settings' scripts, by tenant and script.
pub async fn of_settings(connection: &mut Connection) -> sqlx::Result<HashMap<String, HashMap<String, State>>> {
    #[derive(FromRow)]
    struct Row {
        tenant: String,
        script: String,
        #[sqlx(flatten)]
        state: StateRow,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT tenant, script, cron, enabled, paused, settled_to, next_at FROM schedules WHERE stored = 0",
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<String, HashMap<String, State>> = HashMap::new();
    for Row { tenant, script, state } in rows {
        found.entry(tenant).or_default().insert(script, state.read()?);
    }
    Ok(found)
}

/// Tenants with the times of ticks up to some time, the first ones first.
pub async fn upcoming(connection: &mut Connection, to: Millis, most: i64) -> sqlx::Result<Vec<(String, Millis)>> {
    sqlx::query_as("SELECT tenant, next_at FROM schedules WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
        .bind(to)
        .bind(most)
        .fetch_all(connection)
        .await
}

/// A schedule whose next tick has come.
pub struct Due {
    pub tenant: String,
    pub script: String,
    pub state: State,
    /// Runs that are not done.
    pub undone: usize,
}

static DUE: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|tenants, kind| {
        format!(
            "SELECT tenant, script, cron, enabled, paused, settled_to, next_at,
             (SELECT COUNT(*) FROM jobs j WHERE j.tenant = s.tenant AND j.script = s.script
              AND j.triggered_by = 'cron' AND j.state <> 'dead') AS undone
             FROM schedules s WHERE tenant IN ({}) AND next_at <= {} ORDER BY next_at, tenant, script LIMIT {}",
            kind.list(1..tenants + 1),
            kind.place(tenants + 1),
            kind.place(tenants + 2)
        )
    })
});

/// Those of some tenants, of which there are one and no more than `statements::MOST`.
pub async fn due(connection: &mut Connection, tenants: &[String], now: Millis, most: i64) -> sqlx::Result<Vec<Due>> {
    #[derive(FromRow)]
    struct Row {
        tenant: String,
        script: String,
        #[sqlx(flatten)]
        state: StateRow,
        undone: i64,
    }
    let (sql, size) = DUE.for_all(Kind::of(connection), tenants.len());
    // Named twice, a tenant is found once.
    let query = tenants.iter().cycle().take(size).fold(sqlx::query_as(sql), |query, tenant| query.bind(tenant));
    let rows: Vec<Row> = query.bind(now).bind(most).fetch_all(connection).await?;
    let read = |row: Row| {
        let Row { tenant, script, state, undone } = row;
        Ok(Due { tenant, script, state: state.read()?, undone: undone.max(0) as usize })
    };
    rows.into_iter().map(read).collect()
}

/// The schedules that are settled to later than some time.
pub async fn settled_beyond(connection: &mut Connection, time: Millis) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT tenant, script FROM schedules WHERE settled_to > $1 ORDER BY tenant, script")
        .bind(time)
        .fetch_all(connection)
        .await
}

/// A tick that is settled.
#[derive(Debug)]
pub struct Tick {
    pub tenant: String,
    pub script: String,
    pub tick: Millis,
    pub fate: Fate,
    /// What runs for it.
    pub job: Option<NewJob>,
}

static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO ticks (tenant, script, tick, fate, reason, job, settled_at) VALUES {}
             ON CONFLICT (tenant, script, tick) DO NOTHING RETURNING tenant, script, tick",
            kind.rows(1, rows, 7)
        )
    })
});

static UPDATES: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        // Columns of VALUES have these names on both databases.
        format!(
            "UPDATE schedules SET settled_to = v.column3, next_at = v.column4 FROM (VALUES {}) AS v
             WHERE schedules.tenant = v.column1 AND schedules.script = v.column2",
            kind.rows(1, rows, 4)
        )
    })
});

/// Writes ticks, and leaves only those that nobody had settled yet.
pub async fn insert_ticks(connection: &mut Connection, now: Millis, ticks: &mut Vec<Tick>) -> sqlx::Result<()> {
    let mut new: HashSet<(String, String, Millis)> = HashSet::with_capacity(ticks.len());
    for (sql, some) in INSERTS.split(Kind::of(connection), ticks) {
        let query = some.iter().fold(sqlx::query_as(sql), |query, tick| {
            let job = tick.job.as_ref().and_then(|job| job.id.as_ref());
            let query = query.bind(&tick.tenant).bind(&tick.script).bind(tick.tick).bind(tick.fate.name());
            query.bind(tick.fate.reason().map(Reason::name)).bind(job).bind(now)
        });
        new.extend(query.fetch_all(&mut *connection).await?);
    }
    ticks.retain(|tick| new.remove(&(tick.tenant.clone(), tick.script.clone(), tick.tick)));
    Ok(())
}

/// How far a schedule is settled.
pub struct Advance {
    pub tenant: String,
    pub script: String,
    pub state: State,
}

/// Writes how far schedules are settled, and their next ticks.
pub async fn advance(connection: &mut Connection, advances: &[Advance]) -> sqlx::Result<()> {
    for (sql, some) in UPDATES.split(Kind::of(connection), advances) {
        let query = some.iter().fold(sqlx::query(sql), |query, Advance { tenant, script, state }| {
            query.bind(tenant).bind(script).bind(state.settled_to).bind(state.next_at)
        });
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Deletes the ticks of a schedule but the latest, and those before a time.
pub async fn sweep(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    before: Millis,
    most: i64,
) -> sqlx::Result<u64> {
    let swept = sqlx::query(
        "DELETE FROM ticks WHERE tenant = $1 AND script = $2 AND (tick < $3 OR tick <= (
             SELECT tick FROM ticks WHERE tenant = $1 AND script = $2 ORDER BY tick DESC LIMIT 1 OFFSET $4))",
    )
    .bind(tenant)
    .bind(script)
    .bind(before)
    .bind(most)
    .execute(connection)
    .await?;
    Ok(swept.rows_affected())
}

/// All schedules after a given one, in the order of their keys.
pub async fn keys(
    connection: &mut Connection,
    after: &(String, String),
    most: i64,
) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "SELECT tenant, script FROM schedules WHERE tenant > $1 OR (tenant = $1 AND script > $2)
         ORDER BY tenant, script LIMIT $3",
    )
    .bind(&after.0)
    .bind(&after.1)
    .bind(most)
    .fetch_all(connection)
    .await
}
