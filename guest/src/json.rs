//! Values out of the sandbox: JSON text, or an error that names the path.

use javy::quickjs::{Ctx, Object, Result};

/// Everything is in `json.js`.
pub fn register<'js>(_ctx: &Ctx<'js>, _native: &Object<'js>) -> Result<()> {
    Ok(())
}
