// Sales of a period, beside those of the period before, with the best-selling products.
//
// Trigger: HTTP, GET /api/custom/sales-report, for users with the permission reports.view.
//   start, end   first and last day, both included; the last 30 days if left out
//   group        day (default) or month
//   format       json (default) or csv
//   airlock run scripts-examples/report-generator.js --config scripts-examples/airlock.toml \
//       --context @scripts-examples/inputs/context-acme.json --input @scripts-examples/inputs/report-request.json
//   curl -H 'Authorization: Bearer acme-demo-token' \
//       'http://127.0.0.1:8080/api/custom/sales-report?start=2024-01-01&end=2024-01-31'
//
// @airlock tables: orders (read), order_items (read), products (read)

// How much of an ISO time names the group. Also the list of groups that exist.
const GROUPS = { day: 10, month: 7 };
const MAX_DAYS = 1100;

async function handleRequest(req) {
    if (!context.user) return refuse(401, 'Sign in to see reports');
    if (!context.user.permissions.includes('reports.view')) {
        return refuse(403, 'Reports need the permission reports.view');
    }

    const { group = 'day', format = 'json' } = req.query;
    if (!Object.hasOwn(GROUPS, group)) return refuse(400, 'group is day or month');
    if (format !== 'json' && format !== 'csv') return refuse(400, 'format is json or csv');

    const today = utils.date.startOfDay(utils.date.now());
    const last = req.query.end === undefined ? today : day(req.query.end);
    const first = req.query.start === undefined ? last && utils.date.addDays(last, -29) : day(req.query.start);
    if (!first || !last) return refuse(400, 'start and end are days such as 2024-01-31');
    if (first > last) return refuse(400, 'start comes after end');

    // Half-open, [from, until): "up to 31 January" means all of that day.
    const from = first;
    const until = utils.date.addDays(last, 1);
    const days = Math.round((until.getTime() - from.getTime()) / 86_400_000);
    if (days > MAX_DAYS) return refuse(400, `A report covers at most ${MAX_DAYS} days`);
    const before = utils.date.addDays(from, -days);

    // Independent of each other, so they run together.
    const [sales, [previous], products] = await Promise.all([
        db.query(
            `SELECT substr(order_date, 1, $3) AS period, COUNT(*) AS orders, SUM(total) AS revenue
             FROM orders
             WHERE order_date >= $1 AND order_date < $2 AND status <> 'cancelled'
             GROUP BY 1
             ORDER BY 1`,
            [from, until, GROUPS[group]],
        ),
        db.query(
            `SELECT COUNT(*) AS orders, COALESCE(SUM(total), 0) AS revenue
             FROM orders
             WHERE order_date >= $1 AND order_date < $2 AND status <> 'cancelled'`,
            [before, from],
        ),
        db.query(
            `SELECT p.sku, p.name, SUM(i.quantity) AS quantity, SUM(i.quantity * i.unit_price) AS revenue
             FROM order_items i
             JOIN orders o ON o.id = i.order_id
             JOIN products p ON p.id = i.product_id
             WHERE o.order_date >= $1 AND o.order_date < $2 AND o.status <> 'cancelled'
             GROUP BY p.id, p.sku, p.name
             ORDER BY 4 DESC, p.sku
             LIMIT 5`,
            [from, until],
        ),
    ]);

    const rows = sales.map((row) => ({ ...row, revenue: cents(row.revenue) }));
    if (format === 'csv') return csv(rows, `sales-${name(first)}-${name(last)}.csv`);

    const orders = rows.reduce((sum, row) => sum + row.orders, 0);
    const revenue = cents(rows.reduce((sum, row) => sum + row.revenue, 0));
    return {
        status: 200,
        headers: { 'Content-Type': 'application/json' },
        body: {
            tenant: context.tenant.name,
            period: { start: name(first), end: name(last), days },
            summary: {
                orders,
                revenue,
                average_order: orders === 0 ? 0 : cents(revenue / orders),
                previous: { orders: previous.orders, revenue: cents(previous.revenue) },
                // From nothing to something is no percentage.
                change_percent: previous.revenue === 0 ? null : cents((revenue / previous.revenue - 1) * 100),
            },
            sales: rows,
            top_products: products.map((product) => ({ ...product, revenue: cents(product.revenue) })),
        },
    };
}

// The start of a day, or null for a text that names none. Date would take
// 30 February for 1 March; writing the day back shows that.
function day(text) {
    if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return null;
    const date = new Date(`${text}T00:00:00.000Z`);
    return !Number.isNaN(date.getTime()) && name(date) === text ? date : null;
}

function name(date) {
    return utils.date.format(date, 'YYYY-MM-DD');
}

// Sums of decimal fractions come out as 0.30000000000000004.
function cents(amount) {
    return Math.round(amount * 100) / 100;
}

// Dates and numbers only, so nothing needs quoting.
function csv(rows, file) {
    const lines = ['period,orders,revenue', ...rows.map((row) => `${row.period},${row.orders},${row.revenue.toFixed(2)}`)];
    return {
        status: 200,
        headers: { 'Content-Type': 'text/csv; charset=utf-8', 'Content-Disposition': `attachment; filename="${file}"` },
        body: `${lines.join('\r\n')}\r\n`,
    };
}

function refuse(status, error) {
    return { status, body: { error } };
}
