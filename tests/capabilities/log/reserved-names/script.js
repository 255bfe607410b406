// A script can't write in another's name.
function main() {
    console.error("forged", {
        tenant_id: "another",
        user_id: "root",
        level: "debug",
        timestamp: "1970-01-01T00:00:00.000Z",
        execution_id: "another",
        message: "another",
        fields: "another",
        own: 1,
    });
    console.info("same", { user_id: context.user.id });
}
