// @airlock secrets: KEY
async function main() {
    const guess = "open sesame";
    console.info("before", { guess });
    const key = await secrets.get("KEY");
    console.info(`the key is ${key}!`);
    console.warn("in fields", { key, list: [key, { [key]: 1 }], "authorization": `Bearer ${key}` });
    console.error(new Error(`cannot sign in with ${key}`));
    console.info(JSON.stringify(key), encodeURIComponent(key));
    console.info(utils.crypto.base64Encode ? utils.crypto.base64Encode(`user:${key}`) : "");
    Promise.reject(new Error(`not awaited: ${key}`));
    await new Promise((done) => setTimeout(done, 1));
    return { same: key === guess };
}
