//! From the linked guest to the engine that the host instantiates: no WASI, and
//! no memory of its own.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportSection, ImportSection,
    Instruction, MemorySection, MemoryType, Module, RefType, TableType,
};
use wasmparser::{DataKind, ExternalKind, Operator, Parser, Payload, TypeRef};

use crate::image;

const WASI: &str = "wasi_snapshot_preview1";
/// The guest exports what stands in for a WASI import under this prefix.
const STAND_IN: &str = "airlock_wasi_";
/// What the engine imports the snapshot's exports from.
pub const SNAPSHOT: &str = "snapshot";

pub struct Parts {
    /// The engine's code; it imports the memory.
    pub engine: Vec<u8>,
    /// The memory before any script, as a module like a snapshot.
    pub base: Vec<u8>,
    /// Where the C stack ends.
    pub stack_top: u32,
}

pub fn failed<E: std::error::Error + Send + Sync + 'static>(error: reencode::Error<E>) -> anyhow::Error {
    anyhow::anyhow!("rewriting the engine: {error}")
}

/// Binds the WASI imports to the guest's own functions.
pub fn without_wasi(module: &[u8]) -> Result<Vec<u8>> {
    let mut imports = Vec::new();
    let mut exports = HashMap::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.push(import?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        exports.insert(export.name, export.index);
                    }
                }
            }
            _ => {}
        }
    }
    let removed = imports.iter().filter(|import| import.module == WASI).count() as u32;
    let count = imports.len() as u32;
    let mut kept = 0;
    let mut functions = Vec::new();
    for import in &imports {
        ensure!(
            matches!(import.ty, TypeRef::Func(_)),
            "the guest imports {}.{}, which is no function",
            import.module,
            import.name
        );
        if import.module == WASI {
            let stand_in = format!("{STAND_IN}{}", import.name);
            let index = exports.get(stand_in.as_str()).with_context(|| {
                format!("the guest imports {WASI}.{}, and guest/src/wasi.rs has no {stand_in}", import.name)
            })?;
            functions.push(index - removed);
        } else {
            functions.push(kept);
            kept += 1;
        }
    }

    struct Unbind {
        functions: Vec<u32>,
        imports: u32,
        removed: u32,
    }
    impl Reencode for Unbind {
        type Error = std::convert::Infallible;

        fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<Self::Error>> {
            Ok(if index < self.imports { self.functions[index as usize] } else { index - self.removed })
        }

        fn parse_imports(
            &mut self,
            imports: &mut ImportSection,
            section: wasmparser::Imports<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            for import in section {
                let (_, import) = import?;
                if import.module != WASI {
                    reencode::utils::parse_imports(self, imports, wasmparser::Imports::Single(0, import))?;
                }
            }
            Ok(())
        }

        fn parse_export(
            &mut self,
            exports: &mut ExportSection,
            export: wasmparser::Export<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            if export.name.starts_with(STAND_IN) {
                Ok(())
            } else {
                reencode::utils::parse_export(self, exports, export)
            }
        }

        fn parse_custom_section(
            &mut self,
            module: &mut Module,
            section: wasmparser::CustomSectionReader<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            // What wit-component reads; the rest describes the build.
            if section.name().starts_with("component-type") {
                reencode::utils::parse_custom_section(self, module, section)
            } else {
                Ok(())
            }
        }
    }
    let mut output = Module::new();
    Unbind { functions, imports: count, removed }
        .parse_core_module(&mut output, Parser::new(0), module)
        .map_err(failed)?;
    Ok(output.finish())
}

