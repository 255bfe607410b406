//! The component around the engine and a snapshot.
//!
//! wit-component encodes the types and the imported interfaces; the rest is ours,
//! because the memory comes from the snapshot and not from the engine.
//!
//! An artifact is `head`, the engine as a module section, the snapshot as a
//! module section, `tail`. The host loads one component for all scripts, in which
//! the snapshot is imported instead, and which exports the engine. That the engine
//! is part of it saves each call to look up all of its imports by their names.

use anyhow::{Context, Result, bail};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentImportSection, ComponentSectionId, ComponentTypeRef, ComponentTypeSection,
    ComponentValType, CoreTypeSection, EntityType, ExportKind, InstanceSection, MemoryType, ModuleArg, ModuleType,
    PrimitiveValType, RawSection, RefType, TableType, ValType,
};
use wasmparser::{Parser, Payload, TypeRef, Validator, WasmFeatures};

use crate::engine::SNAPSHOT;
use crate::image;

pub struct Template {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    /// What follows the engine in the host's component: the snapshot as an import,
    /// `tail`, and the engine as an export, for those who make snapshots.
    pub shared: Vec<u8>,
}

/// The core modules' indices in artifacts and the host's component.
const ENGINE_MODULE: u32 = 0;
const SNAPSHOT_MODULE: u32 = 1;

/// `module` still has its memory and the description of its world.
pub fn template(module: &[u8], engine: &[u8]) -> Result<Template> {
    let whole = wit_component::ComponentEncoder::default().module(module)?.validate(true).encode()?;
    let head = head(&whole)?;
    let tail = tail(&head, engine)?;
    let mut shared = import(engine)?;
    shared.extend_from_slice(&tail);
    let mut exports = ComponentExportSection::new();
    exports.export("engine", ComponentExportKind::Module, ENGINE_MODULE, None);
    append(&mut shared, &exports);

    let mut component = head.clone();
    append(&mut component, &RawSection { id: ComponentSectionId::CoreModule.into(), data: engine });
    component.extend_from_slice(&shared);
    Validator::new_with_features(WasmFeatures::all()).validate_all(&component).context("the component is not valid")?;
    Ok(Template { head, tail, shared })
}

/// Everything before the first module: types and imported instances.
fn head(component: &[u8]) -> Result<Vec<u8>> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ModuleSection { unchecked_range, .. } = payload? {
            // The section's id and length stand before its contents.
            let mut length = unchecked_range.len() as u64;
            let mut prefix = 2;
            while length >= 0x80 {
                length >>= 7;
                prefix += 1;
            }
            return Ok(component[..unchecked_range.start - prefix].to_vec());
        }
    }
    bail!("the component has no module")
}

/// The snapshot as an import.
fn import(engine: &[u8]) -> Result<Vec<u8>> {
    let mut types = CoreTypeSection::new();
    let mut snapshot = ModuleType::new();
    snapshot.ty().function([ValType::I32; 4], [ValType::I32]);
    let memory = memory_import(engine)?;
    snapshot.export(image::MEMORY, EntityType::Memory(memory));
    snapshot.export(
        image::TABLE,
        EntityType::Table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: 1,
            maximum: Some(1),
            shared: false,
        }),
    );
    snapshot.export(image::REALLOC, EntityType::Function(0));
    types.ty().module(&snapshot);

    let mut imports = ComponentImportSection::new();
    imports.import(SNAPSHOT, ComponentTypeRef::Module(0));
    let mut bytes = Vec::new();
    append(&mut bytes, &types);
    append(&mut bytes, &imports);
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, section: &impl wasm_encoder::ComponentSection) {
    section.append_to_component(bytes);
}

fn memory_import(engine: &[u8]) -> Result<MemoryType> {
    for payload in Parser::new(0).parse_all(engine) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                if let TypeRef::Memory(memory) = import?.ty {
                    return Ok(MemoryType {
                        minimum: memory.initial,
                        maximum: None,
                        memory64: false,
                        shared: false,
                        page_size_log2: None,
                    });
                }
            }
        }
    }
    bail!("the engine imports no memory")
}

/// The index of each imported instance.
fn instances(head: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(head) {
        if let Payload::ComponentImportSection(section) = payload? {
            for import in section {
                let import = import?;
                if matches!(import.ty, wasmparser::ComponentTypeRef::Instance(_)) {
                    names.push(import.name.name.to_owned());
                }
            }
        }
    }
    Ok(names)
}

