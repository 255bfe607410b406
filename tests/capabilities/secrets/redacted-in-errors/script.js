// @airlock secrets: KEY
// @airlock http: *
async function main(how) {
    const key = await secrets.get("KEY");
    const ways = {
        message() {
            throw new Error(`cannot sign in with ${key}`);
        },
        name() {
            throw Object.assign(new Error("named"), { name: key });
        },
        stack() {
            Object.defineProperty(sign, "name", { value: key });
            function sign() {
                throw new Error("in a function that is named so");
            }
            sign();
        },
        thrown() {
            throw { key };
        },
        async host() {
            await http.get(`ftp://${key}`);
        },
        unserialisable() {
            return { [key]: 1n };
        },
    };
    return ways[how]();
}
