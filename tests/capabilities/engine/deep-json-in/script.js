function main(input) {
    let depth = 0;
    for (let value = input; Array.isArray(value); value = value[0]) depth++;
    return depth;
}
