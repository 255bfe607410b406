// @airlock secrets: STRIPE_KEY, PIN
async function main() {
    const [key, pin] = await Promise.all([secrets.get("STRIPE_KEY"), secrets.get("PIN")]);
    return { length: key.length, starts: key.slice(0, 3), pin: pin === "7" };
}
