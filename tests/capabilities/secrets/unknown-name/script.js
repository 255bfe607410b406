// @airlock secrets: KEY
async function main() {
    await secrets.get("KEY");
}
