// Packages need it; it reaches nothing.
async function main() {
    const reached = {};
    for (const name of ["std", "os", "Javy", "require", "process", "module", "Deno", "Bun", "bjs", "scriptArgs", "print", "loadScript", "Worker", "fetch", "XMLHttpRequest", "WebAssembly", "SharedArrayBuffer", "Atomics", "airlock", "native", "shared", "__proto__native"]) {
        if (eval(`typeof ${name}`) !== "undefined") reached[name] = eval(`typeof ${name}`);
    }
    const local = 3;
    return {
        eval: eval("1 + local"),
        indirect: (0, eval)("typeof local"),
        function: new Function("a", "b", "return a * b")(6, 7),
        async: await Object.getPrototypeOf(async function () {}).constructor("return 1")(),
        generator: [...Object.getPrototypeOf(function* () {}).constructor("yield 1")()],
        reached,
        syntax_error: await refusal(() => eval("1 +")),
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
