//! The changes that QuickJS needs to run untrusted code on WebAssembly.
//!
//! They are made on the copy that rquickjs-sys compiles: the guest's build is
//! given this program as its C compiler, which edits `quickjs.c` and passes
//! everything on to clang. An edit that no longer fits fails the build, so an
//! upgrade can't lose one silently.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Set for the guest's build: the compiler to pass on to.
pub const COMPILER: &str = "AIRLOCK_GUEST_COMPILER";
/// Its value where the compiler is named by CC.
pub const COMPILER_IN_CC: &str = "CC";

struct Edit {
    why: &'static str,
    find: &'static str,
    replace: &'static str,
    times: usize,
}

/// See the edit that it is for.
const PUSH: &str = r"/* Takes the conditional jump that comes next, or leaves the answer for what does. */
#define AIRLOCK_ANSWER(truth)                                   \
            do {                                                \
                bool answer = (truth);                          \
                if (*pc == OP_if_false8) {                      \
                    pc += 2;                                    \
                    if (!answer)                                \
                        pc += (int8_t)pc[-1] - 1;               \
                    if (unlikely(js_poll_interrupts(ctx)))      \
                        goto exception;                         \
                } else {                                        \
                    *sp++ = js_bool(answer);                    \
                }                                               \
            } while (0)
            {
                int32_t number;
                number = opcode - OP_push_0;
                goto push_number;
        CASE(OP_push_i8):
                number = get_i8(pc);
                pc += 1;
            push_number:
                if ((uint8_t)(*pc - OP_add) <= OP_gte - OP_add && JS_VALUE_GET_TAG(sp[-1]) == JS_TAG_INT) {
                    int32_t left = JS_VALUE_GET_INT(sp[-1]);
                    int32_t result;
                    switch (*pc) {
                    case OP_add:
                        if (__builtin_add_overflow(left, number, &result))
                            break;
                        pc++;
                        sp[-1] = js_int32(result);
                        goto pushed;
                    case OP_sub:
                        if (__builtin_sub_overflow(left, number, &result))
                            break;
                        pc++;
                        sp[-1] = js_int32(result);
                        goto pushed;
                    case OP_lt:
                        pc++;
                        sp--;
                        AIRLOCK_ANSWER(left < number);
                        goto pushed;
                    case OP_lte:
                        pc++;
                        sp--;
                        AIRLOCK_ANSWER(left <= number);
                        goto pushed;
                    case OP_gt:
                        pc++;
                        sp--;
                        AIRLOCK_ANSWER(left > number);
                        goto pushed;
                    case OP_gte:
                        pc++;
                        sp--;
                        AIRLOCK_ANSWER(left >= number);
                        goto pushed;
                    }
                }
                *sp++ = js_int32(number);
            pushed:;
            }
            BREAK;
";

