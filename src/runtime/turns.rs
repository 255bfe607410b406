//! Who gets the next free sandbox.
//!
//! Tenants that wait take turns, and the calls of one tenant go in the order
//! they came. The last free sandbox is for a tenant that has none, so that one
//! tenant's flood of long calls leaves the others' first call no wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The sandboxes, as far as they are free or waited for.
#[derive(Debug)]
pub struct Turns(Arc<Mutex<State>>);

/// A sandbox's use. It is free again once this is dropped.
#[derive(Debug)]
pub struct Turn {
    shared: Arc<Mutex<State>>,
    tenant: Arc<str>,
}

#[derive(Debug)]
struct State {
    sandboxes: usize,
    free: usize,
    /// Those that run or wait.
    tenants: HashMap<Arc<str>, Tenant>,
    /// Those that wait, in the order of their turns. None of them could run now.
    order: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    most: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A call that waits. It leaves the queue when this is dropped.
struct Waiting<'a> {
    shared: &'a Mutex<State>,
    tenant: &'a Arc<str>,
    answer: oneshot::Receiver<Turn>,
}

impl Turns {
    pub fn new(sandboxes: usize) -> Turns {
        Turns(Arc::new(Mutex::new(State {
            sandboxes,
            free: sandboxes,
            tenants: HashMap::new(),
            order: VecDeque::new(),
        })))
    }

    /// Waits for a sandbox. A tenant has `most` at once, and at least one.
    /// Dropping the future gives up the place in the queue.
    pub async fn turn(&self, tenant: &Arc<str>, most: u64) -> Turn {
        loop {
            let mut waiting = {
                let mut state = lock(&self.0);
                let known = state.tenants.entry(tenant.clone()).or_default();
                known.most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
                if known.waiting.is_empty() && state.may_run(tenant) {
                    state.start(tenant);
                    return Turn { shared: self.0.clone(), tenant: tenant.clone() };
                }
                Waiting { shared: &self.0, tenant, answer: state.queue(tenant) }
            };
            // Who waited for less may run now that the tenant may have more.
            hand_out(&self.0);
            // The sender is dropped with the queue alone, which is ours.
            if let Ok(turn) = (&mut waiting.answer).await {
                return turn;
            }
        }
    }
}

/// How the sandboxes are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    pub sandboxes: usize,
    pub busy: usize,
    /// Calls that wait.
    pub waiting: usize,
}

impl Turns {
    pub fn used(&self) -> Use {
        let state = lock(&self.0);
        let waiting = state.tenants.values().map(|tenant| tenant.waiting.len()).sum();
        Use { sandboxes: state.sandboxes, busy: state.sandboxes - state.free, waiting }
    }
}

impl State {
    fn may_run(&self, tenant: &str) -> bool {
        self.tenants.get(tenant).is_some_and(|known| {
            let last = self.free == 1 && self.sandboxes > 1;
            self.free > 0 && known.running < known.most && !(last && known.running > 0)
        })
    }

    fn start(&mut self, tenant: &str) {
        if let Some(known) = self.tenants.get_mut(tenant) {
            known.running += 1;
            self.free -= 1;
        }
    }

    fn queue(&mut self, tenant: &Arc<str>) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        if let Some(known) = self.tenants.get_mut(tenant) {
            known.waiting.push_back(sender);
            if known.waiting.len() == 1 {
                self.order.push_back(tenant.clone());
            }
        }
        receiver
    }

    /// Whose turn it is, which has begun with this.
    fn next(&mut self) -> Option<(Arc<str>, oneshot::Sender<Turn>)> {
        let at = self.order.iter().position(|tenant| self.may_run(tenant))?;
        let tenant = self.order.remove(at)?;
        let known = self.tenants.get_mut(&tenant)?;
        let sender = known.waiting.pop_front()?;
        if !known.waiting.is_empty() {
            self.order.push_back(tenant.clone());
        }
        self.start(&tenant);
        Some((tenant, sender))
    }

    /// A tenant that neither runs nor waits takes no room.
    fn forget_idle(&mut self, tenant: &str) {
        if self.tenants.get(tenant).is_some_and(|known| known.running == 0 && known.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }
}

