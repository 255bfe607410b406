-- The shop's tables. Every tenant has a database of its own with this schema.
--
-- Times are ISO 8601 texts in UTC with milliseconds (2025-11-02T10:15:00.000Z),
-- so that comparing them as texts orders them, and a JavaScript Date that is
-- passed as a parameter compares with them. Days are texts too (2025-11-02).

-- The people who work in the shop; the ids are those of airlock.toml.
CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    email      TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    status     TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE clients (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL CHECK (name <> ''),
    email         TEXT UNIQUE,
    status        TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'closed')),
    -- What the client may owe. 0 is no limit.
    credit_limit  NUMERIC(12, 2) NOT NULL DEFAULT 0 CHECK (credit_limit >= 0),
    -- Null until the client has done anything.
    last_activity TEXT,
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX clients_last_activity ON clients (last_activity);

CREATE TABLE products (
    id         INTEGER PRIMARY KEY,
    sku        TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL CHECK (name <> ''),
    price      NUMERIC(12, 2) NOT NULL CHECK (price >= 0),
    stock      INTEGER NOT NULL DEFAULT 0 CHECK (stock >= 0),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE orders (
    id          INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES clients (id),
    order_date  TEXT NOT NULL,
    status      TEXT NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending', 'shipped', 'delivered', 'cancelled')),
    total       NUMERIC(12, 2) NOT NULL CHECK (total >= 0)
);

CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX orders_date ON orders (order_date);

CREATE TABLE order_items (
    id         INTEGER PRIMARY KEY,
    order_id   INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    -- What the product cost when it was ordered.
    unit_price NUMERIC(12, 2) NOT NULL CHECK (unit_price >= 0),
    UNIQUE (order_id, product_id)
);

CREATE INDEX order_items_product ON order_items (product_id);

CREATE TABLE invoices (
    id          INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES clients (id),
    order_id    INTEGER NOT NULL UNIQUE REFERENCES orders (id),
    amount      NUMERIC(12, 2) NOT NULL CHECK (amount >= 0),
    status      TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'overdue')),
    issued_at   TEXT NOT NULL,
    due_date    TEXT NOT NULL,
    paid_at     TEXT,
    CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);

CREATE INDEX invoices_customer_status ON invoices (customer_id, status);

-- Payments that the payment provider has told us of.
CREATE TABLE payments (
    id           INTEGER PRIMARY KEY,
    invoice_id   INTEGER NOT NULL REFERENCES invoices (id),
    -- The provider's id of the event: one event is one payment.
    provider_ref TEXT NOT NULL UNIQUE,
    amount       NUMERIC(12, 2) NOT NULL CHECK (amount > 0),
    received_at  TEXT NOT NULL
);

CREATE INDEX payments_invoice ON payments (invoice_id);

-- The tenant's own settings, such as the secret it shares with the provider.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
