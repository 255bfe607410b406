//! Builds the engine from the sources under `guest/`: QuickJS and our Rust,
//! compiled to WebAssembly, freed of WASI, and cut into what the host loads.
//!
//! The same program also serves as the C compiler of the guest's build: see
//! [`quickjs`].

mod calls;
mod component;
mod engine;
#[path = "../../src/compile/image.rs"]
mod image;
mod quickjs;
mod toolchain;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if let Some(compiler) = std::env::var_os(quickjs::COMPILER) {
        return quickjs::compile(&compiler);
    }
    for path in [
        "guest/Cargo.toml",
        "guest/Cargo.lock",
        "guest/src",
        "guest/build",
        "wit",
        "src/compile/image.rs",
        "src/store/migrations",
    ] {
        println!("cargo:rerun-if-changed={path}");
    }
    let out = std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?;
    let out = Path::new(&out);

    let linked = toolchain::build_guest(out)?;
    let linked = std::fs::read(&linked).with_context(|| format!("reading {}", linked.display()))?;

    let module = calls::direct(&engine::without_wasi(&linked)?)?;
    let parts = engine::split(&module)?;
    let template = component::template(&module, &parts.engine)?;

    for (name, bytes) in [
        ("engine.wasm", &parts.engine),
        ("base.wasm", &parts.base),
        ("head.bin", &template.head),
        ("tail.bin", &template.tail),
        ("shared.bin", &template.shared),
    ] {
        std::fs::write(out.join(name), bytes).with_context(|| format!("writing {name}"))?;
    }
    std::fs::write(
        out.join("engine.rs"),
        format!(
            "/// Where the engine's C stack ends and its data begins.\npub const STACK_TOP: usize = {};\n",
            parts.stack_top
        ),
    )?;
    Ok(())
}
