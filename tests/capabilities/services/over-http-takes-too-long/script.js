// The call's own deadline ends it, however patient the service's settings are.
async function main() {
    await services.backend.never();
}
