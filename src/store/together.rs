//! Doing with few statements what a tenant writes at the same time.
//!
//! Until the database takes a tenant's next write, whatever comes goes with it.
//! Alone, a write waits for nothing but that, and many cost little more than a few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::oneshot;

use super::{Connection, Store, statements};

/// Writes of one transaction: it holds up others.
pub const MOST: usize = 2 * statements::MOST;

/// By tenant, what waits for its turn to be written. Cheap to clone.
pub struct Together<T, W, E>(Arc<Mutex<Tenants<T, W, E>>>);

type Tenants<T, W, E> = HashMap<Arc<str>, Vec<Waiting<T, W, E>>>;

struct Waiting<T, W, E> {
    one: T,
    tell: oneshot::Sender<Result<W, E>>,
}

impl<T, W, E> Together<T, W, E>
where
    T: Clone + Send + 'static,
    W: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
{
    /// Writes one, with whatever else there is by then, and answers what came of it
    /// once that is durable. `insert` is given [`MOST`] at most, and answers for
    /// each in their order. Where it fails for many, it is tried for each by itself:
    /// who is refused is told why, and the others are not. Whoever drops this future
    /// before its turn writes nothing.
    pub async fn write<I>(&self, store: &Store, tenant: &Arc<str>, one: T, insert: I) -> Result<W, E>
    where
        I: for<'c> Fn(&'c mut Connection, Vec<T>) -> BoxFuture<'c, Result<Vec<W>, E>> + Clone + Send + Sync + 'static,
    {
        let (tell, told) = oneshot::channel();
        if self.wait(tenant, Waiting { one, tell }) {
            // Of its own: whoever writes may leave, and others wait for this.
            let turn = Turn { together: self.clone(), store: store.clone(), tenant: tenant.clone(), insert };
            tokio::spawn(turn.run());
        }
        told.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Answers whether nobody writes for the tenant.
    fn wait(&self, tenant: &Arc<str>, waiting: Waiting<T, W, E>) -> bool {
        let mut tenants = self.lock();
        if let Some(others) = tenants.get_mut(tenant) {
            others.push(waiting);
            return false;
        }
        tenants.insert(tenant.clone(), vec![waiting]);
        true
    }

    /// Those that wait longest.
    fn take(&self, tenant: &Arc<str>) -> Vec<Waiting<T, W, E>> {
        let mut tenants = self.lock();
        let Some(waiting) = tenants.get_mut(tenant) else { return Vec::new() };
        waiting.retain(|one| !one.tell.is_closed());
        waiting.drain(..waiting.len().min(MOST)).collect()
    }

    /// Whether any waits. If not, nobody writes any more.
    fn goes_on(&self, tenant: &Arc<str>) -> bool {
        let mut tenants = self.lock();
        let goes_on = tenants.get(tenant).is_some_and(|waiting| !waiting.is_empty());
        if !goes_on {
            tenants.remove(tenant);
        }
        goes_on
    }
}

impl<T, W, E> Together<T, W, E> {
    fn lock(&self) -> MutexGuard<'_, Tenants<T, W, E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, W, E> Clone for Together<T, W, E> {
    fn clone(&self) -> Self {
        Together(self.0.clone())
    }
}

impl<T, W, E> Default for Together<T, W, E> {
    fn default() -> Self {
        Together(Arc::default())
    }
}

/// Writes for a tenant, so long as anything waits.
struct Turn<T, W, E, I> {
    together: Together<T, W, E>,
    store: Store,
    tenant: Arc<str>,
    insert: I,
}

impl<T, W, E, I> Turn<T, W, E, I>
where
    T: Clone + Send + 'static,
    W: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
    I: for<'c> Fn(&'c mut Connection, Vec<T>) -> BoxFuture<'c, Result<Vec<W>, E>> + Clone + Send + Sync + 'static,
{
    async fn run(self) {
        loop {
            let (taken, written) = self.write().await;
            match written {
                Ok(written) => taken.into_iter().zip(written).for_each(|(waiting, written)| waiting.tell(Ok(written))),
                Err(failure) => self.fail(taken, failure).await,
            }
            if !self.together.goes_on(&self.tenant) {
                return;
            }
        }
    }

    /// Writes those that wait when the database takes it. With them.
    async fn write(&self) -> (Vec<Waiting<T, W, E>>, Result<Vec<W>, E>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let written = {
            let (together, tenant, insert, taken) =
                (self.together.clone(), self.tenant.clone(), self.insert.clone(), taken.clone());
            self.store.write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let waiting = together.take(&tenant);
                    let ones: Vec<T> = waiting.iter().map(|waiting| waiting.one.clone()).collect();
                    *taken.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
                    if ones.is_empty() { Ok(Vec::new()) } else { insert(connection, ones).await }
                })
            })
        };
        let written = written.await;
        let taken = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
        (taken, written)
    }

    async fn fail(&self, mut taken: Vec<Waiting<T, W, E>>, failure: E) {
        if taken.len() > 1 {
            join_all(taken.into_iter().map(|waiting| self.write_one(waiting))).await;
            return;
        }
        match taken.pop() {
            Some(only) => only.tell(Err(failure)),
            // The database is away. Who has waited for it is told so.
            None => drop(self.together.take(&self.tenant)),
        }
    }

    async fn write_one(&self, waiting: Waiting<T, W, E>) {
        let (insert, one) = (self.insert.clone(), waiting.one.clone());
        let written = self
            .store
            .write(&self.tenant, move |connection| Box::pin(async move { insert(connection, vec![one]).await }))
            .await;
        waiting.tell(written.and_then(|mut written| written.pop().ok_or(sqlx::Error::WorkerCrashed.into())));
    }
}

