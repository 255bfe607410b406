// @airlock secrets: KEY
async function main() {
    return (await secrets.get("KEY")).length;
}
