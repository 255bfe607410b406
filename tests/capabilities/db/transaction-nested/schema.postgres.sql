CREATE TABLE items (id integer, stock integer, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
INSERT INTO items VALUES (1, 10, '{tenant}'), (2, 20, '{tenant}');
