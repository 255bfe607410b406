// On the list, but the operator makes no exception for the network.
async function main() {
    return [
        await refusal(() => http.get("{server}/json")),
        await refusal(() => http.get("http://169.254.169.254/latest")),
        await refusal(() => http.get("http://[::ffff:127.0.0.1]:9000/")),
        await refusal(() => http.get("http://2130706433:9000/")),
        await refusal(() => http.get("http://localhost:9000/")),
    ];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
