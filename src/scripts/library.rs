//! The scripts that tenants keep in the host's database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::programs::{MOST, Programs};
use super::shelf::{Place, Places};
use super::{Consent, Draft, Refused, Script, Stored, Version, draft, rows};
use crate::capabilities::grant::{self, Lists, Operator};
use crate::capabilities::{Grant, Process};
use crate::compile::artifact::Description;
use crate::compile::{self, CompileError};
use crate::hexadecimal;
use crate::runtime::engine::{self, Engine};
use crate::runtime::sandbox::Program;
use crate::settings::Settings;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Store};
use crate::tenant::quota::{Account, Quota};
use crate::triggers::events::Told;
use crate::triggers::schedules;

/// Characters of a version's message.
const MESSAGE: usize = 1000;
/// Bytes of a source map.
const SOURCE_MAP: usize = compile::MAX_SOURCE;

/// A new version, before it is compiled.
#[derive(Debug, Clone)]
pub struct Source {
    pub text: String,
    pub map: Option<String>,
    /// The user's id.
    pub author: String,
    pub message: String,
}

/// What the process owns of them.
pub struct Library {
    store: Store,
    places: Arc<Places>,
    settings: Arc<Settings>,
    engine: Arc<Engine>,
    process: Arc<Process>,
    programs: Programs,
    /// The change that each tenant's shelf shows.
    revisions: Mutex<HashMap<String, i64>>,
    /// Held while shelves are filled, so that none gets back what it had before.
    looking: tokio::sync::Mutex<()>,
    /// Held while a tenant compiles: the compilers are few.
    compiling: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Library {
    pub fn new(
        store: Store,
        places: Arc<Places>,
        settings: Arc<Settings>,
        engine: Arc<Engine>,
        process: Arc<Process>,
    ) -> Library {
        let programs = Programs::new(MOST);
        let (revisions, looking, compiling) = Default::default();
        Library { store, places, settings, engine, process, programs, revisions, looking, compiling }
    }

    /// Looks which tenants' scripts have changed, on this host or another, and
    /// puts them on the shelves.
    pub async fn look(&self) -> sqlx::Result<()> {
        let _looking = self.looking.lock().await;
        let now: Vec<(String, i64)> = self.store.read(|connection| Box::pin(rows::revisions(connection))).await?;
        for (tenant, revision) in now {
            let known = self.revisions.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied();
            if known == Some(revision) {
                continue;
            }
            if let Some(place) = self.places.get(&tenant) {
                // Read after the revision: it shows that change at least.
                self.fill(place).await?;
            }
            self.revisions.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, revision);
        }
        Ok(())
    }

    async fn fill(&self, place: &Place) -> sqlx::Result<()> {
        let tenant = place.tenant.id.clone();
        let found =
            self.store.read(move |connection| Box::pin(async move { rows::deployed(connection, &tenant).await }));
        let scripts = found.await?.into_iter().map(|(stored, file, declared)| {
            let script = stored.draft.script(&stored.id, &self.settings.limits);
            Arc::new(Script {
                file,
                enabled: stored.enabled,
                version: stored.deployed,
                grant: Some(Arc::new(granted(&stored.draft, declared.as_ref()))),
                ..script
            })
        });
        place.replace(scripts);
        Ok(())
    }

    /// A program of a stored script, made from its source where it is not at hand.
    pub async fn program(&self, tenant: &str, script: &str, version: i64) -> Result<Program, Refused> {
        let slot = self.programs.slot(&(tenant.to_owned(), script.to_owned(), version));
        let program = slot.get_or_try_init(|| async {
            let (tenant, script) = (tenant.to_owned(), script.to_owned());
            let found = self.store.read(move |connection| {
                Box::pin(async move { rows::source(connection, &tenant, &script, version).await })
            });
            let (file, text, _) = found.await?.ok_or(Refused::NoVersion)?;
            self.compile(&file, &text).await
        });
        program.await.cloned()
    }

    async fn compile(&self, file: &str, text: &str) -> Result<Program, Refused> {
        let compiled = compile::compile(&self.engine, file, text, &self.settings.limits).await?;
        let made = Program::from_snapshot(&self.engine, &compiled.snapshot, compiled.description);
        made.map_err(|reason| Refused::Compile(CompileError::Host(reason)))
    }

