const cached = await storage.get("key");

export default function main() {
    return cached;
}
