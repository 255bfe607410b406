async function main() {
    const url = "{server}/echo";
    return {
        headers: await Promise.all(
            ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Proxy-Authorization", "Keep-Alive"].map((name) => refusal(() => http.get(url, { headers: { [name]: "x" } }))),
        ),
        line_break: await refusal(() => http.get(url, { headers: { "X-Own": "a\r\nHost: evil" } })),
        header_name: await refusal(() => http.get(url, { headers: { "X Own": "a" } })),
        method: await refusal(() => http.request({ method: "CONNECT", url })),
        method_smuggled: await refusal(() => http.request({ method: "GET / HTTP/1.1\r\nHost: evil", url })),
        body_with_get: await refusal(() => http.request({ method: "GET", url, body: "x" })),
        scheme: await refusal(() => http.get("file:///etc/passwd")),
        relative: await refusal(() => http.get("/echo")),
        credentials: await refusal(() => http.get("http://user:password@127.0.0.1/")),
        not_a_text: await refusal(() => http.get(7)),
        none: await refusal(() => http.request()),
        timeout: await refusal(() => http.get(url, { timeout: -1 })),
        body: await refusal(() => http.post(url, { big: 1n })),
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
