function main() {
    console.debug("debug");
    console.trace("trace");
    console.log("log");
    console.info("info");
    console.warn("warn");
    console.error("error");
    console.assert(1 === 1, "not shown");
    console.assert(1 === 2, "shown");
}