    /// One of a tenant's compilations goes on at a time, and none waits: each holds
    /// one of the requests that all tenants share.
    fn turn(&self, tenant: &str) -> Result<OwnedMutexGuard<()>, Refused> {
        let turn = {
            let mut turns = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(tenant.to_owned()).or_default().clone()
        };
        turn.try_lock_owned().map_err(|_| Refused::Compiling)
    }

    fn account(&self, tenant: &str) -> Arc<Account> {
        self.process.quotas.account(tenant)
    }

    fn place(&self, tenant: &str) -> Result<&Place, Refused> {
        self.places.get(tenant).ok_or(Refused::NotFound)
    }

    fn checked(&self, place: &Place, draft: Draft) -> Result<Draft, Refused> {
        let accounts: Vec<&str> = self.settings.service_accounts.iter().map(|account| account.id.as_str()).collect();
        let draft = draft.check(&self.settings.limits, &accounts)?;
        if place.own().iter().any(|script| script.name == draft.name) {
            return Err(Refused::NameTaken(draft.name));
        }
        if let Some(route) = draft.route()
            && let Some((method, _)) = collision(place, &route)
        {
            return Err(Refused::RouteTaken(format!("{method} {}", route.pattern)));
        }
        Ok(draft)
    }

    /// Runs a change of a tenant's scripts, tells of it who wants to know, and
    /// shows it on the shelf before it answers.
    async fn change<T: Send + 'static>(
        &self,
        tenant: &str,
        tell: impl FnOnce(&T) -> Option<Told> + Send + 'static,
        work: impl for<'c> FnOnce(&'c mut Connection) -> futures_util::future::BoxFuture<'c, Result<T, Refused>>
        + Send
        + 'static,
    ) -> Result<T, Refused> {
        let (owner, outbox) = (tenant.to_owned(), self.process.events.clone());
        let done = self.store.write(tenant, move |connection| {
            Box::pin(async move {
                let done = work(&mut *connection).await?;
                rows::touch(&mut *connection, &owner).await?;
                let is_handled = match tell(&done) {
                    Some(told) => outbox.tell(connection, &owner, told).await?,
                    None => false,
                };
                Ok::<(T, bool), Refused>((done, is_handled))
            })
        });
        let (done, is_handled) = done.await?;
        if is_handled {
            self.process.events.wake();
        }
        self.look().await?;
        Ok(done)
    }

    pub async fn get(&self, tenant: &str, named: &str) -> Result<Stored, Refused> {
        let (tenant, named) = (tenant.to_owned(), named.to_owned());
        let found =
            self.store.read(move |connection| Box::pin(async move { rows::script(connection, &tenant, &named).await }));
        found.await?.ok_or(Refused::NotFound)
    }

    /// In the order of their names, after a given one.
    pub async fn list(&self, tenant: &str, after: &str, rows: i64) -> Result<Vec<Stored>, Refused> {
        let (tenant, after) = (tenant.to_owned(), after.to_owned());
        let found = self
            .store
            .read(move |connection| Box::pin(async move { rows::scripts(connection, &tenant, &after, rows).await }));
        Ok(found.await?)
    }

    /// Adds a script, without a version, enabled. One that runs as a service
    /// account or has the host use a secret needs consent. Answers the script
    /// that has the id already, if one was made with it.
    pub async fn create(&self, tenant: &str, id: Uuid, draft: Draft, may_grant: bool) -> Result<Stored, Refused> {
        let draft = self.checked(self.place(tenant)?, draft)?;
        if (draft.run_as.is_some() || draft.webhook().is_some()) && !may_grant {
            return Err(Refused::MayNotGrant);
        }
        let now = self.store.now();
        let id = id.to_string();
        let script = Stored { id, draft, enabled: true, deployed: None, latest: 0, created_at: now, updated_at: now };
        let (owner, account) = (tenant.to_owned(), self.account(tenant));
        let tell = |script: &Stored| Some(Told::of_script("script.created", script));
        self.change(tenant, tell, move |connection| {
            Box::pin(async move {
                if let Some(made) = rows::script(connection, &owner, &script.id).await? {
                    return Ok(made);
                }
                if rows::is_taken(connection, &owner, &script.draft.name, &script.id).await? {
                    return Err(Refused::NameTaken(script.draft.name));
                }
                rows::insert(connection, &owner, &script).await?;
                schedules::follow(connection, &owner, &script, now).await?;
                take_routes(connection, &owner, &script).await?;
                let used = usage::add(connection, &owner, Room::Scripts, Usage { items: 1, bytes: 0 }).await?;
                account.check(Quota::Scripts, used.items.max(0) as u64)?;
                Ok(script)
            })
        })
        .await
    }

    /// Changes what is set on a script. `change` makes the new draft of the old.
    /// What lets the deployed version reach more needs consent.
    pub async fn update(
        &self,
        tenant: &str,
        named: &str,
        consent: Consent,
        change: impl FnOnce(&Draft) -> Result<Draft, Refused>,
    ) -> Result<Stored, Refused> {
        let before = self.get(tenant, named).await?;
        let draft = self.checked(self.place(tenant)?, change(&before.draft)?)?;
        let trusted = draft.run_as != before.draft.run_as && draft.run_as.is_some()
            || draft.webhook() != before.draft.webhook() && draft.webhook().is_some();
        if trusted && !consent.may_grant() {
            return Err(Refused::MayNotGrant);
        }
        let (owner, now) = (tenant.to_owned(), self.store.now());
        let tell = |script: &Stored| Some(Told::of_script("script.updated", script));
        self.change(tenant, tell, move |connection| {
            Box::pin(async move {
                let current = rows::script(connection, &owner, &before.id).await?.ok_or(Refused::NotFound)?;
                if current.draft != before.draft {
                    return Err(Refused::ChangedMeanwhile);
                }
                if rows::is_taken(connection, &owner, &draft.name, &current.id).await? {
                    return Err(Refused::NameTaken(draft.name));
                }
                if let Some(number) = current.deployed {
                    let version = rows::version(connection, &owner, &current.id, number).await?;
                    let declared = version.as_ref().and_then(|version| version.declared.as_ref());
                    let (from, to) = (reach(&current.draft, declared), reach(&draft, declared));
                    consent.to(grant::beyond(&to, &from))?;
                    require_entry(&draft, version.as_ref())?;
                }
                let script = Stored { draft, updated_at: now, ..current };
                rows::update(connection, &owner, &script).await?;
                schedules::follow(connection, &owner, &script, now).await?;
                take_routes(connection, &owner, &script).await?;
                Ok(script)
            })
        })
        .await
    }

    /// Lets calls of a script through, or no more.
    pub async fn enable(&self, tenant: &str, named: &str, enabled: bool) -> Result<Stored, Refused> {
        let (owner, named, now) = (tenant.to_owned(), named.to_owned(), self.store.now());
        let tell = |(script, is_changed): &(Stored, bool)| {
            let name = if script.enabled { "script.enabled" } else { "script.disabled" };
            is_changed.then(|| Told::of_script(name, script))
        };
        let changed = self.change(tenant, tell, move |connection| {
            Box::pin(async move {
                let script = rows::script(connection, &owner, &named).await?.ok_or(Refused::NotFound)?;
                let is_changed = script.enabled != enabled;
                let script = Stored { enabled, updated_at: now, ..script };
                rows::update(connection, &owner, &script).await?;
                schedules::follow(connection, &owner, &script, now).await?;
                Ok((script, is_changed))
            })
        });
        Ok(changed.await?.0)
    }

    /// Deletes a script with all its versions.
    pub async fn delete(&self, tenant: &str, named: &str) -> Result<(), Refused> {
        let (owner, named) = (tenant.to_owned(), named.to_owned());
        let tell = |script: &Stored| Some(Told::of_script("script.deleted", script));
        let deleted = self.change(tenant, tell, move |connection| {
            Box::pin(async move {
                let script = rows::script(connection, &owner, &named).await?.ok_or(Refused::NotFound)?;
                let bytes = rows::delete(connection, &owner, &script.id).await?;
                schedules::forget(connection, &owner, &script.id).await?;
                usage::add(connection, &owner, Room::Scripts, Usage { items: -1, bytes: -bytes }).await?;
                Ok(script)
            })
        });
        self.programs.forget(tenant, &deleted.await?.id);
        Ok(())
    }

    /// Compiles a source and keeps it as the script's next version. Where it is
    /// the source of the last one, answers that, and false.
    pub async fn add_version(&self, tenant: &str, named: &str, source: Source) -> Result<(Version, bool), Refused> {
        let invalid = |field: &str, message: String| Refused::Invalid { field: field.to_owned(), message };
        if source.message.chars().count() > MESSAGE || source.message.contains('\0') {
            return Err(invalid("message", format!("A message has at most {MESSAGE} characters.")));
        }
        if source.map.as_ref().is_some_and(|map| map.len() > SOURCE_MAP || map.contains('\0')) {
            return Err(invalid("source_map", format!("A source map has at most {SOURCE_MAP} bytes of text.")));
        }
        let script = self.get(tenant, named).await?;
        let file = script.draft.file();
        let program = {
            let _turn = self.turn(tenant)?;
            self.compile(&file, &source.text).await?
        };
        let Description { entries, declared, .. } = program.description().clone();
        let bytes = source.text.len() + source.map.as_ref().map_or(0, String::len);
        let version = Version {
            number: 0,
            file,
            hash: hexadecimal::encode(&Sha256::digest(&source.text)),
            engine: engine::version(),
            entries,
            declared,
            author: source.author.clone(),
            message: source.message.clone(),
            bytes: bytes as i64,
            created_at: self.store.now(),
        };
        let (owner, account) = (tenant.to_owned(), self.account(tenant));
        let id = script.id;
        let (id, version, is_new) = self
            .change(
                tenant,
                |_| None,
                move |connection| {
                    Box::pin(async move {
                        let script = rows::script(connection, &owner, &id).await?.ok_or(Refused::NotFound)?;
                        let last = rows::version(connection, &owner, &id, script.latest).await?;
                        if let Some(last) = last.filter(|last| last.hash == version.hash && last.file == version.file) {
                            return Ok((id, last, false));
                        }
                        let version = Version { number: script.latest + 1, ..version };
                        rows::insert_version(connection, &owner, &id, &version, &source.text, source.map.as_deref())
                            .await?;
                        let script = Stored { latest: version.number, updated_at: version.created_at, ..script };
                        rows::update(connection, &owner, &script).await?;
                        let more = Usage { items: 0, bytes: version.bytes };
                        let used = usage::add(connection, &owner, Room::Scripts, more).await?;
                        account.check(Quota::ScriptBytes, used.bytes.max(0) as u64)?;
                        Ok((id, version, true))
                    })
                },
            )
            .await?;
        if is_new {
            // It will be called soon. Nobody else has made it yet.
            let _ = self.programs.slot(&(tenant.to_owned(), id, version.number)).set(program);
        }
        Ok((version, is_new))
    }

    /// From the newest on, older than `before`.
    pub async fn versions(
        &self,
        tenant: &str,
        named: &str,
        before: i64,
        rows: i64,
    ) -> Result<(Stored, Vec<Version>), Refused> {
        let script = self.get(tenant, named).await?;
        let (tenant, id) = (tenant.to_owned(), script.id.clone());
        let found = self.store.read(move |connection| {
            Box::pin(async move { rows::versions(connection, &tenant, &id, before, rows).await })
        });
        Ok((script, found.await?))
    }

    /// A version with its source and source map.
    pub async fn version(
        &self,
        tenant: &str,
        named: &str,
        number: i64,
    ) -> Result<(Stored, Version, String, Option<String>), Refused> {
        let (tenant, named) = (tenant.to_owned(), named.to_owned());
        let found = self.store.read(move |connection| {
            Box::pin(async move {
                let script = rows::script(connection, &tenant, &named).await?.ok_or(Refused::NotFound)?;
                let version = rows::version(connection, &tenant, &script.id, number).await?;
                let source = rows::source(connection, &tenant, &script.id, number).await?;
                let (version, (_, text, map)) = version.zip(source).ok_or(Refused::NoVersion)?;
                Ok::<_, Refused>((script, version, text, map))
            })
        });
        found.await
    }

    /// Makes calls run a version, newer or older. Where it may reach more than
    /// the one before, that needs consent.
    pub async fn deploy(&self, tenant: &str, named: &str, number: i64, consent: Consent) -> Result<Stored, Refused> {
        let (owner, named, now) = (tenant.to_owned(), named.to_owned(), self.store.now());
        let tell = |script: &Stored| Some(Told::of_script("script.deployed", script));
        self.change(tenant, tell, move |connection| {
            Box::pin(async move {
                let script = rows::script(connection, &owner, &named).await?.ok_or(Refused::NotFound)?;
                let version = rows::version(connection, &owner, &script.id, number).await?.ok_or(Refused::NoVersion)?;
                let from = match script.deployed {
                    None => Lists::new(),
                    Some(number) => {
                        let before = rows::version(connection, &owner, &script.id, number).await?;
                        reach(&script.draft, before.as_ref().and_then(|version| version.declared.as_ref()))
                    }
                };
                consent.to(grant::beyond(&reach(&script.draft, version.declared.as_ref()), &from))?;
                require_entry(&script.draft, Some(&version))?;
                let script = Stored { deployed: Some(number), updated_at: now, ..script };
                rows::update(connection, &owner, &script).await?;
                schedules::follow(connection, &owner, &script, now).await?;
                Ok(script)
            })
        })
        .await
    }

    /// A version as calls would run it, deployed or not. One that may reach more
    /// than what is deployed is for those who may grant that.
    pub async fn trial(&self, tenant: &str, named: &str, number: i64, may_grant: bool) -> Result<Arc<Script>, Refused> {
        let (script, version, ..) = self.version(tenant, named, number).await?;
        let from = match script.deployed {
            None => Lists::new(),
            Some(deployed) => reach(&script.draft, self.version(tenant, named, deployed).await?.1.declared.as_ref()),
        };
        let more = grant::beyond(&reach(&script.draft, version.declared.as_ref()), &from);
        if !more.is_empty() && !may_grant {
            return Err(Refused::MayNotGrant);
        }
        require_entry(&script.draft, Some(&version))?;
        let grant = granted(&script.draft, version.declared.as_ref());
        let made = script.draft.script(&script.id, &self.settings.limits);
        Ok(Arc::new(Script {
            file: version.file,
            version: Some(number),
            grant: Some(Arc::new(grant)),
            enabled: script.enabled,
            ..made
        }))
    }
}

