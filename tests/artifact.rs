//! The artifact: a component that needs nothing but what the WIT of `airlock`
//! says, and of which the host believes nothing but the data.

#[path = "support/mod.rs"]
mod support;

use std::sync::{Arc, OnceLock};

use airlock::compile::artifact::{self, NotAnArtifact};
use airlock::compile::{self, Compiled};
use airlock::host::{Host, Run};
use airlock::runtime::engine::{ENGINE, HEAD, TAIL};
use airlock::runtime::limits::Limits;
use airlock::runtime::outcome::Outcome;
use airlock::runtime::sandbox::Program;
use airlock::settings::Settings;
use airlock::tenant::{Execution, Identity, Script, Tenant};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Parser, Payload};

const SOURCE: &str = r#"
    const prices = new Map([["pen", 2], ["pad", 5]]);
    export default function total(names) {
        return names.reduce((sum, name) => sum + prices.get(name), 0);
    }
"#;

struct Fixture {
    runtime: tokio::runtime::Runtime,
    host: Host,
    compiled: Compiled,
    artifact: Vec<u8>,
    _data: tempfile::TempDir,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        let settings = Settings { data: data.path().to_owned(), ..Settings::default() };
        let host = runtime.block_on(Host::builder(settings).cache(support::cache()).open()).unwrap();
        let compiled =
            runtime.block_on(compile::compile(host.engine(), "prices.js", SOURCE, &Limits::default())).unwrap();
        let artifact = compiled.artifact();
        Fixture { runtime, host, compiled, artifact, _data: data }
    })
}

impl Fixture {
    fn run(&self, program: &Program, input: &str) -> Outcome {
        self.run_within(program, input, Limits::default())
    }

    fn run_within(&self, program: &Program, input: &str, limits: Limits) -> Outcome {
        let identity = Identity {
            tenant: Tenant { id: "tenant".into(), name: "Tenant".into() },
            user: None,
            script: Script {
                id: "prices".into(),
                name: "prices".into(),
                kind: "oneoff".into(),
                file: "prices.js".into(),
            },
            execution: Execution { id: "execution".into(), triggered_by: "manual".into(), cause: None },
        };
        let run = Run {
            identity: Arc::new(identity),
            limits: Arc::new(limits),
            grant: Arc::default(),
            entry: None,
            input: Some(input.into()),
            sink: None,
            origin: Default::default(),
        };
        self.runtime.block_on(self.host.run(program, run)).unwrap()
    }

    /// Why the host refuses these bytes.
    fn refusal(&self, bytes: &[u8]) -> String {
        match Program::load(self.host.engine(), bytes) {
            Ok(_) => panic!("{} bytes were accepted", bytes.len()),
            Err(error) => error.to_string(),
        }
    }
}

/// What a component itself imports and exports.
fn interface(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.unwrap();
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.unwrap();
                    if export.kind != ComponentExternalKind::Type {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn imports_nothing_but_airlocks_interfaces_and_exports_only_invoke() {
    let (mut imports, exports) = interface(&fixture().artifact);
    imports.sort();
    let expected = [
        "context", "db", "events", "http", "log", "progress", "secrets", "services", "storage", "tasks", "types",
        "utils",
    ];
    assert_eq!(imports, expected.map(|name| format!("airlock:script/{name}@0.1.0")));
    assert_eq!(exports, ["invoke"]);
}

#[test]
fn no_module_within_imports_wasi() {
    for payload in Parser::new(0).parse_all(&fixture().artifact) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            for import in section.into_imports() {
                let import = import.unwrap();
                assert!(!import.module.contains("wasi"), "{}::{}", import.module, import.name);
            }
        }
    }
}

#[test]
fn is_a_valid_component_of_the_basic_component_model() {
    // No proposal beyond what every runtime of components has.
    let mut validator = wasmparser::Validator::new_with_features(
        wasmparser::WasmFeatures::WASM2
            | wasmparser::WasmFeatures::COMPONENT_MODEL
            | wasmparser::WasmFeatures::EXTENDED_CONST,
    );
    validator.validate_all(&fixture().artifact).unwrap();
}

