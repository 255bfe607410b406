// A script can break its own world, not what the host is told.
function main() {
    JSON.stringify = () => "forged";
    Object.keys = () => [];
    Object.prototype.toJSON = undefined;
    String.prototype.toString = () => "forged";
    console.info("message", { a: 1 });
    return { a: 1, list: [1, 2] };
}

async function hostCalls() {
    Array.isArray = () => false;
    Object.entries = () => [];
    const answer = await storage.has("key");
    return { answer };
}
