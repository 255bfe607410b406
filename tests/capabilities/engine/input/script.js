function main(...given) {
    return { count: given.length, given };
}
