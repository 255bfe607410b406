async function main() {
    return http.post("{server}/echo", "x".repeat(2000));
}
