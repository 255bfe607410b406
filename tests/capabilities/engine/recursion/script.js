function deeper(level) {
    return deeper(level + 1) + 1;
}

function main() {
    return deeper(0);
}

function caught() {
    try {
        return deeper(0);
    } catch (error) {
        return [error.name, error.message, error instanceof RangeError];
    }
}

function throughCallbacks() {
    const visit = () => [1].map(visit);
    try {
        visit();
    } catch (error) {
        return [error.name, error.message];
    }
}

function throughGetters() {
    const object = {
        get self() {
            return this.self;
        },
    };
    try {
        return object.self;
    } catch (error) {
        return [error.name, error.message];
    }
}

function throughProxies() {
    let proxy = {};
    for (let level = 0; level < 50_000; level++) proxy = new Proxy(proxy, {});
    try {
        return proxy.x ?? "found nothing";
    } catch (error) {
        return [error.name, error.message];
    }
}

function throughExpressions() {
    try {
        return new RegExp("(".repeat(50_000) + ")".repeat(50_000)).source.length;
    } catch (error) {
        return error.name;
    }
}

async function throughAwait(level = 0) {
    // Each level is a frame of its own until it first waits.
    try {
        return await (async function again() {
            return again();
        })();
    } catch (error) {
        return [error.name, error.message];
    }
}
