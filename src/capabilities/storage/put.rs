//! Writing values, so long as the tenant stays within its quotas.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use sqlx::Arguments;
use sqlx::any::AnyArguments;

use super::Space;
use super::sweep::{self, Met};
use crate::runtime::failure::Failure;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements, together};
use crate::tenant::quota::Quota;

/// Bytes of a key with its value that wait for others: many of them are to fit
/// into one statement.
const SMALL: usize = 16 << 10;

/// Values that wait for others.
pub type Together = together::Together<Arc<Put>, (), Failure>;

/// A value to write.
pub struct Put {
    pub key: String,
    /// JSON text.
    pub value: String,
    /// None: never.
    pub expires_at: Option<Millis>,
}

static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO storage (tenant, key, value, expires_at, bytes) VALUES {}
             ON CONFLICT (tenant, key) DO UPDATE SET
             value = excluded.value, expires_at = excluded.expires_at, bytes = excluded.bytes",
            kind.rows(1, rows, 5)
        )
    })
});

impl Put {
    /// What it takes up.
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

impl Space {
    /// Writes one, with others of the tenant's that are written at the same time,
    /// and answers once it is durable.
    pub(super) async fn write(&self, put: Put) -> Result<(), Failure> {
        let (put, space) = (Arc::new(put), self.clone());
        if put.bytes() > SMALL {
            let written = self
                .store
                .write(&self.tenant, move |connection| Box::pin(async move { space.put(connection, &[&put]).await }));
            return written.await;
        }
        let written = self.together.write(&self.store, &self.tenant, put, move |connection, puts| {
            let space = space.clone();
            Box::pin(async move {
                // Of a key, the last: it was to replace the others.
                let last: HashMap<&str, &Put> = puts.iter().map(|put| (put.key.as_str(), &**put)).collect();
                let last: Vec<&Put> = last.into_values().collect();
                space.put(connection, &last).await?;
                Ok(vec![(); puts.len()])
            })
        });
        written.await
    }

    /// Writes values of different keys, [`together::MOST`] at most, within a
    /// transaction.
    pub(super) async fn put(&self, connection: &mut Connection, puts: &[&Put]) -> Result<(), Failure> {
        let now = self.store.now();
        let keys: Vec<&str> = puts.iter().map(|put| put.key.as_str()).collect();
        let Met { replaced, expired } = sweep::look(connection, &self.tenant, &keys, now).await?;
        sweep::remove(connection, &self.tenant, expired).await?;
        let mut more = Usage::default();
        for put in puts {
            let before = replaced.get(&put.key);
            more.items += i64::from(before.is_none());
            more.bytes += put.bytes() as i64 - before.copied().unwrap_or_default();
        }

        let mut used = usage::add(connection, &self.tenant, Room::Storage, more).await?;
        while let Err(failure) = self.check(more, used) {
            // The key itself is written below, so sweeping it here would miscount.
            // Of many, each may be written by itself.
            let [key] = keys.as_slice() else { return Err(failure) };
            let freed = sweep::round(connection, &self.tenant, now, Some(key)).await?;
            if freed.items == 0 {
                return Err(failure);
            }
            used = usage::of(connection, &self.tenant, Room::Storage).await?;
        }

        for (sql, some) in INSERTS.split(Kind::of(connection), puts) {
            let mut values = AnyArguments::default();
            for put in some {
                let texts = [&*self.tenant, &put.key, &put.value];
                let added = texts.into_iter().try_for_each(|text| values.add(text.to_owned()));
                let added = added.and_then(|()| values.add(put.expires_at));
                added.and_then(|()| values.add(put.bytes() as i64)).map_err(sqlx::Error::Encode)?;
            }
            sqlx::query_with(sql, values).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Err where a write that adds `more` leaves the tenant beyond a quota. A
    /// tenant whose quotas were lowered may still write what takes no more room.
    fn check(&self, more: Usage, used: Usage) -> Result<(), Failure> {
        if more.items > 0 {
            self.account.check(Quota::StorageKeys, used.items.max(0) as u64)?;
        }
        if more.bytes > 0 {
            self.account.check(Quota::StorageBytes, used.bytes.max(0) as u64)?;
        }
        Ok(())
    }
}
