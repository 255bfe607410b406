async function main() {
    const { hash, hmac, randomBytes, base64Decode, timingSafeEqual } = utils.crypto;
    return [
        await refusal(() => hash("abc", "sha3")),
        await refusal(() => hash("abc", "sha256", "binary")),
        await refusal(() => hash(undefined)),
        await refusal(() => hash({})),
        await refusal(() => hash(7)),
        await refusal(() => hmac(null, "data")),
        await refusal(() => hmac("key", "data", "crc32")),
        await refusal(() => randomBytes(-1)),
        await refusal(() => randomBytes(1.5)),
        await refusal(() => randomBytes(2 ** 20 + 1)),
        await refusal(() => randomBytes("many")),
        await refusal(() => base64Decode("not base64!")),
        await refusal(() => timingSafeEqual("a", 1)),
        await refusal(() => btoa("€")),
        await refusal(() => atob("%")),
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
