async function main() {
    setTimeout(() => {
        throw new Error("in the timer");
    }, 0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    return "after";
}
