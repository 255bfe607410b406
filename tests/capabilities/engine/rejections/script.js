async function fails() {
    throw new RangeError("nobody listens");
}

function main() {
    fails();
    Promise.reject("a text");
    Promise.reject(undefined);
    const late = Promise.reject(new Error("handled later"));
    late.catch(() => {});
    return "completes";
}