/// Instantiates the engine on the snapshot and lifts `invoke`.
fn tail(head: &[u8], engine: &[u8]) -> Result<Vec<u8>> {
    let instances = instances(head)?;
    let instance = |name: &str| {
        instances
            .iter()
            .position(|known| known == name)
            .map(|index| index as u32)
            .with_context(|| format!("the world does not import {name}"))
    };
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(head)?;
    let mut next_type = types.as_ref().component_type_count();
    let mut imports: Vec<(String, Vec<String>)> = Vec::new();
    for payload in Parser::new(0).parse_all(engine) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                if import.module == SNAPSHOT {
                    continue;
                }
                match imports.iter_mut().find(|(module, _)| module == import.module) {
                    Some((_, names)) => names.push(import.name.to_owned()),
                    None => imports.push((import.module.to_owned(), vec![import.name.to_owned()])),
                }
            }
        }
    }

    let mut bytes = Vec::new();
    let no_arguments: [(&str, ModuleArg); 0] = [];
    let mut section = InstanceSection::new();
    section.instantiate(SNAPSHOT_MODULE, no_arguments);
    append(&mut bytes, &section);

    let mut aliases = ComponentAliasSection::new();
    let snapshot = 0;
    aliases.alias(Alias::CoreInstanceExport { instance: snapshot, kind: ExportKind::Memory, name: image::MEMORY });
    aliases.alias(Alias::CoreInstanceExport { instance: snapshot, kind: ExportKind::Func, name: image::REALLOC });
    let realloc = 0;
    for (module, names) in &imports {
        for name in names {
            aliases.alias(Alias::InstanceExport { instance: instance(module)?, kind: ComponentExportKind::Func, name });
        }
    }
    append(&mut bytes, &aliases);

    let options = [CanonicalOption::UTF8, CanonicalOption::Memory(0), CanonicalOption::Realloc(realloc)];
    let mut lowered = CanonicalFunctionSection::new();
    let count: u32 = imports.iter().map(|(_, names)| names.len() as u32).sum();
    for function in 0..count {
        lowered.lower(function, options);
    }
    append(&mut bytes, &lowered);

    let mut section = InstanceSection::new();
    let mut function = realloc + 1;
    let mut arguments = vec![(SNAPSHOT, ModuleArg::Instance(snapshot))];
    let mut next_instance = snapshot + 1;
    for (module, names) in &imports {
        let items: Vec<_> = names
            .iter()
            .map(|name| {
                function += 1;
                (name.as_str(), ExportKind::Func, function - 1)
            })
            .collect();
        section.export_items(items);
        arguments.push((module, ModuleArg::Instance(next_instance)));
        next_instance += 1;
    }
    section.instantiate(ENGINE_MODULE, arguments);
    let main = next_instance;
    append(&mut bytes, &section);

    let world_types = instance("airlock:script/types@0.1.0")?;
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport { instance: main, kind: ExportKind::Func, name: "invoke" });
    aliases.alias(Alias::CoreInstanceExport { instance: main, kind: ExportKind::Func, name: "cabi_post_invoke" });
    let invoke = function;
    let post_return = function + 1;
    aliases.alias(Alias::InstanceExport { instance: world_types, kind: ComponentExportKind::Type, name: "call" });
    aliases.alias(Alias::InstanceExport {
        instance: world_types,
        kind: ComponentExportKind::Type,
        name: "script-error",
    });
    let call = next_type;
    let script_error = next_type + 1;
    next_type += 2;
    append(&mut bytes, &aliases);

    let mut section = ComponentTypeSection::new();
    section.defined_type().result(Some(PrimitiveValType::String.into()), Some(ComponentValType::Type(script_error)));
    section.function().params([("call", ComponentValType::Type(call))]).result(Some(ComponentValType::Type(next_type)));
    let signature = next_type + 1;
    append(&mut bytes, &section);

    let mut lifted = CanonicalFunctionSection::new();
    lifted.lift(
        invoke,
        signature,
        [
            CanonicalOption::UTF8,
            CanonicalOption::Memory(0),
            CanonicalOption::Realloc(realloc),
            CanonicalOption::PostReturn(post_return),
        ],
    );
    append(&mut bytes, &lifted);

    let mut exports = ComponentExportSection::new();
    exports.export("invoke", ComponentExportKind::Func, count, None);
    append(&mut bytes, &exports);
    Ok(bytes)
}
