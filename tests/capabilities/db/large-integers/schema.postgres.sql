CREATE TABLE numbers (id integer, n bigint, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
