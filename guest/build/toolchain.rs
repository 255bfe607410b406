//! Finds a C compiler for WebAssembly and runs the guest's build with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::quickjs;

/// The C stack in the linear memory. QuickJS stops at `JS_STACK` of it
/// (guest/src/load.rs); a larger one makes every fresh memory larger.
const STACK_SIZE: u32 = 1 << 20;

const WHAT_TO_INSTALL: &str = "\
Building the engine needs clang with a C library for WebAssembly. Do one of these:
  - on Debian or Ubuntu:  apt-get install clang lld llvm libclang-dev wasi-libc libclang-rt-dev-wasm32
  - elsewhere: install WASI SDK (and libclang), and set WASI_SDK to its folder
and the Rust target:      rustup target add wasm32-wasip1";

/// Where the C compiler comes from.
enum Compiler {
    /// An SDK's folder.
    Sdk(PathBuf),
    /// Debian's packages.
    System { headers: &'static str },
    /// rquickjs-sys downloads an SDK.
    Download,
}

impl Compiler {
    fn find() -> Result<Compiler> {
        println!("cargo:rerun-if-env-changed=WASI_SDK");
        if let Some(sdk) = std::env::var_os("WASI_SDK") {
            let sdk = PathBuf::from(sdk);
            if !sdk.join("bin/clang").exists() {
                bail!("WASI_SDK is {}, but there is no bin/clang in it.\n{WHAT_TO_INSTALL}", sdk.display());
            }
            return Ok(Compiler::Sdk(sdk));
        }
        let headers = "/usr/include/wasm32-wasi";
        let runs =
            |program: &str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if Path::new(headers).join("stdlib.h").exists() && runs("clang") {
            return Ok(Compiler::System { headers });
        }
        if runs("curl") { Ok(Compiler::Download) } else { bail!("{WHAT_TO_INSTALL}") }
    }
}

/// Builds the guest; answers the path of the linked module.
pub fn build_guest(out: &Path) -> Result<PathBuf> {
    // One place for all profiles: the engine is always optimised.
    let target = out.ancestors().nth(4).context("OUT_DIR has an unexpected form")?.join("guest");
    let cargo = std::env::var_os("CARGO").context("cargo sets CARGO")?;
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip1", "--manifest-path", "guest/Cargo.toml"])
        .env("CARGO_TARGET_DIR", &target)
        // The host's flags are not the guest's.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env(
            "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",
            format!("-C link-arg=-zstack-size={STACK_SIZE} -C target-feature=+bulk-memory,+sign-ext,+nontrapping-fptoint,+mutable-globals"),
        )
        .env("CC_wasm32_wasip1", std::env::current_exe()?);
    // Clang's defaults predate these, which every runtime has. The interpreter's loop runs
    // a little faster at -O2 than at -O3.
    //
    // Markers of where a variable's life ends make the ends of all operations one block,
    // which asks once more whether the operation failed: a twentieth of the loop's time.
    let features = "-O2 -Xclang -disable-lifetime-markers -mbulk-memory -msign-ext -mnontrapping-fptoint";
    // Where the flags change, QuickJS is compiled anew; the edits alone would
    // go unnoticed in a target folder that has it.
    let features = format!("{features} -DAIRLOCK_EDITS={}", quickjs::fingerprint());
    match Compiler::find()? {
        Compiler::Sdk(sdk) => {
            let root = format!("--sysroot={}", sdk.join("share/wasi-sysroot").display());
            command
                .env("RQUICKJS_SYS_NO_WASI_SDK", "1")
                .env(quickjs::COMPILER, sdk.join("bin/clang"))
                .env("AR_wasm32_wasip1", sdk.join("bin/llvm-ar"))
                .env("CFLAGS_wasm32_wasip1", format!("{root} {features}"))
                .env("BINDGEN_EXTRA_CLANG_ARGS_wasm32_wasip1", format!("{root} -fvisibility=default"));
        }
        Compiler::System { headers } => {
            let include = format!("-nostdlibinc -isystem {headers}");
            command
                .env("RQUICKJS_SYS_NO_WASI_SDK", "1")
                .env(quickjs::COMPILER, "clang")
                .env("AR_wasm32_wasip1", archiver())
                .env("CFLAGS_wasm32_wasip1", format!("{include} {features}"))
                .env("BINDGEN_EXTRA_CLANG_ARGS_wasm32_wasip1", format!("{include} -fvisibility=default"));
        }
        // rquickjs-sys sets CC to the clang that it downloaded.
        Compiler::Download => {
            command.env(quickjs::COMPILER, quickjs::COMPILER_IN_CC);
        }
    }
    let status = command.status().context("running cargo for the guest")?;
    if !status.success() {
        bail!("the guest did not build; the reason stands above.\n{WHAT_TO_INSTALL}");
    }
    Ok(target.join("wasm32-wasip1/release/airlock_guest.wasm"))
}

/// Debian names the archiver with LLVM's version.
fn archiver() -> String {
    let runs = |name: &String| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    std::iter::once("llvm-ar".to_owned())
        .chain((14..=30).rev().map(|version| format!("llvm-ar-{version}")))
        .find(runs)
        .unwrap_or_else(|| "ar".to_owned())
}
