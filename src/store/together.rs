//! Doing with few statements what a tenant writes at the same time.
//!
//! The first is written at once. What comes meanwhile is written together after
//! it, and so on: alone, a write waits for nothing, and many cost little more than
//! a few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Writes of one transaction: it holds up others. One statement is enough for them.
pub const MOST: usize = super::statements::MOST;

/// By tenant, what waits for a write that is under way. Cheap to clone.
pub struct Together<T, R>(Arc<Mutex<Tenants<T, R>>>);

type Tenants<T, R> = HashMap<Arc<str>, Vec<Waiting<T, R>>>;

struct Waiting<T, R> {
    one: T,
    tell: oneshot::Sender<R>,
}

impl<T: Send + 'static, R: Send + 'static> Together<T, R> {
    /// Writes one, with whatever waits together with it, and answers what came of
    /// it. `write` answers for each of those that it is given, [`MOST`] at most, in
    /// their order. Whoever drops this future before its turn writes nothing.
    pub async fn write<W, F>(&self, tenant: &Arc<str>, one: T, write: W) -> sqlx::Result<R>
    where
        W: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send,
    {
        let (tell, told) = oneshot::channel();
        if self.wait(tenant, Waiting { one, tell }) {
            // Of its own: whoever writes may leave, and others wait for this.
            let turn = Turn { together: self.clone(), tenant: tenant.clone() };
            tokio::spawn(async move { turn.run(write).await });
        }
        told.await.map_err(|_| sqlx::Error::WorkerCrashed)
    }

    /// Answers whether nobody writes for the tenant.
    fn wait(&self, tenant: &Arc<str>, waiting: Waiting<T, R>) -> bool {
        let mut tenants = self.lock();
        if let Some(others) = tenants.get_mut(tenant) {
            others.push(waiting);
            return false;
        }
        tenants.insert(tenant.clone(), vec![waiting]);
        true
    }

    /// The next that wait. None, and nobody writes any more, where there are none.
    fn take(&self, tenant: &Arc<str>) -> Option<Vec<Waiting<T, R>>> {
        let mut tenants = self.lock();
        let waiting = tenants.get_mut(tenant)?;
        if waiting.is_empty() {
            tenants.remove(tenant);
            return None;
        }
        let some = waiting.drain(..waiting.len().min(MOST));
        Some(some.filter(|one| !one.tell.is_closed()).collect())
    }
}

impl<T, R> Together<T, R> {
    fn lock(&self) -> MutexGuard<'_, Tenants<T, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, R> Clone for Together<T, R> {
    fn clone(&self) -> Self {
        Together(self.0.clone())
    }
}

impl<T, R> Default for Together<T, R> {
    fn default() -> Self {
        Together(Arc::default())
    }
}

/// Writes for a tenant, so long as anything waits.
struct Turn<T, R> {
    together: Together<T, R>,
    tenant: Arc<str>,
}

impl<T: Send + 'static, R: Send + 'static> Turn<T, R> {
    async fn run<F: Future<Output = Vec<R>> + Send>(self, write: impl Fn(Vec<T>) -> F + Send) {
        while let Some(some) = self.together.take(&self.tenant) {
            let (some, tell): (Vec<T>, Vec<_>) = some.into_iter().map(|one| (one.one, one.tell)).unzip();
            if some.is_empty() {
                continue;
            }
            for (tell, written) in tell.into_iter().zip(write(some).await) {
                // Err where nobody waits any more.
                let _ = tell.send(written);
            }
        }
    }
}

/// Whoever comes after a write that has panicked begins again.
impl<T, R> Drop for Turn<T, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.together.lock().remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Writes numbers, each time once it may, and says how many went together.
    struct Scene {
        together: Together<usize, (usize, usize)>,
        may: Arc<Semaphore>,
    }

    impl Scene {
        fn new() -> Scene {
            Scene { together: Together::default(), may: Arc::new(Semaphore::new(0)) }
        }

        async fn write(&self, tenant: &str, number: usize) -> sqlx::Result<(usize, usize)> {
            let may = self.may.clone();
            let write = move |some: Vec<usize>| {
                let may = may.clone();
                async move {
                    may.acquire().await.unwrap().forget();
                    assert!(!some.contains(&666), "on purpose");
                    let count = some.len();
                    some.into_iter().map(|one| (one, count)).collect()
                }
            };
            self.together.write(&tenant.into(), number, write).await
        }
    }

    #[tokio::test]
    async fn what_comes_while_one_is_written_goes_together() {
        let scene = Scene::new();
        let writes = join_all((0..100).map(|number| scene.write("a", number)));
        let (written, other, ()) = tokio::join!(writes, scene.write("b", 7), async { scene.may.add_permits(4) });
        let counts: Vec<(usize, usize)> = written.into_iter().map(Result::unwrap).collect();
        // All of them wait before the first is taken: nothing here runs beside it.
        let expected: Vec<(usize, usize)> =
            (0..100).map(|number| (number, if number < MOST { MOST } else { 100 - MOST })).collect();
        assert_eq!(counts, expected);
        assert_eq!(other.unwrap(), (7, 1), "another tenant's do not");
        assert!(scene.together.lock().is_empty(), "nobody writes any more");
    }

    #[tokio::test]
    async fn who_has_left_writes_nothing() {
        let scene = Scene::new();
        let mut first = Box::pin(scene.write("a", 1));
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
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
    async fn after_a_panic_others_are_written() {
        let scene = Scene::new();
        scene.may.add_permits(2);
        assert!(matches!(scene.write("a", 666).await, Err(sqlx::Error::WorkerCrashed)));
        assert_eq!(scene.write("a", 1).await.unwrap(), (1, 1));
    }
}
