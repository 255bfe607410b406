class Unknown extends Error {
    retry = false;
}

function added() {
    throw Object.assign(new Error('no such customer'), { retry: false });
}

function inherited() {
    throw new Unknown('no such order');
}

async function rejected() {
    throw { message: 'no error at all', retry: false };
}

// Nothing but `false` says it.
function others() {
    throw Object.assign(new Error('zero is not false'), { retry: 0 });
}

function asked() {
    throw Object.assign(new Error('once more'), { retry: true });
}

function trapped() {
    throw Object.defineProperty(new Error('reading it throws'), 'retry', { get() { throw new Error('inner'); } });
}
