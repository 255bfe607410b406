// A timer that nobody waits for does not hold the call.
function main() {
    setTimeout(() => console.info("never"), 60_000);
    return "at once";
}
