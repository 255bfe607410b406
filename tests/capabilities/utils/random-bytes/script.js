function main() {
    const bytes = utils.crypto.randomBytes(100_000);
    const own = crypto.getRandomValues(new Uint32Array(8));
    return {
        kind: bytes.constructor.name,
        length: bytes.length,
        // Each of 256 values is expected 390 times.
        all_values: new Set(bytes).size,
        differ: utils.crypto.hash(utils.crypto.randomBytes(16)) !== utils.crypto.hash(utils.crypto.randomBytes(16)),
        none: utils.crypto.randomBytes(0).length,
        words: own.some((word) => word !== 0),
        equal: [utils.crypto.timingSafeEqual("abc", "abc"), utils.crypto.timingSafeEqual("abc", "abd"), utils.crypto.timingSafeEqual("abc", "ab"), utils.crypto.timingSafeEqual(new Uint8Array([97]), "a")],
    };
}
