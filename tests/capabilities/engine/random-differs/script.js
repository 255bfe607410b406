// At compile time the seed is fixed; no call may see it again.
const compiled = Math.random();

function main() {
    return { random: Math.random(), second: Math.random(), uuid: utils.uuid(), bytes: utils.crypto.hash(utils.crypto.randomBytes(16)) };
}

export { compiled, main };
