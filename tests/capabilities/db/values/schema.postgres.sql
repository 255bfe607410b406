CREATE TABLE kept (
    tenant_id text NOT NULL, id integer, small integer, large bigint, fraction double precision, exact numeric, note text,
    flag boolean, day date, at timestamptz, key uuid, data jsonb, list integer[], bytes bytea, PRIMARY KEY (tenant_id, id)
);
