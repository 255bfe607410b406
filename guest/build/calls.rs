//! Calls through the table become calls of functions that are named.
//!
//! QuickJS calls its built-in functions through pointers, some 800 of them. For that,
//! each instance has a table: wasmtime makes room for the descriptions of all 800,
//! describes a function when it is first called, and wipes the table afterwards. A
//! branch over the pointer's value needs nothing of an instance: a call in a sandbox
//! of its own takes an eighth less time, and one in a sandbox that was used before a
//! twelfth.
//!
//! Where few places call functions of a type, each has a branch of its own. The
//! others share one per type, in a function beside the engine's.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ElementSection, FuncType, Function, FunctionSection, InstructionSink, Module, TableSection,
    TypeSection, ValType,
};
use wasmparser::{ElementItems, ElementKind, ExternalKind, Operator, Parser, Payload, TypeRef};

/// A branch has its own copy in each place as long as these are no more than so
/// many calls in all.
const COPIES: usize = 256;

/// How functions of one type are called.
struct Calls {
    /// The pointer to each, and its index.
    targets: BTreeMap<u32, u32>,
    places: usize,
    /// The function that calls them, where places share it.
    shared: Option<u32>,
}

/// What a module says of its functions.
#[derive(Default)]
struct Found {
    types: Vec<FuncType>,
    /// The type of each function.
    functions: Vec<u32>,
    /// Pointers, and what they point to.
    table: Vec<(u32, u32)>,
    /// In how many places functions of a type are called through the table.
    places: BTreeMap<u32, usize>,
}