#[test]
fn loads_and_runs_as_the_source_does() {
    let fixture = fixture();
    let compiled = &fixture.compiled;
    let direct =
        Program::from_snapshot(fixture.host.engine(), &compiled.snapshot, compiled.description.clone()).unwrap();
    let loaded = Program::load(fixture.host.engine(), &fixture.artifact).unwrap();
    let (direct, loaded) =
        (fixture.run(&direct, r#"["pen","pad","pad"]"#), fixture.run(&loaded, r#"["pen","pad","pad"]"#));
    assert_eq!(loaded.result.unwrap().get(), "12");
    assert_eq!(direct.result.unwrap().get(), "12");
    assert_eq!(direct.fuel, loaded.fuel);
}

#[test]
fn the_same_source_makes_the_same_bytes() {
    let fixture = fixture();
    let source = format!("{SOURCE}\nexport const drawn = [Math.random(), {{}}, new Map([[1, () => 1]])];");
    let compile = || {
        fixture
            .runtime
            .block_on(compile::compile(fixture.host.engine(), "prices.js", &source, &Limits::default()))
            .unwrap()
    };
    let (one, other) = (compile(), compile());
    assert!(one.artifact() == other.artifact(), "two compilations of one source differ");
}

#[test]
fn what_is_cut_short_is_refused() {
    let fixture = fixture();
    let bytes = &fixture.artifact;
    let ends = (0..200).chain((200..bytes.len()).step_by(9973)).chain(bytes.len() - 200..bytes.len());
    for end in ends {
        let reason = fixture.refusal(&bytes[..end]);
        let expected = if end < 4 { "it is not WebAssembly" } else { "cut short or damaged" };
        assert!(reason.contains(expected), "{end} bytes: {reason}");
    }
}

#[test]
fn a_changed_byte_of_the_engine_is_refused() {
    let fixture = fixture();
    let before = HEAD.len() + ENGINE.len();
    let end = fixture.artifact.len();
    let places = (0..HEAD.len())
        .step_by(61)
        .chain((HEAD.len()..before).step_by(99_991))
        .chain((end - TAIL.len()..end).step_by(61));
    for place in places {
        let mut changed = fixture.artifact.clone();
        changed[place] ^= 0x10;
        fixture.refusal(&changed);
    }
}

/// Its memory may be anything: that is a broken script in its own sandbox. All
/// else is refused.
#[test]
fn a_changed_byte_of_the_snapshot_is_refused_or_changes_its_memory_alone() {
    let fixture = fixture();
    let snapshot = &fixture.compiled.snapshot;
    let (mut refused, mut ran) = (0, 0);
    for place in (0..400).chain((400..snapshot.len()).step_by(7919)) {
        let mut changed = snapshot.clone();
        changed[place] ^= 0x41;
        let assembled = artifact::assemble(&changed);
        match artifact::disassemble(&assembled) {
            Err(NotAnArtifact::Snapshot(_)) => refused += 1,
            Err(other) => panic!("byte {place}: {other}"),
            Ok((taken, _)) => {
                assert!(taken == changed, "byte {place}: what is loaded is not what stands there");
                assert_eq!(without_memory(&changed), without_memory(snapshot), "byte {place}");
                // However it ends, it ends.
                let program = Program::load(fixture.host.engine(), &assembled).unwrap();
                fixture.run_within(&program, r#"["pen"]"#, Limits { timeout: 500, grace: 100, ..Limits::default() });
                ran += 1;
            }
        }
    }
    assert!(refused > 50 && ran > 50, "{refused} were refused, and {ran} ran");
    let sound = Program::load(fixture.host.engine(), &fixture.artifact).unwrap();
    assert_eq!(fixture.run(&sound, r#"["pen"]"#).result.unwrap().get(), "2", "the host goes on");
}

/// The sections of a module, but how large its memory is and what is in it.
fn without_memory(module: &[u8]) -> Vec<String> {
    let mut shape = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::MemorySection(_) => shape.push("memory".to_owned()),
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = segment.unwrap();
                    shape.push(format!("{:?} {}", segment.range, segment.data.len()));
                }
            }
            Payload::CustomSection(section) => shape.push(format!("{} {}", section.name(), section.data().len())),
            other => {
                let section = other.as_section().map(|(id, range)| (id, module[range].to_vec()));
                shape.push(format!("{section:?}"));
            }
        }
    }
    shape
}

#[test]
fn sections_beyond_the_last_are_refused() {
    let fixture = fixture();
    let mut longer = fixture.artifact.clone();
    // A custom section that would be harmless.
    longer.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    assert!(fixture.refusal(&longer).contains("not one that this version of airlock compiled"));
    let mut twice = fixture.artifact.clone();
    twice.extend(&fixture.artifact[8..]);
    assert!(fixture.refusal(&twice).contains("not one that this version of airlock compiled"));
}

#[test]
fn other_components_are_refused() {
    let fixture = fixture();
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::ModuleSection(&wasm_encoder::Module::new()));
    let bytes = component.finish();
    assert!(
        fixture.refusal(&bytes).contains("not one that this version of airlock compiled"),
        "{}",
        fixture.refusal(&bytes)
    );
}

