async function main() {
    return [
        await refusal(() => http.get("{server}/json")),
        await refusal(() => http.get("https://evil-api.example.com")),
        await refusal(() => http.get("https://api.example.com.evil.example")),
        await refusal(() => http.get("https://api.example.com:8443/")),
        await refusal(() => http.get("http://api.example.com/")),
        await refusal(() => http.get("https://example.com/")),
        await refusal(() => http.get("https://api.example.com@evil.example/")),
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
