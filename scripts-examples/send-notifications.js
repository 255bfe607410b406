// Writes to clients who have not been seen for a while, at most once a month each.
//
// Trigger: cron, every morning ("0 9 * * *").
// By hand:
//   airlock run scripts-examples/send-notifications.js --config scripts-examples/airlock.toml \
//       --context @scripts-examples/inputs/context-acme.json --input '{"days": 90, "dryRun": true}'
// It answers no route, so there is nothing to curl.
//
// @airlock services: clients, notifications
// @airlock capabilities: storage
// @airlock events: client.reminded

const PAGE = 50; // clients read, and mails under way, at a time
const MAX_MAILS = 500; // a run; the rest get theirs tomorrow
const PAUSE_SECONDS = 30 * 24 * 60 * 60; // before the same client hears from us again

async function main(input) {
    const { days = 30, dryRun = false } = input ?? {};
    const cutoff = utils.date.addDays(utils.date.now(), -days);
    const counts = { notified: 0, skipped: 0, failed: 0 };
    let lastId = 0;

    console.info('Looking for quiet clients', { days, dry_run: dryRun });

    while (counts.notified < MAX_MAILS) {
        // Reading on from the last id rather than by offset: a client who comes
        // back while this runs drops out of the list and would shift the pages.
        const page = await services.clients.list({
            filters: [
                { field: 'status', operator: 'eq', value: 'active' },
                { field: 'last_activity', operator: 'lt', value: cutoff },
                { field: 'id', operator: 'gt', value: lastId },
            ],
            order: 'id',
            limit: Math.min(PAGE, MAX_MAILS - counts.notified),
        });
        if (page.length === 0) break;
        lastId = page[page.length - 1].id;

        const outcomes = await Promise.all(page.map((client) => remind(client, dryRun)));
        for (const outcome of outcomes) counts[outcome]++;
    }

    console.info('Done', counts);
    return counts;
}

// Answers which of the counts the client belongs to. Never throws: one address
// that does not work must not keep the others from their mail.
async function remind(client, dryRun) {
    if (!client.email) return 'skipped';
    const key = `quiet-client/${client.id}`;
    if (dryRun) return (await storage.has(key)) ? 'skipped' : 'notified';

    // Claim the client before the mail goes out, so that two runs at the same
    // time cannot both write. The claim's TTL is also the monthly pause.
    const now = utils.date.toISO(utils.date.now());
    if (!(await storage.compareAndSet(key, null, now, PAUSE_SECONDS))) return 'skipped';

    try {
        await services.notifications.sendEmail({
            to: client.email,
            subject: `Still there? ${context.tenant.name} has news`,
            body: letter(client),
        });
    } catch (error) {
        console.error('Mail not sent', { client_id: client.id, reason: error.message });
        await storage.delete(key); // the next run tries again
        return 'failed';
    }

    try {
        await events.publish('client.reminded', { client_id: client.id, last_activity: client.last_activity });
    } catch (error) {
        // The mail is out. Giving up the claim now would send it twice.
        console.warn('Event not published', { client_id: client.id, reason: error.message });
    }
    return 'notified';
}

function letter(client) {
    const since = utils.date.format(client.last_activity, 'YYYY-MM-DD');
    return [
        `Dear ${client.name},`,
        '',
        `your last visit was on ${since}. A lot has come in since then, and we would be glad to show you.`,
        '',
        context.tenant.name,
    ].join('\n');
}
