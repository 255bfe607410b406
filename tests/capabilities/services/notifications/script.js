async function main() {
    const { notifications } = services;
    const sent = await notifications.sendEmail({ to: "ada@example.com", subject: "Hello", body: "Line one\nline two" });
    await notifications.sendEmail({ to: ["bo@example.com", "Cy <cy@example.com>"], subject: "To two", body: "Hi", html: "<p>Hi</p>" });
    return {
        sent,
        refused: [
            await refusal(() => notifications.sendEmail({ to: "nobody", subject: "s", body: "b" })),
            await refusal(() => notifications.sendEmail({ to: "a@example.com\nBcc: b@example.com", subject: "s", body: "b" })),
            await refusal(() => notifications.sendEmail({ to: "a@example.com", subject: "s\r\nBcc: b@example.com", body: "b" })),
            await refusal(() => notifications.sendEmail({ to: "a@example.com", subject: "s" })),
            await refusal(() => notifications.sendEmail({ to: null, subject: "s", body: "b" })),
            await refusal(() => notifications.sendEmail({ to: [], subject: "s", body: "b" })),
            await refusal(() => notifications.sendEmail({ to: "a@example.com", subject: "s", body: "b", from: "boss@example.com" })),
            await refusal(() => notifications.sendEmail()),
            await refusal(() => notifications.sendSms({})),
        ],
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
