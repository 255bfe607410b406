// What a script finds; a change here is a change of the contract.
function main() {
    return Object.getOwnPropertyNames(globalThis).sort();
}
