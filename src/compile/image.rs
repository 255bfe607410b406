//! The snapshot as a core module: it defines the linear memory, with what a
//! script's top level left in it, and exports it to the engine.
//!
//! It also holds the function through which the host allocates in that memory.
//! The engine comes later than the memory, so the function calls through a
//! table of one element that the engine fills with its own `cabi_realloc`. That
//! saves the component a shim and a fix-up module, two instances in every call.

use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataSection, ExportKind, ExportSection, Function, FunctionSection,
    MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection, ValType,
};

/// The custom section that describes the script, as JSON.
pub const DESCRIPTION: &str = "airlock";

/// What the module exports and the engine imports.
pub const MEMORY: &str = "memory";
pub const TABLE: &str = "realloc-table";
pub const REALLOC: &str = "realloc";

const WASM_PAGE: usize = 65_536;

/// Encodes a memory of that many bytes (whole Wasm pages) with these segments.
pub fn encode<'a>(size: usize, segments: impl Iterator<Item = (u32, &'a [u8])>, description: Option<&[u8]>) -> Vec<u8> {
    let mut module = Module::new();
    if let Some(description) = description {
        module.section(&CustomSection { name: DESCRIPTION.into(), data: description.into() });
    }

    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    module.section(&types);

    let mut functions = FunctionSection::new();
    functions.function(0);
    module.section(&functions);

    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: Some(1),
        shared: false,
    });
    module.section(&tables);

    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: size.div_ceil(WASM_PAGE) as u64,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    module.section(&memories);

    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0);
    exports.export(TABLE, ExportKind::Table, 0);
    exports.export(REALLOC, ExportKind::Func, 0);
    module.section(&exports);

    let mut code = CodeSection::new();
    let mut realloc = Function::new([]);
    let mut body = realloc.instructions();
    for argument in 0..4 {
        body.local_get(argument);
    }
    body.i32_const(0).call_indirect(0, 0).end();
    code.function(&realloc);
    module.section(&code);

    let mut data = DataSection::new();
    for (offset, bytes) in segments {
        data.active(0, &ConstExpr::i32_const(offset as i32), bytes.iter().copied());
    }
    module.section(&data);
    module.finish()
}
