// Says whether an order may be placed and, if not, everything that is in the way.
//
// Trigger: embedded; the application calls it before it saves an order, and shows `errors` beside
// the form's fields. Changes nothing.
//   airlock run scripts-examples/validation-rules.js --config scripts-examples/airlock.toml \
//       --context @scripts-examples/inputs/context-acme.json --input @scripts-examples/inputs/order-valid.json
//   airlock run … --entry validateClient --input '{"name": "", "email": "nobody"}'
// It answers no route, so there is nothing to curl.
//
// @airlock services: clients, products
// @airlock tables: invoices (read)
//
// A rule takes the order and what the database knows about it, and yields its objections.
// To add one, write a generator and name it here.
const rules = [customerMayBuy, productsExist, stockSuffices, totalIsRight, creditSuffices];

export default async function validateOrder(order) {
    // The rules rely on the order's shape, so it comes first and alone.
    const misshapen = [...shape(order)];
    if (misshapen.length > 0) return verdict(misshapen);

    const known = await lookUp(order);
    return verdict(rules.flatMap((rule) => [...rule(order, known)]));
}

export function validateClient(client) {
    return verdict([...clientShape(client)]);
}

function* shape(order) {
    if (order === null || typeof order !== 'object') {
        yield error('shape', '', 'An order is an object');
        return;
    }
    if (!Number.isInteger(order.customer_id)) yield error('shape', 'customer_id', 'Name the customer');
    if (!Number.isFinite(order.total) || order.total < 0) yield error('shape', 'total', 'The total is an amount');
    if (!Array.isArray(order.items) || order.items.length === 0) {
        yield error('shape', 'items', 'An order has at least one item');
        return;
    }
    if (order.items.length > 200) {
        yield error('shape', 'items', 'An order has at most 200 items');
        return;
    }
    for (const [index, item] of order.items.entries()) {
        if (!Number.isInteger(item?.product_id)) yield error('shape', `items[${index}].product_id`, 'Name the product');
        if (!Number.isInteger(item?.quantity) || item.quantity < 1) {
            yield error('shape', `items[${index}].quantity`, 'The quantity is a whole number, 1 or more');
        }
    }
}

// Everything that the rules need, in three questions asked together, however
// many items there are.
async function lookUp(order) {
    const ids = [...new Set(order.items.map((item) => item.product_id))];
    const [customer, products, [owed]] = await Promise.all([
        services.clients.get(order.customer_id),
        services.products.list({ filters: [{ field: 'id', operator: 'in', value: ids }], limit: ids.length }),
        db.query(
            `SELECT COALESCE(SUM(amount), 0) AS total,
                    COALESCE(SUM(CASE WHEN status = 'overdue' THEN amount ELSE 0 END), 0) AS overdue
             FROM invoices
             WHERE customer_id = $1 AND status <> 'paid'`,
            [order.customer_id],
        ),
    ]);
    return { customer, owed, products: new Map(products.map((product) => [product.id, product])) };
}

function* customerMayBuy(order, { customer, owed }) {
    if (!customer) {
        yield error('customer', 'customer_id', `There is no customer ${order.customer_id}`);
        return;
    }
    if (customer.status !== 'active') yield error('customer', 'customer_id', `${customer.name} is ${customer.status}`);
    if (owed.overdue > 0) {
        yield error('customer', 'customer_id', `${customer.name} has overdue invoices over ${owed.overdue.toFixed(2)}`);
    }
}

function* productsExist(order, { products }) {
    for (const [index, item] of order.items.entries()) {
        if (!products.has(item.product_id)) {
            yield error('product', `items[${index}].product_id`, `There is no product ${item.product_id}`);
        }
    }
}

// Adds up first: two lines of three are six, even if there are five.
function* stockSuffices(order, { products }) {
    const wanted = new Map();
    for (const { product_id, quantity } of order.items) wanted.set(product_id, (wanted.get(product_id) ?? 0) + quantity);
    for (const [id, quantity] of wanted) {
        const product = products.get(id);
        if (product && product.stock < quantity) {
            const index = order.items.findIndex((item) => item.product_id === id);
            yield error('stock', `items[${index}].quantity`, `${quantity} × ${product.name} ordered, ${product.stock} in stock`);
        }
    }
}

// Our prices count, not those in the caller's form.
function* totalIsRight(order, { products }) {
    if (!order.items.every((item) => products.has(item.product_id))) return; // said already
    const total = order.items.reduce((sum, item) => sum + cents(products.get(item.product_id).price) * item.quantity, 0);
    if (cents(order.total) !== total) {
        yield error('total', 'total', `The items come to ${(total / 100).toFixed(2)}, not ${order.total.toFixed(2)}`);
    }
}

function* creditSuffices(order, { customer, owed }) {
    if (!customer || customer.credit_limit === 0) return; // 0 is no limit
    const left = customer.credit_limit - owed.total;
    if (order.total > left) {
        yield error('credit', 'total', `${order.total.toFixed(2)} ordered, ${Math.max(left, 0).toFixed(2)} of the credit left`);
    }
}

function* clientShape(client) {
    if (typeof client?.name !== 'string' || client.name.trim() === '') yield error('name', 'name', 'A client has a name');
    // No pattern can tell whether a mailbox exists; this one catches slips.
    if (client?.email != null && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(client.email)) {
        yield error('email', 'email', `${client.email} is no mail address`);
    }
    if (client?.credit_limit !== undefined && !(Number.isFinite(client.credit_limit) && client.credit_limit >= 0)) {
        yield error('credit', 'credit_limit', 'The credit limit is an amount; 0 is no limit');
    }
}

// Money is compared in whole cents, since 0.1 + 0.2 is not 0.3.
function cents(amount) {
    return Math.round(amount * 100);
}

function error(rule, field, message) {
    return { rule, field, message };
}

function verdict(errors) {
    return { valid: errors.length === 0, errors };
}