/// The route of the settings' scripts that a new one would collide with.
fn collision(place: &Place, route: &crate::server::route::Route) -> Option<(axum::http::Method, String)> {
    place.own().iter().find_map(|script| {
        let own = script.route.as_ref().filter(|own| own.pattern.same_paths(&route.pattern))?;
        let method = own.methods.iter().find(|method| route.methods.contains(method))?;
        Some((method.clone(), script.name.clone()))
    })
}

async fn take_routes(connection: &mut Connection, tenant: &str, script: &Stored) -> Result<(), Refused> {
    let route = script.draft.route();
    let routes = route.as_ref().map(draft::rows).unwrap_or_default();
    match rows::routes(connection, tenant, &script.id, routes).await? {
        None => Ok(()),
        Some((path, method)) => Err(Refused::RouteTaken(format!("{method} {path}"))),
    }
}

/// What a version may use. Entries were checked when they were written; what
/// cannot be read any more is not granted.
fn granted(draft: &Draft, declared: Option<&Lists>) -> Grant {
    Grant::new(declared, Operator::Settings(&draft.grants)).unwrap_or_else(|reason| {
        tracing::error!(script = draft.name, reason, "a script's grants cannot be read, so it is granted nothing");
        Grant::default()
    })
}

/// The same as lists.
pub fn reach(draft: &Draft, declared: Option<&Lists>) -> Lists {
    granted(draft, declared).reach()
}

/// Refuses a version that has no function to call.
fn require_entry(draft: &Draft, version: Option<&Version>) -> Result<(), Refused> {
    let Some(version) = version else { return Ok(()) };
    let found = match &draft.entry {
        Some(entry) => version.entries.contains(entry),
        None => version.default_entry(),
    };
    if found { Ok(()) } else { Err(Refused::NoEntry { entry: draft.entry.clone(), entries: version.entries.clone() }) }
}
