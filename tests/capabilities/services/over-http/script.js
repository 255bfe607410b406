async function main() {
    const { backend } = services;
    const { method, body, headers } = await backend.echo({ total: 1.5, note: "grüße" });
    const names = Object.keys(headers).filter((name) => name.startsWith("airlock-"));
    return {
        request: [method, body, headers["content-type"]],
        names,
        who: [headers["airlock-tenant"], headers["airlock-user"], headers["airlock-script"], headers["airlock-execution"]],
        signature: /^v1=[0-9a-f]{64}$/.test(headers["airlock-signature"]),
        // A script says neither who calls nor where to.
        search: (await backend.search("../../x", { q: "a&b", "airlock-tenant": "globex" })).query,
    };
}
