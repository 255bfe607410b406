function main() {
    const bytes = new TextEncoder().encode("é€");
    return {
        text: new TextDecoder().decode(bytes),
        length: bytes.length,
        fatal: refused(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff]))),
        encoded: encodeURIComponent("é &"),
    };
}

function refused(work) {
    try {
        return work();
    } catch (error) {
        return error.name;
    }
}
