function main() {
    return { user: context.user, tenant: context.tenant.id, optional: context.user?.name ?? "nobody" };
}
