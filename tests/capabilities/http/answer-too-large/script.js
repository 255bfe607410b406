async function main() {
    return http.get("{server}/endless");
}
