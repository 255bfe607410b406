"use strict";

async function main() {
    const attempts = {
        tenant: () => (context.tenant.id = "another"),
        permission: () => context.user.permissions.push("admin"),
        member: () => (context.admin = true),
        removed: () => delete context.user,
    };
    const refused = {};
    for (const [name, attempt] of Object.entries(attempts)) {
        try {
            attempt();
            refused[name] = false;
        } catch (error) {
            refused[name] = error.name;
        }
    }
    // The host writes and reads by its own record, whatever the script's says.
    globalThis.context = { tenant: { id: "another" } };
    await storage.set("key", "mine");
    console.info("still the same tenant");
    return { refused, kept: await storage.get("key") };
}
