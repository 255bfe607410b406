const tenant = context.tenant.id;

function main() {
    return tenant;
}
