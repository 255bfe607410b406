//! One attempt of a job: which script, as whom, with what argument.

use std::sync::Arc;

use super::claim::Claimed;
use super::finish::End;
use super::{Caller, argument, execution_id};
use crate::executions::{self, Origin};
use crate::host::{Attempt, Host};
use crate::runtime::outcome::Status;
use crate::scripts::Script;
use crate::server::{Invoke, note_failure, write_logs};
use crate::tenant::{self, Authority, Cause, Execution, Identity, Tenant};

/// How long a job waits whose argument could not be read.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// An attempt in which the host itself failed.
pub fn broken(host: &Host, job: &Claimed) -> End {
    let identity = Arc::new(identity(host, job, execution_id(&job.id, job.attempt), None, None));
    end(host.fail(identity.clone(), origin(job), "the host failed; its log has the reason"), &identity)
}

fn origin(job: &Claimed) -> Origin {
    Origin {
        attempt: Some(executions::Attempt { job: job.id.clone(), number: job.attempt }),
        version: job.version,
        ..Origin::default()
    }
}

/// Makes the attempt that was claimed.
pub async fn make(host: &Host, job: &mut Claimed) -> End {
    let (id, origin) = (execution_id(&job.id, job.attempt), origin(job));
    let caller: Option<Caller> = job.caller.as_deref().and_then(|caller| serde_json::from_str(caller).ok());
    let script = match script(host, job).await {
        Ok(script) => script,
        Err(reason) => {
            let identity = Arc::new(identity(host, job, id, caller.as_ref(), None));
            return end(host.fail(identity.clone(), origin, &reason), &identity);
        }
    };
    let identity = Arc::new(identity(host, job, id, caller.as_ref(), Some(&script)));
    let input = match job.input.take() {
        Some(input) => Ok(Some(input)),
        None => argument::of(&host.queue().0.store, job).await,
    };
    let input = match input {
        Ok(Some(input)) => input,
        Ok(None) => {
            let reason = "the event that it was to handle is gone";
            return end(host.fail(identity.clone(), origin, reason), &identity);
        }
        Err(reason) => {
            tracing::debug!(%reason, job = job.id, "reading the argument of a job failed");
            return End::NotBegun(AGAIN);
        }
    };
    let authority = caller.map(|caller| caller.authority).unwrap_or(Authority::Listed);
    let origin = Origin { version: script.version, ..origin };
    let attempt = host.attempt(Invoke { script, identity: identity.clone(), authority, input, origin }).await;
    end(attempt, &identity)
}

fn end(attempt: Attempt, identity: &Identity) -> End {
    match attempt {
        Attempt::PutOff(wait) => End::NotBegun(wait),
        Attempt::Ended(outcome, ending) => {
            write_logs(identity, &outcome);
            if outcome.status != Status::Completed {
                note_failure(identity, &outcome, "job_failed");
            }
            End::Ran(ending)
        }
    }
}

/// The script as a call finds it now. The error is for whoever looks at the
/// execution.
async fn script(host: &Host, job: &Claimed) -> Result<Arc<Script>, String> {
    let place = host.places().get(&job.tenant).ok_or("there is no such tenant on this host")?;
    let mut found = place.shelf().get(&job.script).cloned();
    if found.as_ref().is_none_or(|script| job.version.is_some_and(|version| script.version != Some(version))) {
        // Another host may have changed it just now.
        let _ = host.library().look().await;
        found = place.shelf().get(&job.script).cloned();
    }
    let script = match (found, job.version) {
        (Some(script), version) if version.is_none() || script.version == version => script,
        // Whoever asked for this version was allowed to.
        (_, Some(version)) => host
            .library()
            .trial(&job.tenant, &job.script, version, true)
            .await
            .map_err(|reason| format!("the script's version {version} cannot be called: {reason}"))?,
        _ => return Err("there is no such script any more, or no version of it is deployed".to_owned()),
    };
    if !script.enabled {
        return Err("the script is disabled".to_owned());
    }
    Ok(match &job.entry {
        None => script,
        entry => Arc::new(Script { entry: entry.clone(), ..Script::clone(&script) }),
    })
}

fn identity(host: &Host, job: &Claimed, id: String, caller: Option<&Caller>, script: Option<&Script>) -> Identity {
    let tenant = host.places().get(&job.tenant).map(|place| place.tenant.clone());
    let script = script.map(|script| tenant::Script {
        id: script.id.clone(),
        name: script.name.clone(),
        kind: script.kind.name().to_owned(),
        file: script.file.clone(),
    });
    Identity {
        tenant: tenant.unwrap_or_else(|| Tenant { id: job.tenant.clone(), name: String::new() }),
        user: caller.map(|caller| caller.user.clone()),
        script: script.unwrap_or_else(|| tenant::Script {
            id: job.script.clone(),
            name: job.script.clone(),
            kind: String::new(),
            file: String::new(),
        }),
        execution: Execution {
            id,
            triggered_by: job.triggered_by.clone(),
            cause: job.cause.clone().map(|event| Cause { event, depth: job.depth }),
        },
    }
}
