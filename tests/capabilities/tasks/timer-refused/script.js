async function main() {
    return [await refusal(() => setTimeout("alert(1)", 1)), await refusal(() => setInterval(undefined))];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
