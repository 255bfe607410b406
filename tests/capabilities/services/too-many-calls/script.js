async function main() {
    for (let n = 0; n < 10; n++) await services.clients.count();
}
