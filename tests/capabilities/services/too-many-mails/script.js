async function main() {
    for (let n = 0; n < 10; n++) await services.notifications.sendEmail({ to: "a@example.com", subject: `mail ${n}`, body: "b" });
}
