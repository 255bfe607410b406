async function main() {
    const order = [];
    setTimeout(() => order.push("third"), 3);
    setTimeout(() => order.push("second"), 1);
    setTimeout((a, b) => order.push(a + b), 0, "fir", "st");
    const cleared = setTimeout(() => order.push("cleared"), 0);
    clearTimeout(cleared);
    clearTimeout(undefined);
    clearTimeout(12345);
    order.push("now");
    queueMicrotask?.(() => order.push("job"));
    let ticks = 0;
    await new Promise((resolve) => {
        const every = setInterval(() => {
            if (++ticks === 3) {
                clearInterval(every);
                resolve();
            }
        }, 2);
    });
    return { order, ticks };
}
