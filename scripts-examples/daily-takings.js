// Adds up what the invoices of each day brought in.
//
// Trigger: the event invoice.paid, which webhook-processor.js publishes.
//   airlock run scripts-examples/daily-takings.js --config scripts-examples/airlock.toml \
//       --context @scripts-examples/inputs/context-acme.json --input @scripts-examples/inputs/invoice-paid-event.json
//
// @airlock capabilities: storage

const REMEMBER_SECONDS = 400 * 24 * 60 * 60;
const TRIES = 10;

async function handleInvoicePaid(event) {
    const key = `takings/${event.occurredAt.slice(0, 10)}`;
    for (let n = 0; n < TRIES; n++) {
        const before = await storage.get(key);
        const day = before ?? { total: 0, events: [] };
        // An event comes at least once, and may come again. What was added is
        // remembered in the same write as the sum.
        if (day.events.includes(event.id)) return { total: day.total, again: true };
        const total = Math.round((day.total + event.data.amount) * 100) / 100;
        const after = { total, events: [...day.events, event.id] };
        if (await storage.compareAndSet(key, before, after, REMEMBER_SECONDS)) return { total, again: false };
    }
    // The host tries again, after a while.
    throw new Error('others wrote the same sum each time');
}