/// Fails where the module does more with its table than to call.
fn find(module: &[u8]) -> Result<Found> {
    let Found { mut types, mut functions, mut table, mut places } = Found::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(reencode::RoundtripReencoder.func_type(ty?)?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) => functions.push(ty),
                        _ => bail!("the guest imports what is no function"),
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(ty?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    ensure!(export?.kind != ExternalKind::Table, "the guest exports its table");
                }
            }
            Payload::ElementSection(section) => {
                for segment in section {
                    let segment = segment?;
                    let (
                        ElementKind::Active { table_index: None | Some(0), offset_expr },
                        ElementItems::Functions(items),
                    ) = (segment.kind, segment.items)
                    else {
                        bail!("the guest's table holds more than functions");
                    };
                    let start = crate::engine::constant(&offset_expr)? as u32;
                    for (offset, function) in items.into_iter().enumerate() {
                        table.push((start + offset as u32, function?));
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    match operator? {
                        Operator::CallIndirect { type_index, table_index: 0 } => {
                            *places.entry(type_index).or_default() += 1
                        }
                        Operator::CallIndirect { .. }
                        | Operator::ReturnCallIndirect { .. }
                        | Operator::RefFunc { .. }
                        | Operator::TableGet { .. }
                        | Operator::TableSet { .. }
                        | Operator::TableGrow { .. }
                        | Operator::TableSize { .. }
                        | Operator::TableFill { .. }
                        | Operator::TableCopy { .. }
                        | Operator::TableInit { .. } => bail!("the guest does more with its table than to call"),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Found { types, functions, table, places })
}

/// The module without its table.
pub fn direct(module: &[u8]) -> Result<Vec<u8>> {
    let Found { types, functions, table, places } = find(module)?;
    let mut calls: HashMap<FuncType, Calls> = HashMap::new();
    let ty = |index: u32| types.get(index as usize).context("the guest has a type that is not listed");
    for (index, places) in &places {
        let ty = ty(*index)?;
        ensure!(ty.results().len() <= 1, "the guest calls a function of several results through its table");
        calls.entry(ty.clone()).or_insert(Calls { targets: BTreeMap::new(), places: 0, shared: None }).places += places;
    }
    for (pointer, function) in table {
        let index = functions.get(function as usize).context("the guest's table names a function that is not there")?;
        if let Some(calls) = calls.get_mut(ty(*index)?) {
            calls.targets.insert(pointer, function);
        }
    }
    // In the order of the types, so that the same guest makes the same engine.
    let mut shared = Vec::new();
    for ty in &types {
        if let Some(calls) = calls.get_mut(ty)
            && calls.shared.is_none()
            && calls.places * calls.targets.len() > COPIES
        {
            calls.shared = Some((functions.len() + shared.len()) as u32);
            shared.push(ty.clone());
        }
    }

    let mut output = Module::new();
    Direct { types, functions, calls, shared, next: 0 }
        .parse_core_module(&mut output, Parser::new(0), module)
        .map_err(crate::engine::failed)?;
    Ok(output.finish())
}

struct Direct {
    types: Vec<FuncType>,
    functions: Vec<u32>,
    calls: HashMap<FuncType, Calls>,
    /// The types of the functions that places share.
    shared: Vec<FuncType>,
    /// The function whose body comes next.
    next: usize,
}

/// Calls the function that a pointer points to. The arguments are in locals one after
/// the other, from this one on, and then the pointer. The answer is left on the stack.
fn branch(sink: &mut InstructionSink<'_>, ty: &FuncType, calls: &Calls, arguments: u32) {
    let pointer = arguments + ty.params().len() as u32;
    let first = calls.targets.keys().next().copied().unwrap_or_default();
    let last = calls.targets.keys().next_back().copied().unwrap_or_default();
    let count = calls.targets.len() as u32;
    let mut targets = Vec::new();
    let mut at = 0;
    for value in first..=last {
        if calls.targets.contains_key(&value) {
            targets.push(at);
            at += 1;
        } else {
            targets.push(count);
        }
    }
    sink.block(ty.results().first().map_or(BlockType::Empty, |result| BlockType::Result(*result)));
    for _ in 0..=count {
        sink.block(BlockType::Empty);
    }
    sink.local_get(pointer).i32_const(first as i32).i32_sub();
    sink.br_table(targets, count).end();
    for (position, function) in calls.targets.values().enumerate() {
        for argument in arguments..pointer {
            sink.local_get(argument);
        }
        sink.call(*function).br(count - position as u32).end();
    }
    // It points to no function of that type.
    sink.unreachable().end();
}

impl Reencode for Direct {
    type Error = std::convert::Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        reencode::utils::parse_type_section(self, types, section)?;
        for ty in &self.shared {
            let params = [ty.params(), &[ValType::I32]].concat();
            types.ty().function(params, ty.results().iter().copied());
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        reencode::utils::parse_function_section(self, functions, section)?;
        for index in 0..self.shared.len() {
            functions.function((self.types.len() + index) as u32);
        }
        Ok(())
    }

    fn parse_table_section(
        &mut self,
        _: &mut TableSection,
        _: wasmparser::TableSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        Ok(())
    }

    /// The section stays, empty: the engine's own element goes there (engine.rs).
    fn parse_element(
        &mut self,
        _: &mut ElementSection,
        _: wasmparser::Element<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        self.next = self.functions.len() - section.count() as usize;
        reencode::utils::parse_code_section(self, code, section)?;
        for ty in &self.shared {
            let mut function = Function::new([]);
            let mut sink = function.instructions();
            branch(&mut sink, ty, &self.calls[ty], 0);
            sink.end();
            code.function(&function);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let mut locals = Vec::new();
        let mut count = self.types[self.functions[self.next] as usize].params().len() as u32;
        self.next += 1;
        for run in body.get_locals_reader()? {
            let (length, ty) = run?;
            count += length;
            locals.push((length, self.val_type(ty)?));
        }
        // Where the arguments of each type of function are kept, and the pointer
        // after them.
        let mut kept: HashMap<FuncType, u32> = HashMap::new();
        for operator in body.get_operators_reader()? {
            if let Operator::CallIndirect { type_index, .. } = operator? {
                let ty = &self.types[type_index as usize];
                if self.calls[ty].shared.is_none() && !kept.contains_key(ty) {
                    kept.insert(ty.clone(), count);
                    count += ty.params().len() as u32 + 1;
                    locals.extend(ty.params().iter().map(|ty| (1, *ty)).chain([(1, ValType::I32)]));
                }
            }
        }
        let mut function = Function::new(locals);
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            let Operator::CallIndirect { type_index, .. } = operator else {
                function.instruction(&self.instruction(operator)?);
                continue;
            };
            let ty = &self.types[type_index as usize];
            let calls = &self.calls[ty];
            let mut sink = function.instructions();
            if let Some(shared) = calls.shared {
                sink.call(shared);
                continue;
            }
            let arguments = kept[ty];
            for local in (0..=ty.params().len() as u32).rev() {
                sink.local_set(arguments + local);
            }
            branch(&mut sink, ty, calls, arguments);
        }
        code.function(&function);
        Ok(())
    }
}
