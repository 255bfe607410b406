CREATE TABLE items (id integer, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
