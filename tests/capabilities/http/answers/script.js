async function main() {
    const json = await http.get("{server}/json");
    const text = await http.get("{server}/text");
    const broken = await http.get("{server}/broken-json");
    const missing = await http.get("{server}/status/404");
    const failed = await http.get("{server}/status/503");
    return {
        json: [json.status, json.ok, json.data, await json.json(), json.url === "{server}/json", json.headers["content-type"]],
        text: [text.text(), text.body, text.data ?? null, [...text.bytes()].length, text.headers["x-twice"]],
        broken: [broken.data ?? null, await refusal(() => broken.json())],
        missing: [missing.status, missing.ok, missing.text()],
        failed: [failed.status, failed.ok],
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
