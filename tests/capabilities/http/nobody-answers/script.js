async function main() {
    return refusal(() => http.get("http://127.0.0.1:1/"));
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