const EDITS: &[Edit] = &[
    Edit {
        why: "QuickJS does not check its stack on WASI, so recursion would trap instead of throwing",
        find: "#ifdef __wasi__\n    rt->stack_size = 0;\n#endif\n",
        replace: "",
        times: 1,
    },
    Edit {
        why: "the same, where the limit is computed",
        find: "#if defined(__wasi__)\n    rt->stack_limit = 0; /* no limit */\n#else",
        replace: "#if 0\n#else",
        times: 1,
    },
    Edit {
        why: "the deadline's error must be one that scripts can catch",
        find: "    JS_ThrowInternalError(ctx, \"interrupted\");\n    JS_SetUncatchableError(ctx, ctx->rt->current_exception);\n",
        replace: "    extern void airlock_throw_interrupted(JSContext *);\n    airlock_throw_interrupted(ctx);\n",
        times: 1,
    },
    Edit {
        why: "running out of memory may throw null; the engine must know what it was",
        find: "    JSRuntime *rt = ctx->rt;\n    if (!rt->in_out_of_memory) {",
        replace: "    extern void airlock_out_of_memory(void);\n    JSRuntime *rt = ctx->rt;\n    airlock_out_of_memory();\n    if (!rt->in_out_of_memory) {",
        times: 1,
    },
    Edit {
        why: "every function keeps a copy of its source for toString, nested ones again, in every snapshot",
        find: "    b->source = fd->source;\n    b->source_len = fd->source_len;\n",
        replace: "    js_free(ctx, fd->source);\n    fd->source = NULL;\n    b->source = NULL;\n    b->source_len = 0;\n",
        times: 1,
    },
    Edit {
        why: "small blocks are taken and given back without the C library, and wiped while a script is loaded (guest/src/heap.rs)",
        find: "static const JSMallocFunctions def_malloc_funcs = {\n    js_def_calloc,\n    js_def_malloc,\n    js_def_free,\n    js_def_realloc,\n    js__malloc_usable_size\n};\n",
        replace: "static const JSMallocFunctions def_malloc_funcs = {\n    airlock_calloc,\n    airlock_malloc,\n    airlock_free,\n    airlock_realloc,\n    airlock_usable_size\n};\n",
        times: 1,
    },
    Edit {
        why: "the same where they are called, by their names instead of through pointers",
        find: "void *js_calloc_rt(JSRuntime *rt, size_t count, size_t size)\n",
        replace: "extern void *airlock_calloc(void *opaque, size_t count, size_t size);\nextern void *airlock_malloc(void *opaque, size_t size);\nextern void airlock_free(void *opaque, void *ptr);\nextern void *airlock_realloc(void *opaque, void *ptr, size_t size);\nextern size_t airlock_usable_size(const void *ptr);\n\nvoid *js_calloc_rt(JSRuntime *rt, size_t count, size_t size)\n",
        times: 1,
    },
    Edit {
        why: "a block that is zero",
        find: "rt->mf.js_calloc(s->opaque, ",
        replace: "airlock_calloc(s->opaque, ",
        times: 1,
    },
    Edit { why: "a block", find: "rt->mf.js_malloc(s->opaque, ", replace: "airlock_malloc(s->opaque, ", times: 1 },
    Edit {
        why: "a block that grows",
        find: "rt->mf.js_realloc(s->opaque, ",
        replace: "airlock_realloc(s->opaque, ",
        times: 1,
    },
    Edit {
        why: "a block that is given back",
        find: "rt->mf.js_free(s->opaque, ",
        replace: "airlock_free(s->opaque, ",
        times: 1,
    },
    Edit {
        why: "a block's size",
        find: "rt->mf.js_malloc_usable_size(ptr)",
        replace: "airlock_usable_size(ptr)",
        times: 6,
    },
    Edit {
        why: "the low bits of a small integer as a double are zero, so all keys of a Map of them fell into one bucket",
        find: "        h = (u.u32[0] ^ u.u32[1]) * 3163;\n        return h ^= JS_TAG_FLOAT64;\n",
        replace: "        h = (u.u32[0] ^ u.u32[1]) * 0x9e3779b1;\n        return (h ^ (h >> 15)) ^ JS_TAG_FLOAT64;\n",
        times: 1,
    },
    // Choosing the next operation is a fifth of what the interpreter does, and a
    // loop's condition takes three of them. Whatever lies at `pc` is done at once
    // where that is simple; a jump to it does the same.
    Edit {
        why: "a comparison of integers jumps by itself",
        find: "                    sp[-2] = js_bool(JS_VALUE_GET_INT(op1) binary_op JS_VALUE_GET_INT(op2)); \\\n                    sp--;                                               \\\n",
        replace: "                    sp -= 2;                                            \\\n                    AIRLOCK_ANSWER(JS_VALUE_GET_INT(op1) binary_op JS_VALUE_GET_INT(op2)); \\\n",
        times: 1,
    },
    Edit {
        why: "an integer's push does the addition, subtraction or comparison that it is for",
        find: "            *sp++ = js_int32(opcode - OP_push_0);\n            BREAK;\n        CASE(OP_push_i8):\n            *sp++ = js_int32(get_i8(pc));\n            pc += 1;\n            BREAK;\n",
        replace: PUSH,
        times: 1,
    },
    // A replacer in JavaScript would do the same at half the speed.
    Edit {
        why: "JSON.stringify leaves functions and symbols out; for what leaves the sandbox that must be an error",
        find: "    StringBuffer *b;\n} JSONStringifyContext;\n",
        replace: "    StringBuffer *b;\n    bool strict;\n} JSONStringifyContext;\n\nbool airlock_json_strict = false;\n",
        times: 1,
    },
    Edit {
        why: "the same: it holds for one text, not for those that a toJSON makes meanwhile",
        find: "    jsc->b = &b_s;\n    jsc->empty = js_empty_string(ctx->rt);\n",
        replace: "    jsc->b = &b_s;\n    jsc->strict = airlock_json_strict;\n    airlock_json_strict = false;\n    jsc->empty = js_empty_string(ctx->rt);\n",
        times: 1,
    },
    Edit {
        why: "the same, where values are left out",
        find: "    default:\n        break;\n    }\n    JS_FreeValue(ctx, val);\n    return JS_UNDEFINED;\n\nexception:\n    JS_FreeValue(ctx, val);\n    return JS_EXCEPTION;\n",
        replace: "    default:\n        break;\n    }\n    if (jsc->strict && !JS_IsUndefined(val)) {\n        JS_ThrowTypeError(ctx, \"not JSON\");\n        goto exception;\n    }\n    JS_FreeValue(ctx, val);\n    return JS_UNDEFINED;\n\nexception:\n    JS_FreeValue(ctx, val);\n    return JS_EXCEPTION;\n",
        times: 1,
    },
    Edit {
        why: "columns count from 1 on the first line too, as if a line's end stood before it",
        find: "    s->eol = s->buf_ptr;\n",
        replace: "    s->eol = s->buf_ptr - 1;\n",
        times: 1,
    },
    Edit {
        why: "numbers of JSON become integers where they are, or all arithmetic on them takes the slow path; \
              and the C library's strtod computes in software",
        find: "    s->token.u.num.val = js_float64(strtod((const char *)p_start, NULL));\n    *pp = p;\n",
        replace: "    {\n        const uint8_t *q = p_start;\n        bool negative = *q == '-';\n        int64_t n = 0;\n        \
                  if (*q == '-' || *q == '+')\n            q++;\n        \
                  while (is_digit(*q) && q - p_start < 16)\n            n = n * 10 + (*q++ - '0');\n        \
                  if (q == p && !(negative && n == 0)) {\n            s->token.u.num.val = js_int64(negative ? -n : n);\n        \
                  } else {\n            JSATODTempMem memory;\n            \
                  s->token.u.num.val = js_float64(js_atod((const char *)p_start, NULL, 10, 0, &memory));\n        }\n    }\n    *pp = p;\n",
        times: 1,
    },
    // From here on: what a snapshot holds lasts as long as its calls, so it is not
    // counted who refers to it. Counting changes each page that a call only reads,
    // twenty of thirty, and every one that has changed is copied anew after the call.
    Edit {
        why: "how a reference is counted: from a number on, not at all",
        find: "static JSValue js_dup(JSValueConst v)\n{\n    if (JS_VALUE_HAS_REF_COUNT(v)) {\n        JSRefCountHeader *p = (JSRefCountHeader *)JS_VALUE_GET_PTR(v);\n        p->ref_count++;\n",
        replace: "#define AIRLOCK_LASTING 0x20000000\n#define airlock_hold(header)                                    \\\n            do {                                                \\\n                if ((header)->ref_count < AIRLOCK_LASTING)      \\\n                    (header)->ref_count++;                      \\\n            } while (0)\n/* Whether that was the last. */\n#define airlock_drop(header)                                    \\\n            ((header)->ref_count < AIRLOCK_LASTING && --(header)->ref_count <= 0)\n\nstatic JSValue js_dup(JSValueConst v)\n{\n    if (JS_VALUE_HAS_REF_COUNT(v)) {\n        JSRefCountHeader *p = (JSRefCountHeader *)JS_VALUE_GET_PTR(v);\n        airlock_hold(p);\n",
        times: 1,
    },
    Edit {
        why: "the same for a value that is given up",
        find: "        if (--p->ref_count <= 0) {\n            js_free_value_rt(rt, v);\n",
        replace: "        if (airlock_drop(p)) {\n            js_free_value_rt(rt, v);\n",
        times: 1,
    },
    Edit {
        why: "a string that is given up",
        find: "    if (--str->header.ref_count <= 0)\n        js_free_string0(rt, str);\n",
        replace: "    if (airlock_drop(&str->header))\n        js_free_string0(rt, str);\n",
        times: 1,
    },
    Edit {
        why: "a string that a part of it holds",
        find: "// chars -> bytes\n        p->header.ref_count++;\n",
        replace: "// chars -> bytes\n        airlock_hold(&p->header);\n",
        times: 1,
    },
    Edit {
        why: "an atom",
        find: "        p = rt->atom_array[v];\n        p->header.ref_count++;\n",
        replace: "        p = rt->atom_array[v];\n        airlock_hold(&p->header);\n",
        times: 2,
    },
    Edit {
        why: "an atom that is found for a string",
        find: "if (!__JS_AtomIsConst(i))\n                    p->header.ref_count++;\n",
        replace: "if (!__JS_AtomIsConst(i))\n                    airlock_hold(&p->header);\n",
        times: 1,
    },
    Edit {
        why: "and for bytes",
        find: "if (!__JS_AtomIsConst(i))\n                p->header.ref_count++;\n",
        replace: "if (!__JS_AtomIsConst(i))\n                airlock_hold(&p->header);\n",
        times: 1,
    },
    Edit {
        why: "a string that was an atom itself; that one is not freed",
        find: "            if (__JS_AtomIsConst(i))\n                str->header.ref_count--;\n",
        replace: "            if (__JS_AtomIsConst(i))\n                (void)airlock_drop(&str->header);\n",
        times: 1,
    },
    Edit {
        why: "an atom that is given up",
        find: "    if (--p->header.ref_count > 0)\n        return;\n    JS_FreeAtomStruct(rt, p);\n",
        replace: "    if (!airlock_drop(&p->header))\n        return;\n    JS_FreeAtomStruct(rt, p);\n",
        times: 1,
    },
    Edit {
        why: "a shape",
        find: "    sh->header.ref_count++;\n    return sh;\n",
        replace: "    airlock_hold(&sh->header);\n    return sh;\n",
        times: 1,
    },
    Edit {
        why: "a shape that is given up",
        find: "    if (unlikely(--sh->header.ref_count <= 0)) {\n        js_free_shape0(rt, sh);\n",
        replace: "    if (unlikely(airlock_drop(&sh->header))) {\n        js_free_shape0(rt, sh);\n",
        times: 1,
    },
    Edit {
        why: "a context",
        find: "    ctx->header.ref_count++;\n    return ctx;\n",
        replace: "    airlock_hold(&ctx->header);\n    return ctx;\n",
        times: 1,
    },
    Edit {
        why: "a context that is given up",
        find: "    if (--ctx->header.ref_count > 0)\n        return;\n",
        replace: "    if (!airlock_drop(&ctx->header))\n        return;\n",
        times: 1,
    },
    Edit {
        why: "a variable that functions share",
        find: "var_ref->header.ref_count++;",
        replace: "airlock_hold(&var_ref->header);",
        times: 6,
    },
    Edit {
        why: "a variable that is given up",
        find: "        if (--var_ref->header.ref_count == 0) {\n",
        replace: "        if (airlock_drop(&var_ref->header)) {\n",
        times: 1,
    },
    Edit {
        why: "a function's code",
        find: "    b->header.ref_count++;\n",
        replace: "    airlock_hold(&b->header);\n",
        times: 1,
    },
    Edit {
        why: "lets all that there is last (guest/src/load.rs); but a shape that one object has alone is changed in \
              place, and a shared one copied",
        find: "void JS_RunGC(JSRuntime *rt)\n{\n",
        replace: "static void airlock_settle_string(JSValueConst value)\n{\n    if (JS_VALUE_GET_TAG(value) == JS_TAG_STRING)\n        JS_VALUE_GET_STRING(value)->header.ref_count = 2 * AIRLOCK_LASTING;\n}\n\nvoid airlock_settle(JSRuntime *rt)\n{\n    struct list_head *el;\n\n    list_for_each(el, &rt->gc_obj_list) {\n        JSGCObjectHeader *p = list_entry(el, JSGCObjectHeader, link);\n        if (p->gc_obj_type != JS_GC_OBJ_TYPE_SHAPE || p->ref_count > 1)\n            p->ref_count = 2 * AIRLOCK_LASTING;\n        if (p->gc_obj_type == JS_GC_OBJ_TYPE_FUNCTION_BYTECODE) {\n            JSFunctionBytecode *b = (JSFunctionBytecode *)p;\n            for (int i = 0; i < b->cpool_count; i++)\n                airlock_settle_string(b->cpool[i]);\n        } else if (p->gc_obj_type == JS_GC_OBJ_TYPE_JS_OBJECT) {\n            JSObject *o = (JSObject *)p;\n            for (int i = 0; i < o->shape->prop_count; i++) {\n                if ((o->shape->prop[i].flags & JS_PROP_TMASK) == JS_PROP_NORMAL)\n                    airlock_settle_string(o->prop[i].u.value);\n            }\n            if (o->class_id == JS_CLASS_ARRAY && o->fast_array) {\n                for (uint32_t i = 0; i < o->u.array.count; i++)\n                    airlock_settle_string(o->u.array.u.values[i]);\n            }\n        }\n    }\n    for (int i = 0; i < rt->atom_size; i++) {\n        JSAtomStruct *p = rt->atom_array[i];\n        if (!atom_is_free(p))\n            p->header.ref_count = 2 * AIRLOCK_LASTING;\n    }\n}\n\nvoid JS_RunGC(JSRuntime *rt)\n{\n",
        times: 1,
    },
    // From here on: QuickJS notes positions at calls and throws only. Errors of
    // a property of undefined or an unknown name would show the function's
    // first line.
    Edit {
        why: "a statement's position",
        find: "    switch(tok = s->token.val) {\n    case '{':\n        if (js_parse_block(s))",
        replace: "    if (s->token.val != '{' && s->token.val != ';')\n        emit_source_loc(s);\n    switch(tok = s->token.val) {\n    case '{':\n        if (js_parse_block(s))",
        times: 1,
    },
    Edit {
        why: "an identifier's position, kept before the next token is read",
        find: "    case TOK_IDENT:\n        {\n            JSAtom name;\n            if (s->token.u.ident.is_reserved) {\n                return js_parse_error_reserved_identifier(s);",
        replace: "    case TOK_IDENT:\n        {\n            JSAtom name;\n            int name_line = s->token.line_num, name_col = s->token.col_num;\n            if (s->token.u.ident.is_reserved) {\n                return js_parse_error_reserved_identifier(s);",
        times: 1,
    },
    Edit {
        why: "the same, where it is used",
        find: "            do_get_var:\n                emit_op(s, OP_scope_get_var);",
        replace: "            do_get_var:\n                emit_source_loc_at(s, name_line, name_col);\n                emit_op(s, OP_scope_get_var);",
        times: 1,
    },
    Edit {
        why: "the position of what is called: the last name before the parenthesis",
        find: "    optional_chaining_label = -1;\n    for(;;) {\n        JSFunctionDef *fd = s->cur_func;\n        bool has_optional_chain = false;\n",
        replace: "    optional_chaining_label = -1;\n    for(;;) {\n        JSFunctionDef *fd = s->cur_func;\n        bool has_optional_chain = false;\n        int access_line, access_col;\n",
        times: 1,
    },
    Edit {
        why: "a call's position is its callee's, not its first argument's",
        find: "            parse_func_call2:\n                emit_source_loc(s);\n",
        replace: "            parse_func_call2:\n                emit_source_loc_at(s, callee_line, callee_col);\n",
        times: 1,
    },
    Edit {
        why: "and it must stand again behind the arguments, which note their own",
        find: "            emit_func_call:\n                switch(opcode) {\n",
        replace: "            emit_func_call:\n                emit_source_loc_at(s, callee_line, callee_col);\n                switch(opcode) {\n",
        times: 1,
    },
    Edit {
        why: "the same for a call with a spread argument",
        find: "                /* apply function call */\n                switch(opcode) {\n",
        replace: "                /* apply function call */\n                emit_source_loc_at(s, callee_line, callee_col);\n                switch(opcode) {\n",
        times: 1,
    },
    Edit {
        why: "a property's position",
        find: "                    emit_op(s, OP_get_field);\n                    emit_atom(s, s->token.u.ident.atom);\n                }\n            }\n            if (next_token(s))",
        replace: "                    callee_line = s->token.line_num;\n                    callee_col = s->token.col_num;\n                    emit_source_loc(s);\n                    emit_op(s, OP_get_field);\n                    emit_atom(s, s->token.u.ident.atom);\n                }\n            }\n            if (next_token(s))",
        times: 1,
    },
    Edit {
        why: "an element's position, kept before its index is read",
        find: "        parse_array_access:\n            prev_op = get_prev_opcode(fd);\n",
        replace: "        parse_array_access:\n            access_line = s->token.line_num;\n            access_col = s->token.col_num;\n            prev_op = get_prev_opcode(fd);\n",
        times: 1,
    },
    Edit {
        why: "the same, where it is used",
        find: "                emit_op(s, OP_get_super_value);\n            } else {\n                emit_op(s, OP_get_array_el);\n            }\n        } else {\n            break;\n",
        replace: "                emit_op(s, OP_get_super_value);\n            } else {\n                callee_line = access_line;\n                callee_col = access_col;\n                emit_source_loc_at(s, access_line, access_col);\n                emit_op(s, OP_get_array_el);\n            }\n        } else {\n            break;\n",
        times: 1,
    },
    Edit {
        why: "where a callee begins",
        find: "static __exception int js_parse_postfix_expr(JSParseState *s, int parse_flags)\n{\n",
        replace: "static __exception int js_parse_postfix_expr(JSParseState *s, int parse_flags)\n{\n    int callee_line = s->token.line_num, callee_col = s->token.col_num;\n",
        times: 1,
    },
    Edit {
        why: "an error that memory has run out is made with memory of its own, or it has no stack where few bytes are left; the reserve has them",
        find: "        rt->in_out_of_memory = true;\n        JS_ThrowInternalError(ctx, \"out of memory\");\n        rt->in_out_of_memory = false;",
        replace: "        size_t more = rt->malloc_state.malloc_limit ? 64 << 10 : 0;\n        rt->in_out_of_memory = true;\n        rt->malloc_state.malloc_limit += more;\n        JS_ThrowInternalError(ctx, \"out of memory\");\n        rt->malloc_state.malloc_limit -= more;\n        rt->in_out_of_memory = false;",
        times: 1,
    },
    Edit {
        why: "and so is its stack, which is made where a script's function first sees it",
        find: "        build_backtrace(ctx, rt->current_exception, JS_UNDEFINED,\n                        NULL, 0, 0, 0);",
        replace: "        size_t more = rt->malloc_state.malloc_limit ? 64 << 10 : 0;\n        rt->malloc_state.malloc_limit += more;\n        build_backtrace(ctx, rt->current_exception, JS_UNDEFINED,\n                        NULL, 0, 0, 0);\n        rt->malloc_state.malloc_limit -= more;",
        times: 1,
    },
];

