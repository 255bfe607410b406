async function main() {
    for (;;) await http.get("{server}/json");
}
