CREATE TABLE items (
    tenant_id text NOT NULL, id integer, kind text, name text, price double precision, PRIMARY KEY (tenant_id, id)
);
INSERT INTO items (tenant_id, id, kind, name, price) VALUES
    ('{tenant}', 1, 'a', 'pen', 1), ('{tenant}', 2, 'a', 'pad', 3), ('{tenant}', 3, 'b', 'in_k', 4), ('{tenant}', 4, 'b', 'cap', NULL),
    ('another', 5, 'a', 'pen', 1);
