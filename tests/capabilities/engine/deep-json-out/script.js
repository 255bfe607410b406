function main(depth) {
    let value = null;
    for (let level = 0; level < depth; level++) value = [value];
    return value;
}

function caught() {
    try {
        return JSON.stringify(main(100_000)).length;
    } catch (error) {
        return error.name;
    }
}

function parsed() {
    try {
        return JSON.parse("[".repeat(100_000) + "]".repeat(100_000)).length;
    } catch (error) {
        return error.name;
    }
}
