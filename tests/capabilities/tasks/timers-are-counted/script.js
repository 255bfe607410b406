async function main() {
    for (;;) await new Promise((resolve) => setTimeout(resolve, 0));
}