/// Takes the memory out of the module.
pub fn split(module: &[u8]) -> Result<Parts> {
    let mut memory_pages = None;
    let mut segments: Vec<(u32, &[u8])> = Vec::new();
    let mut mutable_globals = Vec::new();
    let mut realloc = None;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::MemorySection(section) => {
                for memory in section {
                    memory_pages = Some(memory?.initial);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    if global.ty.mutable {
                        mutable_globals.push(constant(&global.init_expr)?);
                    }
                }
            }
            Payload::DataSection(section) => {
                for segment in section {
                    let segment = segment?;
                    match segment.kind {
                        DataKind::Active { memory_index: 0, offset_expr } => {
                            segments.push((constant(&offset_expr)? as u32, segment.data))
                        }
                        _ => bail!("the guest has a data segment that is not active"),
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.name == "cabi_realloc" {
                        realloc = Some(export.index);
                    }
                }
            }
            _ => {}
        }
    }
    let pages = memory_pages.context("the guest has no memory")?;
    let realloc = realloc.context("the guest has no cabi_realloc")?;
    // The snapshot keeps memory alone. The stack pointer is back at its start
    // whenever the guest has returned; any other global would lose its value.
    let [stack_top] = mutable_globals[..] else {
        bail!(
            "the guest has {} mutable globals, and the snapshot keeps none but the stack pointer",
            mutable_globals.len()
        );
    };

    struct Unmemory {
        pages: u64,
        realloc: u32,
    }
    impl Unmemory {
        fn import(&self, imports: &mut ImportSection) {
            imports.import(
                SNAPSHOT,
                image::MEMORY,
                MemoryType { minimum: self.pages, maximum: None, memory64: false, shared: false, page_size_log2: None },
            );
            imports.import(
                SNAPSHOT,
                image::TABLE,
                EntityType::Table(TableType {
                    element_type: RefType::FUNCREF,
                    table64: false,
                    minimum: 1,
                    maximum: Some(1),
                    shared: false,
                }),
            );
        }
    }
    impl Reencode for Unmemory {
        type Error = std::convert::Infallible;

        /// A `nop` begins each loop. The host gives fuel's price to it alone
        /// (src/runtime/engine.rs), which is far cheaper than counting in every
        /// branch.
        fn parse_function_body(
            &mut self,
            code: &mut CodeSection,
            body: wasmparser::FunctionBody<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            let mut function = self.new_function_with_parsed_locals(&body)?;
            let mut reader = body.get_operators_reader()?;
            while !reader.eof() {
                let instruction = self.parse_instruction(&mut reader)?;
                let begins_loop = matches!(instruction, Instruction::Loop(_));
                function.instruction(&instruction);
                if begins_loop {
                    function.instruction(&Instruction::Nop);
                }
            }
            code.function(&function);
            Ok(())
        }

        fn parse_import_section(
            &mut self,
            imports: &mut ImportSection,
            section: wasmparser::ImportSectionReader<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            reencode::utils::parse_import_section(self, imports, section)?;
            self.import(imports);
            Ok(())
        }

        fn parse_memory_section(
            &mut self,
            _: &mut MemorySection,
            _: wasmparser::MemorySectionReader<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            Ok(())
        }

        fn parse_data_section(
            &mut self,
            _: &mut DataSection,
            _: wasmparser::DataSectionReader<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            Ok(())
        }

        fn data_count(&mut self, _: u32) -> Result<u32, reencode::Error<Self::Error>> {
            Ok(0)
        }

        fn parse_element_section(
            &mut self,
            elements: &mut ElementSection,
            section: wasmparser::ElementSectionReader<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            reencode::utils::parse_element_section(self, elements, section)?;
            elements.active(Some(0), &ConstExpr::i32_const(0), Elements::Functions([self.realloc].as_slice().into()));
            Ok(())
        }

        fn parse_export(
            &mut self,
            exports: &mut ExportSection,
            export: wasmparser::Export<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            if export.kind == ExternalKind::Func {
                reencode::utils::parse_export(self, exports, export)
            } else {
                Ok(())
            }
        }

        fn parse_custom_section(
            &mut self,
            _: &mut Module,
            _: wasmparser::CustomSectionReader<'_>,
        ) -> Result<(), reencode::Error<Self::Error>> {
            Ok(())
        }
    }
    let mut output = Module::new();
    Unmemory { pages, realloc }.parse_core_module(&mut output, Parser::new(0), module).map_err(failed)?;
    let engine = output.finish();
    wasmparser::validate(&engine).context("the engine is not valid")?;
    let base = image::encode(pages as usize * 65_536, segments.into_iter(), None);
    wasmparser::validate(&base).context("the base memory is not valid")?;
    Ok(Parts { engine, base, stack_top: stack_top as u32 })
}

pub fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<i32> {
    match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Ok(value),
        other => bail!("expected a constant, found {other:?}"),
    }
}
