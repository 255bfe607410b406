CREATE TABLE items (id integer, name text, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
