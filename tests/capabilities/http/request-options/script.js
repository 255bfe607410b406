async function main() {
    const { data } = await http.get("{server}/echo?a=1", { headers: { "X-Own": "yes", Accept: ["text/a", "text/b"] }, query: { b: "é &", list: [1, 2], none: null, at: new Date(0) } });
    return { query: data.query, own: data.headers["x-own"], accept: data.headers.accept, agent: data.headers["user-agent"] };
}