impl<T, W, E> Waiting<T, W, E> {
    fn tell(self, written: Result<W, E>) {
        // Err where nobody waits any more.
        let _ = self.tell.send(written);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Notify, Semaphore};

    use super::*;
    use crate::store::Kind;

    /// A number that is refused, and one that panics.
    const REFUSED: usize = 666;
    const PANICS: usize = 667;

    /// Writes numbers, each time once it may, and says how many went together.
    struct Scene {
        store: Store,
        together: Together<usize, (usize, usize), sqlx::Error>,
        may: Arc<Semaphore>,
        began: Arc<Notify>,
    }

    impl Scene {
        async fn new() -> Scene {
            let store = Store::fresh(Kind::Sqlite).await;
            Scene {
                store,
                together: Together::default(),
                may: Arc::new(Semaphore::new(0)),
                began: Arc::new(Notify::new()),
            }
        }

        async fn write(&self, tenant: &str, number: usize) -> sqlx::Result<(usize, usize)> {
            let tenant: Arc<str> = tenant.into();
            let (may, began) = (self.may.clone(), self.began.clone());
            let written = self.together.write(&self.store, &tenant, number, move |_, some| {
                let (may, began) = (may.clone(), began.clone());
                Box::pin(async move {
                    began.notify_one();
                    may.acquire().await.unwrap().forget();
                    assert!(!some.contains(&PANICS), "on purpose");
                    if some.contains(&REFUSED) {
                        return Err(sqlx::Error::RowNotFound);
                    }
                    let count = some.len();
                    Ok(some.into_iter().map(|one| (one, count)).collect())
                })
            });
            written.await
        }
    }

    #[tokio::test]
    async fn what_waits_for_its_turn_goes_together() {
        let scene = Scene::new().await;
        scene.may.add_permits(3);
        let writes = join_all((0..200).map(|number| scene.write("a", number)));
        let (written, other) = tokio::join!(writes, scene.write("b", 7));
        let counts: Vec<(usize, usize)> = written.into_iter().map(Result::unwrap).collect();
        // All of them wait before the first is taken: nothing here runs beside it.
        let expected: Vec<(usize, usize)> =
            (0..200).map(|number| (number, if number < MOST { MOST } else { 200 - MOST })).collect();
        assert_eq!(counts, expected);
        assert_eq!(other.unwrap(), (7, 1), "another tenant's do not");
        while !scene.together.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_has_left_writes_nothing() {
        let scene = Scene::new().await;
        let mut first = Box::pin(scene.write("a", 1));
        assert!(futures_util::poll!(&mut first).is_pending());
        scene.began.notified().await;
        {
            let mut left = Box::pin(scene.write("a", 2));
            assert!(futures_util::poll!(&mut left).is_pending());
        }
        scene.may.add_permits(2);
        let (first, third) = tokio::join!(first, scene.write("a", 3));
        assert_eq!((first.unwrap(), third.unwrap()), ((1, 1), (3, 1)));
        assert_eq!(scene.may.available_permits(), 0, "two writes");
    }

    #[tokio::test]
    async fn who_is_refused_takes_nobody_with_them() {
        let scene = Scene::new().await;
        scene.may.add_permits(100);
        for bad in [REFUSED, PANICS] {
            let (one, refused, two) = tokio::join!(scene.write("a", 1), scene.write("a", bad), scene.write("a", 2));
            assert_eq!((one.unwrap(), two.unwrap()), ((1, 1), (2, 1)));
            match refused {
                Err(sqlx::Error::RowNotFound) => assert_eq!(bad, REFUSED),
                Err(sqlx::Error::WorkerCrashed) => assert_eq!(bad, PANICS),
                other => panic!("{bad}: {other:?}"),
            }
            assert_eq!(scene.write("a", 3).await.unwrap(), (3, 1), "others go on");
        }
    }
}
