// The deadline can be caught once; the second loop ends the call.
function main() {
    for (;;) {
        try {
            for (;;) {}
        } catch {
            console.info("caught");
        }
    }
}
