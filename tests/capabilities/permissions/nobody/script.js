async function main() {
    const free = await db.query("SELECT id FROM free");
    const guarded = await db.query("SELECT id FROM guarded").catch((error) => `${error.name}: ${error.message}`);
    const service = await services.invoices.list().catch((error) => `${error.name}: ${error.message}`);
    return { user: context.user, free, guarded, service };
}
