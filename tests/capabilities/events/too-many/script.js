async function main() {
    for (let n = 1; n <= 10; n++) await events.publish("counted", n);
}
