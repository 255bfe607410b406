//! What a tenant takes up in a table.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::LazyLock;

use super::{Connection, Kind, Statements, Store};

/// Tenants that are looked up at once.
const AT_ONCE: i64 = 1_000;

/// The tables that are accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Storage,
    Outbox,
    Emails,
    /// Scripts, with the bytes of all their versions.
    Scripts,
    Executions,
    /// What scripts are to do, dead letters included.
    Jobs,
    /// Webhooks that were let in and are remembered.
    Webhooks,
    /// Requests with an Idempotency-Key, with their answers.
    Requests,
}

impl Room {
    fn name(self) -> &'static str {
        match self {
            Room::Storage => "storage",
            Room::Outbox => "outbox",
            Room::Emails => "emails",
            Room::Scripts => "scripts",
            Room::Executions => "executions",
            Room::Jobs => "jobs",
            Room::Webhooks => "webhooks",
            Room::Requests => "requests",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub items: i64,
    /// Bytes of the tenant's own data, without the database's overhead.
    pub bytes: i64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Usage) {
        *self = Usage { items: self.items + more.items, bytes: self.bytes + more.bytes };
    }
}

/// Adds a difference and answers the sum. Belongs into the transaction that
/// makes the difference.
pub async fn add(connection: &mut Connection, tenant: &str, room: Room, difference: Usage) -> sqlx::Result<Usage> {
    let (items, bytes) = sqlx::query_as(
        "INSERT INTO usage (tenant, room, items, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, room) DO UPDATE
         SET items = usage.items + excluded.items, bytes = usage.bytes + excluded.bytes
         RETURNING items, bytes",
    )
    .bind(tenant)
    .bind(room.name())
    .bind(difference.items)
    .bind(difference.bytes)
    .fetch_one(connection)
    .await?;
    Ok(Usage { items, bytes })
}

/// Takes off what was deleted, of which each had so many bytes. Answers what is left.
pub async fn give_back(connection: &mut Connection, tenant: &str, room: Room, gone: &[i64]) -> sqlx::Result<Usage> {
    let less = Usage { items: -(gone.len() as i64), bytes: -gone.iter().sum::<i64>() };
    add(connection, tenant, room, less).await
}

static ADDITIONS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|tenants, kind| {
        format!(
            "INSERT INTO usage (tenant, room, items, bytes) VALUES {}
             ON CONFLICT (tenant, room) DO UPDATE
             SET items = usage.items + excluded.items, bytes = usage.bytes + excluded.bytes
             RETURNING tenant, items, bytes",
            kind.rows(1, tenants, 4)
        )
    })
});

/// Adds a difference for each of some tenants, and answers the sums.
pub async fn add_for_all(
    connection: &mut Connection,
    room: Room,
    differences: &BTreeMap<&str, Usage>,
) -> sqlx::Result<HashMap<String, Usage>> {
    let differences: Vec<_> = differences.iter().collect();
    let mut sums = HashMap::with_capacity(differences.len());
    for (sql, some) in ADDITIONS.split(Kind::of(connection), &differences) {
        let add = some.iter().fold(sqlx::query_as(sql), |add, (tenant, difference)| {
            add.bind(**tenant).bind(room.name()).bind(difference.items).bind(difference.bytes)
        });
        sums.extend(add.fetch_all(&mut *connection).await?.into_iter().map(of_row));
    }
    Ok(sums)
}

fn of_row((tenant, items, bytes): (String, i64, i64)) -> (String, Usage) {
    (tenant, Usage { items, bytes })
}

/// Adds to two rooms with one statement. Answers the sums in that order.
pub async fn add_both(
    connection: &mut Connection,
    tenant: &str,
    [(one, first), (other, second)]: [(Room, Usage); 2],
) -> sqlx::Result<[Usage; 2]> {
    let sums: Vec<(String, i64, i64)> = sqlx::query_as(
        "INSERT INTO usage (tenant, room, items, bytes) VALUES ($1, $2, $3, $4), ($1, $5, $6, $7)
         ON CONFLICT (tenant, room) DO UPDATE
         SET items = usage.items + excluded.items, bytes = usage.bytes + excluded.bytes
         RETURNING room, items, bytes",
    )
    .bind(tenant)
    .bind(one.name())
    .bind(first.items)
    .bind(first.bytes)
    .bind(other.name())
    .bind(second.items)
    .bind(second.bytes)
    .fetch_all(connection)
    .await?;
    // In no order that the database promises.
    let sum = |room: Room| {
        let found = sums.iter().find(|(name, ..)| name == room.name());
        found.map(|(_, items, bytes)| Usage { items: *items, bytes: *bytes }).unwrap_or_default()
    };
    Ok([sum(one), sum(other)])
}

/// What a tenant takes up now.
pub async fn of(connection: &mut Connection, tenant: &str, room: Room) -> sqlx::Result<Usage> {
    let row = sqlx::query_as("SELECT items, bytes FROM usage WHERE tenant = $1 AND room = $2")
        .bind(tenant)
        .bind(room.name())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(items, bytes)| Usage { items, bytes }).unwrap_or_default())
}

static LOOKS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|tenants, kind| {
        let (room, tenants) = (kind.place(1), kind.list(2..tenants + 2));
        format!("SELECT tenant, items, bytes FROM usage WHERE room = {room} AND tenant IN ({tenants})")
    })
});

/// What tenants take up now, by tenant.
pub async fn of_all(
    connection: &mut Connection,
    tenants: &[String],
    room: Room,
) -> sqlx::Result<HashMap<String, Usage>> {
    let mut found = HashMap::with_capacity(tenants.len());
    for (sql, some) in LOOKS.split(Kind::of(connection), tenants) {
        let look = some.iter().fold(sqlx::query_as(sql).bind(room.name()), |look, tenant| look.bind(tenant));
        found.extend(look.fetch_all(&mut *connection).await?.into_iter().map(of_row));
    }
    Ok(found)
}

/// The tenants that have something in a room, in the order of their ids.
pub struct Tenants {
    room: Room,
    /// The last that was looked up.
    last: String,
    found: std::vec::IntoIter<String>,
}

impl Tenants {
    pub fn of(room: Room) -> Tenants {
        Tenants { room, last: String::new(), found: Vec::new().into_iter() }
    }

    /// None after the last.
    pub async fn next(&mut self, store: &Store) -> sqlx::Result<Option<String>> {
        if self.found.as_slice().is_empty() {
            let (room, last) = (self.room, std::mem::take(&mut self.last));
            let found: sqlx::Result<Vec<String>> = store
                .read(move |connection| {
                    Box::pin(async move {
                        sqlx::query_scalar(
                            "SELECT tenant FROM usage WHERE tenant > $1 AND room = $2 AND items > 0
                             ORDER BY tenant LIMIT $3",
                        )
                        .bind(last)
                        .bind(room.name())
                        .bind(AT_ONCE)
                        .fetch_all(connection)
                        .await
                    })
                })
                .await;
            let found = found?;
            self.last = found.last().cloned().unwrap_or_default();
            self.found = found.into_iter();
        }
        Ok(self.found.next())
    }
}
