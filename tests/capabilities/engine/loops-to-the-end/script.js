// No catch, no job and no finally outlives the second deadline.
function inThen() {
    const again = () => Promise.resolve().then(again);
    return again();
}

function inThenable() {
    const thenable = { then: (resolve) => resolve(thenable) };
    return thenable;
}

async function inFinally() {
    try {
        for (;;) {}
    } finally {
        for (;;) {}
    }
}
