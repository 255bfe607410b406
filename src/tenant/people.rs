//! Who there is, with the permissions of now.
//!
//! Every call looks its user up here when it begins, so that a permission that
//! was taken away counts from the next call on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::User;

/// The users and service accounts of the process.
#[derive(Debug, Default)]
pub struct People(RwLock<Arc<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// By tenant and id.
    users: HashMap<(String, String), User>,
    /// By id.
    accounts: HashMap<String, User>,
}

impl People {
    /// `users` with the ids of their tenants.
    pub fn new(users: impl IntoIterator<Item = (String, User)>, accounts: impl IntoIterator<Item = User>) -> People {
        let people = People::default();
        people.replace(users, accounts);
        people
    }

    /// From now on, these are all. Calls that have begun are not touched.
    pub fn replace(&self, users: impl IntoIterator<Item = (String, User)>, accounts: impl IntoIterator<Item = User>) {
        let users = users.into_iter().map(|(tenant, user)| ((tenant, user.id.clone()), user));
        let accounts = accounts.into_iter().map(|account| (account.id.clone(), account));
        let record = Record { users: users.collect(), accounts: accounts.collect() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(record);
    }

    pub fn user(&self, tenant: &str, id: &str) -> Option<User> {
        self.record().users.get(&(tenant.to_owned(), id.to_owned())).cloned()
    }

    /// A service account: who runs where nobody calls.
    pub fn account(&self, id: &str) -> Option<User> {
        self.record().accounts.get(id).cloned()
    }

    fn record(&self) -> Arc<Record> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
