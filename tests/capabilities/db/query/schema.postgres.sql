CREATE TABLE items (id integer, name text, price double precision, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
INSERT INTO items VALUES (1, 'ink', 2.5, '{tenant}'), (2, 'pen', 0.5, '{tenant}'), (3, 'pad', 4, '{tenant}'), (4, 'ink', 9, 'another');
