// Not the time of the compilation, and not that of the last call.
const compiled = Date.now();

async function main() {
    const started = Date.now();
    let now = started;
    while (now === started) now = Date.now();
    return { started, ahead: started > compiled, near: Math.abs(new Date() - now) < 60_000, performance: typeof performance?.now?.() };
}