#[test]
fn core_modules_and_other_files_are_refused() {
    let fixture = fixture();
    assert!(fixture.refusal(&wasm_encoder::Module::new().finish()).contains("a core WebAssembly module"));
    assert!(fixture.refusal(ENGINE).contains("a core WebAssembly module"));
    assert!(fixture.refusal(&fixture.compiled.snapshot).contains("a core WebAssembly module"));
    for bytes in [&b""[..], b"\0", b"function main() {}", b"\x7fELF"] {
        assert!(fixture.refusal(bytes).contains("it is not WebAssembly"));
    }
}

/// What a snapshot has in another's place.
#[derive(Default)]
struct Smuggled {
    code: bool,
    start: bool,
    import: bool,
    export: bool,
    no_memory: bool,
    large_memory: bool,
    far_data: bool,
    no_description: bool,
}

/// Copies a snapshot section by section, changed.
fn smuggle(snapshot: &[u8], smuggled: &Smuggled) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    let mut reencoder = RoundtripReencoder;
    for payload in Parser::new(0).parse_all(snapshot) {
        match payload.unwrap() {
            Payload::CustomSection(section) if !smuggled.no_description => {
                module
                    .section(&wasm_encoder::CustomSection { name: section.name().into(), data: section.data().into() });
            }
            Payload::TypeSection(section) => {
                let mut types = wasm_encoder::TypeSection::new();
                reencoder.parse_type_section(&mut types, section).unwrap();
                types.ty().function([], []);
                module.section(&types);
                if smuggled.import {
                    let mut imports = wasm_encoder::ImportSection::new();
                    imports.import("wasi_snapshot_preview1", "proc_exit", wasm_encoder::EntityType::Function(1));
                    module.section(&imports);
                }
            }
            Payload::FunctionSection(section) => {
                let mut functions = wasm_encoder::FunctionSection::new();
                reencoder.parse_function_section(&mut functions, section).unwrap();
                functions.function(1);
                module.section(&functions);
            }
            Payload::TableSection(section) => {
                let mut tables = wasm_encoder::TableSection::new();
                reencoder.parse_table_section(&mut tables, section).unwrap();
                module.section(&tables);
            }
            Payload::MemorySection(section) => {
                let mut memories = wasm_encoder::MemorySection::new();
                if smuggled.large_memory {
                    memories.memory(wasm_encoder::MemoryType {
                        minimum: 65_536,
                        maximum: None,
                        memory64: false,
                        shared: false,
                        page_size_log2: None,
                    });
                } else if !smuggled.no_memory {
                    reencoder.parse_memory_section(&mut memories, section).unwrap();
                }
                module.section(&memories);
            }
            Payload::ExportSection(section) => {
                let mut exports = wasm_encoder::ExportSection::new();
                reencoder.parse_export_section(&mut exports, section).unwrap();
                if smuggled.export {
                    exports.export("more", wasm_encoder::ExportKind::Func, 1);
                }
                module.section(&exports);
                if smuggled.start {
                    module.section(&wasm_encoder::StartSection { function_index: 1 });
                }
            }
            Payload::CodeSectionStart { .. } => {
                let mut code = wasm_encoder::CodeSection::new();
                for function in 0..2 {
                    let mut body = wasm_encoder::Function::new([]);
                    if smuggled.code || smuggled.start {
                        // for (;;) {}
                        body.instructions().loop_(wasm_encoder::BlockType::Empty).br(0).end().unreachable().end();
                    } else if function == 0 {
                        body.instructions().unreachable().end();
                    } else {
                        body.instructions().end();
                    }
                    code.function(&body);
                }
                module.section(&code);
            }
            Payload::DataSection(section) => {
                let mut data = wasm_encoder::DataSection::new();
                reencoder.parse_data_section(&mut data, section).unwrap();
                if smuggled.far_data {
                    data.active(0, &wasm_encoder::ConstExpr::i32_const(-8), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
                }
                module.section(&data);
            }
            _ => {}
        }
    }
    module.finish()
}