fn hand_out(shared: &Arc<Mutex<State>>) {
    loop {
        let next = lock(shared).next();
        let Some((tenant, sender)) = next else { return };
        // Who has left meanwhile drops it, which hands it out again.
        let _ = sender.send(Turn { shared: shared.clone(), tenant });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.shared);
            state.free += 1;
            if let Some(known) = state.tenants.get_mut(&self.tenant) {
                known.running -= 1;
            }
            state.forget_idle(&self.tenant);
        }
        hand_out(&self.shared);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.answer.close();
        let mut state = lock(self.shared);
        let Some(known) = state.tenants.get_mut(self.tenant) else { return };
        known.waiting.retain(|sender| !sender.is_closed());
        if known.waiting.is_empty() {
            state.order.retain(|tenant| tenant != self.tenant);
        }
        state.forget_idle(self.tenant);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::LocalBoxFuture;

    use super::*;

    /// Calls by number, which begin, run and end as a test says.
    struct Pool<'a> {
        turns: &'a Turns,
        waiting: Vec<(usize, LocalBoxFuture<'a, Turn>)>,
        running: Vec<(usize, Turn)>,
        most: u64,
        tenants: &'a [Arc<str>],
        calls: usize,
    }

    impl<'a> Pool<'a> {
        /// A call of a tenant. Answers its number.
        fn call(&mut self, tenant: usize) -> usize {
            self.calls += 1;
            self.waiting.push((self.calls, Box::pin(self.turns.turn(&self.tenants[tenant], self.most))));
            self.look();
            // The first look may have been what gave the others their turns.
            self.look();
            self.calls
        }

        /// Lets every waiting call look for its turn.
        fn look(&mut self) {
            let mut still = Vec::new();
            for (number, mut call) in self.waiting.drain(..) {
                match call.as_mut().now_or_never() {
                    Some(turn) => self.running.push((number, turn)),
                    None => still.push((number, call)),
                }
            }
            self.waiting = still;
        }

        fn end(&mut self, number: usize) {
            let at = self.running.iter().position(|(running, _)| *running == number).expect("it runs");
            drop(self.running.remove(at));
            self.look();
        }

        fn leave(&mut self, number: usize) {
            self.waiting.retain(|(waiting, _)| *waiting != number);
            self.look();
        }

        fn runs(&self) -> Vec<usize> {
            self.running.iter().map(|(number, _)| *number).collect()
        }
    }

    fn tenants() -> Vec<Arc<str>> {
        ["a", "b", "c"].map(Arc::from).to_vec()
    }

    fn pool<'a>(turns: &'a Turns, tenants: &'a [Arc<str>], most: u64) -> Pool<'a> {
        Pool { turns, waiting: Vec::new(), running: Vec::new(), most, tenants, calls: 0 }
    }

    const A: usize = 0;
    const B: usize = 1;
    const C: usize = 2;

    #[test]
    fn the_last_free_sandbox_is_for_a_tenant_that_has_none() {
        let (turns, tenants) = (Turns::new(3), tenants());
        let mut pool = pool(&turns, &tenants, 100);
        for _ in 0..5 {
            pool.call(A);
        }
        assert_eq!(pool.runs(), [1, 2], "one is kept free of the flood");
        let first = pool.call(B);
        assert_eq!(pool.runs(), [1, 2, first]);
        // B has one now, A two: the free one is for somebody else.
        pool.call(B);
        pool.end(1);
        assert_eq!(pool.runs(), [2, first]);
        let other = pool.call(C);
        assert_eq!(pool.runs(), [2, first, other]);
    }

    #[test]
    fn a_single_sandbox_is_shared_by_turns() {
        let (turns, tenants) = (Turns::new(1), tenants());
        let mut pool = pool(&turns, &tenants, 100);
        let of_a: Vec<usize> = (0..4).map(|_| pool.call(A)).collect();
        let of_b: Vec<usize> = (0..2).map(|_| pool.call(B)).collect();
        let of_c = pool.call(C);
        for expected in [of_a[0], of_a[1], of_b[0], of_c, of_a[2], of_b[1], of_a[3]] {
            assert_eq!(pool.runs(), [expected]);
            pool.end(expected);
        }
        assert!(lock(&turns.0).tenants.is_empty() && lock(&turns.0).order.is_empty(), "nothing is left of them");
    }

    #[test]
    fn a_tenant_has_its_quota_of_sandboxes_and_others_the_rest() {
        let (turns, tenants) = (Turns::new(10), tenants());
        let mut pool = pool(&turns, &tenants, 2);
        for _ in 0..5 {
            pool.call(A);
        }
        assert_eq!(pool.runs(), [1, 2]);
        let (b, c) = (pool.call(B), pool.call(C));
        assert_eq!(pool.runs(), [1, 2, b, c], "whoever waits at its quota is in nobody's way");
        pool.end(b);
        assert_eq!(pool.runs(), [1, 2, c]);
        pool.end(1);
        assert_eq!(pool.runs(), [2, c, 3], "and its own go in the order they came");
        // A wider quota counts from the next call on, and for those that wait.
        pool.most = 4;
        pool.call(A);
        assert_eq!(pool.runs(), [2, c, 3, 4, 5]);
    }

    #[test]
    fn who_leaves_the_queue_loses_its_place_and_no_more() {
        let (turns, tenants) = (Turns::new(1), tenants());
        let mut pool = pool(&turns, &tenants, 100);
        let first = pool.call(A);
        let leaver = pool.call(B);
        let patient = pool.call(B);
        let last = pool.call(C);
        pool.leave(leaver);
        assert_eq!(lock(&turns.0).tenants["b"].waiting.len(), 1);
        pool.end(first);
        assert_eq!(pool.runs(), [patient]);
        pool.leave(last);
        assert!(!lock(&turns.0).tenants.contains_key("c"));
        pool.end(patient);
        assert_eq!(lock(&turns.0).free, 1);
    }

    #[test]
    fn a_turn_that_came_as_its_call_left_goes_to_the_next() {
        let (turns, tenants) = (Turns::new(1), tenants());
        let mut pool = pool(&turns, &tenants, 100);
        let first = pool.call(A);
        let leaver = pool.call(B);
        let next = pool.call(C);
        // Its turn is handed out, and it is dropped before it looks.
        let at = pool.running.iter().position(|(number, _)| *number == first).unwrap();
        drop(pool.running.remove(at));
        pool.leave(leaver);
        assert_eq!(pool.runs(), [next]);
    }
}
