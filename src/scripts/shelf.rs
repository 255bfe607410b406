//! The scripts of each tenant, as calls find them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Script;
use crate::server::route::Table;
use crate::settings::Settings;
use crate::tenant::Tenant;

/// A tenant's scripts at some time. Replaced whole when one changes.
#[derive(Debug, Default)]
pub struct Shelf {
    scripts: HashMap<String, Arc<Script>>,
    /// Those that answer HTTP requests now.
    pub table: Table,
    /// Those that handle events.
    handlers: Vec<Arc<Script>>,
    /// Whether any of them needs no user.
    pub has_public: bool,
}

impl Shelf {
    /// Of two with the same route or name, the first stands.
    pub fn new(scripts: impl IntoIterator<Item = Arc<Script>>) -> Shelf {
        let mut shelf = Shelf::default();
        for script in scripts {
            if shelf.scripts.contains_key(&script.name) {
                continue;
            }
            if script.enabled && script.route.is_some() {
                shelf.has_public |= script.public;
                shelf.table.insert(script.clone());
            }
            if script.enabled && script.event.is_some() {
                shelf.handlers.push(script.clone());
            }
            shelf.scripts.insert(script.id.clone(), script.clone());
            shelf.scripts.insert(script.name.clone(), script);
        }
        shelf
    }

    /// Those that handle events now.
    pub fn handlers(&self) -> impl Iterator<Item = &Arc<Script>> {
        self.handlers.iter()
    }

    /// A script by its id or its name.
    pub fn get(&self, id_or_name: &str) -> Option<&Arc<Script>> {
        self.scripts.get(id_or_name)
    }
}

/// A tenant with its shelf.
pub struct Place {
    pub tenant: Tenant,
    /// Those of the settings, which never change.
    own: Vec<Arc<Script>>,
    shelf: RwLock<Arc<Shelf>>,
}

impl Place {
    pub fn shelf(&self) -> Arc<Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, these are the scripts that the tenant keeps in the database.
    pub fn replace(&self, stored: impl IntoIterator<Item = Arc<Script>>) {
        let shelf = Shelf::new(self.own.iter().cloned().chain(stored));
        *self.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shelf);
    }

    /// The scripts of the settings.
    pub fn own(&self) -> &[Arc<Script>] {
        &self.own
    }
}

/// The tenants of a host, by their ids.
#[derive(Default)]
pub struct Places(HashMap<String, Place>);

impl Places {
    /// With the scripts of the settings.
    pub fn new(settings: &Settings) -> Places {
        let all: Vec<_> = settings.scripts.iter().map(|script| (script, Arc::new(Script::from(&**script)))).collect();
        let places = settings.tenants.iter().map(|known| {
            let id = &known.tenant.id;
            let own = all.iter().filter(|(script, _)| script.belongs_to(id)).map(|(_, script)| script.clone());
            let place = Place { tenant: known.tenant.clone(), own: own.collect(), shelf: RwLock::default() };
            place.replace([]);
            (id.clone(), place)
        });
        Places(places.collect())
    }

    pub fn get(&self, tenant: &str) -> Option<&Place> {
        self.0.get(tenant)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.values()
    }
}