#[test]
fn code_in_a_snapshot_is_never_run() {
    let fixture = fixture();
    let attempts = [
        ("code", Smuggled { code: true, ..Smuggled::default() }),
        ("start", Smuggled { start: true, ..Smuggled::default() }),
        ("import", Smuggled { import: true, ..Smuggled::default() }),
        ("export", Smuggled { export: true, ..Smuggled::default() }),
    ];
    for (name, smuggled) in attempts {
        let artifact = artifact::assemble(&smuggle(&fixture.compiled.snapshot, &smuggled));
        match artifact::disassemble(&artifact) {
            // Only the data was taken out.
            Ok((snapshot, _)) => assert!(snapshot == fixture.compiled.snapshot, "{name}: something of it was kept"),
            Err(reason) => {
                assert!(reason.to_string().contains("its snapshot is not one that airlock made"), "{name}: {reason}")
            }
        }
    }
}

#[test]
fn a_snapshot_of_another_shape_is_refused() {
    let fixture = fixture();
    let attempts = [
        ("no memory", Smuggled { no_memory: true, ..Smuggled::default() }),
        ("four gigabytes", Smuggled { large_memory: true, ..Smuggled::default() }),
        ("data beyond the memory", Smuggled { far_data: true, ..Smuggled::default() }),
        ("no description", Smuggled { no_description: true, ..Smuggled::default() }),
    ];
    for (name, smuggled) in attempts {
        let artifact = artifact::assemble(&smuggle(&fixture.compiled.snapshot, &smuggled));
        let reason = fixture.refusal(&artifact);
        assert!(reason.contains("its snapshot is not one that airlock made"), "{name}: {reason}");
    }
    let reason = fixture.refusal(&artifact::assemble(b"not a module"));
    assert!(reason.contains("its snapshot is not one that airlock made"), "{reason}");
    let reason = fixture.refusal(&artifact::assemble(&wasm_encoder::Component::new().finish()));
    assert!(reason.contains("its snapshot is not one that airlock made"), "{reason}");
    let reason = fixture.refusal(&artifact::assemble(ENGINE));
    assert!(matches!(artifact::disassemble(&artifact::assemble(ENGINE)), Err(NotAnArtifact::Snapshot(_))), "{reason}");
}
