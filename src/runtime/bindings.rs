//! The Rust side of `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "script",
    imports: {
        "airlock:script/tasks.wait": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    additional_derives: [Clone, PartialEq],
});
