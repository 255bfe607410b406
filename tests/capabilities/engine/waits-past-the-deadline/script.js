async function main() {
    try {
        await http.get("{server}/never");
    } catch (error) {
        return `${error.name} ${error.limit.name}`;
    }
}

async function uncaught() {
    await http.get("{server}/never");
}

async function timer() {
    await new Promise((resolve) => setTimeout(resolve, 60_000));
}
