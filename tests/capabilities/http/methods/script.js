async function main() {
    const seen = [];
    for (const [method, ...rest] of [
        ["get", "{server}/echo"],
        ["delete", "{server}/echo"],
        ["post", "{server}/echo", { key: "value" }],
        ["put", "{server}/echo", "text"],
        ["patch", "{server}/echo", [1]],
        ["post", "{server}/echo", new Uint8Array([104, 105])],
        ["post", "{server}/echo"],
        ["request", { method: "options", url: "{server}/echo" }],
    ]) {
        const { data } = await http[method](...rest);
        seen.push([data.method, data.headers["content-type"] ?? null, data.body]);
    }
    const head = await http.head("{server}/json");
    return { seen, head: [head.status, head.text()] };
}