/// Names these edits, so that a build can tell when they change.
pub fn fingerprint() -> u64 {
    // FNV-1a: the same in every version of Rust.
    let bytes = EDITS.iter().flat_map(|edit| edit.find.bytes().chain([0]).chain(edit.replace.bytes()).chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Runs the compiler on the arguments of this process, with `quickjs.c` edited.
#[expect(clippy::exit, reason = "a compiler ends with the status of the one it wraps")]
pub fn compile(compiler: &OsStr) -> Result<()> {
    let compiler =
        if compiler == COMPILER_IN_CC { std::env::var_os("CC").context("CC is not set")? } else { compiler.to_owned() };
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    for argument in &mut arguments {
        let path = Path::new(argument.as_os_str());
        if path.file_name() == Some(OsStr::new("quickjs.c")) {
            let edited = path.with_file_name("quickjs-airlock.c");
            std::fs::write(&edited, edit(&std::fs::read_to_string(path)?)?)?;
            *argument = edited.into_os_string();
        }
    }
    let status =
        Command::new(&compiler).args(&arguments).status().with_context(|| format!("running {}", compiler.display()))?;
    std::process::exit(status.code().unwrap_or(1))
}

fn edit(source: &str) -> Result<String> {
    let mut source = source.to_owned();
    for edit in EDITS {
        let found = source.matches(edit.find).count();
        if found != edit.times {
            bail!(
                "quickjs.c has changed: this stands {found} times in it instead of {} ({}):\n{}",
                edit.times,
                edit.why,
                edit.find
            );
        }
        source = source.replace(edit.find, edit.replace);
    }
    Ok(source)
}
