// A call gets no more than its tenant has left.
function main() {
    for (;;) {}
}
