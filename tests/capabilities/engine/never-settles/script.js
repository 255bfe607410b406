function main() {
    return new Promise(() => {});
}

async function awaiting() {
    await new Promise(() => {});
}

async function cleared() {
    await new Promise((resolve) => clearTimeout(setTimeout(resolve, 10)));
}

async function circle() {
    let resolve;
    const first = new Promise((done) => (resolve = done));
    first.then(() => resolve());
    return first;
}
