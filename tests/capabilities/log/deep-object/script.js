function main() {
    let deep = {};
    for (let level = 0; level < 10_000; level++) deep = { deep };
    console.info("deep", deep);
    return "completes";
}
