function main() {
    const { permissions } = context.user;
    return { permissions, frozen: Object.isFrozen(permissions) };
}
