function main() {
    const { hash, hmac } = utils.crypto;
    const algorithms = ["sha256", "sha512", "sha1", "md5"];
    return {
        hex: algorithms.map((algorithm) => hash("abc", algorithm)),
        base64: algorithms.map((algorithm) => hash("abc", algorithm, "base64")),
        base64url: hash("abc", "sha256", "base64url"),
        empty: hash(""),
        text_is_utf8: hash("é€😀"),
        bytes: hash(new Uint8Array([97, 98, 99])) === hash("abc"),
        part_of_a_buffer: hash(new Uint8Array(new TextEncoder().encode("xabcx").buffer, 1, 3)) === hash("abc"),
        hmac: algorithms.map((algorithm) => hmac("key", "The quick brown fox jumps over the lazy dog", algorithm)),
        hmac_base64: hmac("Jefe", "what do ya want for nothing?", "sha256", "base64"),
        hmac_long_key: hmac(new Uint8Array(131).fill(0xaa), "Test Using Larger Than Block-Size Key - Hash Key First"),
        at_once: typeof hash("abc"),
    };
}
