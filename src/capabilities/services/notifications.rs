//! To be written.

use crate::runtime::failure::Failure;

/// Sends messages.
#[derive(Clone)]
pub struct Notifications;

impl Notifications {
    /// Sends one mail.
    pub async fn send_email(
        &self,
        _identity: &crate::tenant::Identity,
        _arguments: serde_json::Value,
    ) -> Result<serde_json::Value, Failure> {
        Err(Failure::new("InternalError", "mail is not set up"))
    }
}
