// Brings the product list up to date with a supplier's catalogue.
//
// Trigger: cron, hourly ("15 * * * *"), or by hand after the supplier calls.
// The feed is pages of JSON: {"products": [{sku, name, price, stock}], "next": URL or null},
// as in inputs/catalogue.json. To try it on that file, serve the folder with
// `python3 -m http.server 9000 --directory scripts-examples/inputs`, add "http://127.0.0.1:9000" to the
// two lists of hosts (here and `grants.http`) and "127.0.0.0/8" to `private_networks` in airlock.toml, and:
//   airlock run scripts-examples/data-sync.js --config scripts-examples/airlock.toml \
//       --context @scripts-examples/inputs/context-acme.json \
//       --input '{"url": "http://127.0.0.1:9000/catalogue.json"}'
// It answers no route, so there is nothing to curl but the feed itself.
//
// @airlock http: supplier.example
// @airlock tables: products
// @airlock capabilities: storage
// @airlock events: products.synced

const CATALOGUE = 'https://supplier.example/v1/catalogue';
const MAX_PAGES = 20; // a feed whose pages point in a circle ends here
const ATTEMPTS = 3;

async function main(input) {
    const url = input?.url ?? CATALOGUE;
    const listed = await readCatalogue(url);

    const good = listed.filter((product) => isUsable(product));
    const counts = { received: listed.length, rejected: listed.length - good.length, inserted: 0, updated: 0, unchanged: 0 };

    // Most runs find nothing new; then the database need not be touched.
    const fingerprint = utils.crypto.hash(JSON.stringify(good), 'sha256');
    if (!input?.force && (await storage.get(`catalogue/${url}`)) === fingerprint) {
        counts.unchanged = good.length;
        console.info('Catalogue has not changed', counts);
        return counts;
    }

    // All or nothing: nobody should see half of a price list.
    await db.transaction(async (tx) => {
        const now = utils.date.toISO(utils.date.now());
        const known = new Set((await tx.query('SELECT sku FROM products')).map((row) => row.sku));

        for (const { sku, name, price, stock } of good) {
            // The WHERE leaves rows alone that are the same already, so that
            // updated_at tells when something really changed.
            const { affected } = await tx.execute(
                `INSERT INTO products (sku, name, price, stock, updated_at)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (sku) DO UPDATE
                 SET name = excluded.name, price = excluded.price, stock = excluded.stock, updated_at = excluded.updated_at
                 WHERE products.name <> excluded.name OR products.price <> excluded.price OR products.stock <> excluded.stock`,
                [sku, name, price, stock, now],
            );
            if (affected === 0) counts.unchanged++;
            else if (known.has(sku)) counts.updated++;
            else counts.inserted++;
            known.add(sku);
        }
    });

    // After the commit: a sync that failed must not be taken for done.
    await storage.set(`catalogue/${url}`, fingerprint);
    if (counts.inserted + counts.updated > 0) {
        await events.publish('products.synced', counts);
    }
    console.info('Catalogue read', counts);
    return counts;
}

async function readCatalogue(url) {
    const products = [];
    for (let page = 1; url; page++) {
        if (page > MAX_PAGES) throw new Error(`The catalogue has more than ${MAX_PAGES} pages`);
        const response = await getPatiently(url);
        const { products: some, next } = await response.json();
        if (!Array.isArray(some)) throw new Error(`No "products" at ${url}`);
        products.push(...some);
        url = next;
    }
    return products;
}

// Tries again what may well work in a moment: a lost connection, a busy server.
// A 404 will still be one, so it fails at once.
async function getPatiently(url) {
    for (let attempt = 1; ; attempt++) {
        let problem;
        try {
            const response = await http.get(url);
            if (response.ok) return response;
            problem = new Error(`${url} answered ${response.status}`);
            if (response.status !== 429 && response.status < 500) attempt = ATTEMPTS;
        } catch (error) {
            problem = error;
        }
        if (attempt >= ATTEMPTS) throw problem;
        console.warn('Trying again', { attempt, reason: problem.message });
        await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
    }
}

// A supplier's slip must not become our price.
function isUsable(product) {
    const usable =
        typeof product?.sku === 'string' && product.sku !== '' &&
        typeof product.name === 'string' && product.name !== '' &&
        Number.isFinite(product.price) && product.price > 0 &&
        Number.isInteger(product.stock) && product.stock >= 0;
    if (!usable) console.warn('Product left out', { product });
    return usable;
}
