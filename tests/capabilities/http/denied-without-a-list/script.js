async function main() {
    return [
        await refusal(() => http.get("{server}/json")),
        await refusal(() => http.post("https://api.example.com/data", { key: "value" })),
        await refusal(() => http.get("http://169.254.169.254/latest/meta-data/")),
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
