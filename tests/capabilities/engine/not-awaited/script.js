// What nobody waits for still happens.
function main() {
    storage.set("written", true);
    events.publish("published");
    storage.set("then", 1).then(() => storage.set("chained", true));
    return "at once";
}

async function read() {
    return [await storage.get("written"), await storage.get("chained")];
}
