//! The secrets as scripts reach them.

use zeroize::Zeroizing;

use super::Name;
use crate::capabilities::grant::shown;
use crate::runtime::bindings::airlock::script::secrets::Host;
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::operations::Ticket;

/// A value with its name, which the script gave when it asked.
struct Given {
    name: Name,
    value: Zeroizing<String>,
}

impl Call {
    fn granted_secret(&self, name: &str) -> Result<Name, Failure> {
        let name: Name = name.parse().map_err(Failure::argument)?;
        self.grant
            .secrets
            .check(|granted| *granted == name, || (format!("the secret {}", shown(name.as_str())), name.to_string()))?;
        Ok(name)
    }
}

impl Host for Call {
    fn start_get(&mut self, name: String) -> wasmtime::Result<Ticket> {
        let name = self.granted_secret(&name);
        let (secrets, identity) = (self.process.secrets.clone(), self.identity.clone());
        Ok(self.start("secrets.get", async move {
            let name = name?;
            let value = secrets.get(&identity.tenant.id, &name).await?;
            Ok(Given { name, value })
        }))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<String, Failure>> {
        Ok(self.take::<Given>(ticket)?.map(|given| {
            // Before the script has it.
            self.held.log.redactor.add(given.name.as_str(), &given.value);
            given.value.to_string()
        }))
    }
}
