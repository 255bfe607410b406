CREATE TABLE items (id integer, name text, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
INSERT INTO items VALUES (1, 'pen', '{tenant}');
