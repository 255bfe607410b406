function main() {
    const { base64Encode, base64Decode } = utils.crypto;
    return {
        encoded: ["", "f", "fo", "foo", "é"].map(base64Encode),
        decoded: ["", "Zg==", "Zg", "Zm9v", "Zm 9v\n", "-_8="].map((text) => [...base64Decode(text)]),
        btoa: [btoa("hello"), btoa("\xff\x00")],
        atob: [atob("aGVsbG8="), atob("/wA=").charCodeAt(0)],
        round_trip: atob(btoa(String.fromCharCode(...Array(256).keys()))).length,
    };
}
