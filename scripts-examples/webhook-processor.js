// Takes the payment provider's word that an invoice was paid, once per payment.
//
// Trigger: HTTP, POST /api/custom/webhooks/payments. The provider signs the body with the secret
// that it shares with the tenant (settings.webhook_secret): X-Signature: sha256=HEX.
//   airlock run scripts-examples/webhook-processor.js --config scripts-examples/airlock.toml \
//       --context @scripts-examples/inputs/context-acme.json --input @scripts-examples/inputs/webhook-request.json
//   body='{"id":"evt_8Qm2LxT4","type":"payment.succeeded","data":{"invoice_id":5147,"amount":420}}'
//   signature=$(printf %s "$body" | openssl dgst -sha256 -hmac 'acme-webhook-secret' -r | cut -d' ' -f1)
//   curl -H 'Authorization: Bearer acme-demo-token' -H 'Content-Type: application/json' \
//       -H "X-Signature: sha256=$signature" -d "$body" http://127.0.0.1:8080/api/custom/webhooks/payments
//
// @airlock tables: settings (read), invoices, payments, clients
// @airlock capabilities: storage
// @airlock events: invoice.paid

const WORKING_SECONDS = 60; // longer than any call lasts: a claim older than this was abandoned
const REMEMBER_SECONDS = 30 * 24 * 60 * 60; // longer than the provider repeats itself

async function handleRequest(req) {
    // The signature is over the bytes that were sent. Parsing and writing them
    // again could change spaces or digits, so nothing but rawBody will do.
    const secret = await db.findOne('settings', { name: 'webhook_secret' });
    if (!secret || !isSigned(req, secret.value)) {
        console.warn('Webhook refused: the signature does not fit');
        return reply(401, { error: 'Bad signature' });
    }

    let event;
    try {
        event = JSON.parse(req.rawBody);
    } catch (error) {
        return reply(400, { error: `The body is not JSON: ${error.message}` });
    }
    if (typeof event?.id !== 'string' || event.id === '' || event.id.length > 100) {
        return reply(400, { error: 'The event has no id' });
    }
    // Said with 200, because the provider repeats whatever is not a success.
    if (event.type !== 'payment.succeeded') return reply(200, { ignored: event.type ?? null });
    if (!Number.isInteger(event.data?.invoice_id) || !Number.isFinite(event.data.amount)) {
        return reply(400, { error: 'data needs an invoice_id and an amount' });
    }

    // Providers deliver at least once, sometimes twice at the same moment. Of
    // any number of equal deliveries, one wins this and does the work.
    const key = `webhook/${event.id}`;
    if (!(await storage.compareAndSet(key, null, { state: 'working' }, WORKING_SECONDS))) {
        const claim = await storage.get(key);
        if (claim?.state === 'done') return reply(200, { ...claim.answer, duplicate: true });
        return reply(409, { error: 'This event is being processed' }, { 'Retry-After': '5' });
    }

    try {
        const answer = await settle(event);
        if (answer.status === 200) {
            await events.publish('invoice.paid', { ...answer.body, event_id: event.id });
            await storage.set(key, { state: 'done', answer: answer.body }, REMEMBER_SECONDS);
        } else {
            await storage.delete(key); // it may be sent again, put right
        }
        return answer;
    } catch (error) {
        await storage.delete(key); // the provider's next attempt starts afresh
        throw error;
    }
}

// Books the payment. May be called again for an event that was booked already,
// when a call broke off between the booking and the event's publication: it
// then changes nothing and answers the same.
function settle(event) {
    const { invoice_id, amount } = event.data;
    return db.transaction(async (tx) => {
        const invoice = await tx.findOne('invoices', { id: invoice_id });
        if (!invoice) return reply(404, { error: `There is no invoice ${invoice_id}` });

        const paid = reply(200, { invoice_id, order_id: invoice.order_id, amount: invoice.amount, status: 'paid' });
        const booked = await tx.findOne('payments', { provider_ref: event.id });
        if (booked) return paid;

        if (invoice.status === 'paid') return reply(409, { error: `Invoice ${invoice_id} has been paid already` });
        if (Math.round(amount * 100) !== Math.round(invoice.amount * 100)) {
            return reply(422, { error: `Invoice ${invoice_id} is over ${invoice.amount}, not ${amount}` });
        }

        const now = utils.date.toISO(utils.date.now());
        await tx.insert('payments', { invoice_id, provider_ref: event.id, amount, received_at: now });
        await tx.update('invoices', { id: invoice_id }, { status: 'paid', paid_at: now });
        await tx.update('clients', { id: invoice.customer_id }, { last_activity: now });
        return paid;
    });
}

// In constant time: how long a comparison takes must not tell a forger how much
// of the signature was right.
function isSigned(req, secret) {
    const given = req.headers['x-signature'] ?? '';
    const expected = `sha256=${utils.crypto.hmac(secret, req.rawBody ?? '', 'sha256', 'hex')}`;
    return given.length === expected.length && utils.crypto.timingSafeEqual(given, expected);
}

function reply(status, body, headers = {}) {
    return { status, headers, body };
}
