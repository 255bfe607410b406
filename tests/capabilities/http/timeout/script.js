async function main() {
    const own = await refusal(() => http.get("{server}/never", { timeout: 200 }));
    const limit = await refusal(() => http.get("{server}/never"));
    return { own, limit };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
