function main() {
    const ids = Array.from({ length: 1000 }, () => utils.uuid());
    return { id: utils.uuid(), web: crypto.randomUUID(), distinct: new Set(ids).size, version4: ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) };
}
