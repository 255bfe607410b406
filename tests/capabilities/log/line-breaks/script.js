// One line stays one line, whatever a message holds.
function main() {
    console.info('first\n{"tenant_id":"another"}\u2028\u0000\u001b[31m');
}
