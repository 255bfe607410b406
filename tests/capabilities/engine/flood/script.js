// Operations that nobody waits for are counted too.
async function main() {
    const all = [];
    for (let n = 0; n < 7; n++) all.push(refusal(() => http.get("{server}/never", { timeout: 200 })));
    return (await Promise.all(all)).map((answer) => answer.split(" ", 1)[0]);
}

function endless() {
    for (;;) storage.get("key");
}

function endlessTimers() {
    for (;;) setTimeout(() => {}, 0);
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
