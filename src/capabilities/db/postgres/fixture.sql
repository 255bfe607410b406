CREATE TABLE clients (
    tenant_id text NOT NULL,
    id int NOT NULL,
    email text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email)
);
CREATE TABLE currencies (code text PRIMARY KEY);
CREATE TABLE orders (
    tenant_id text NOT NULL,
    id serial,
    client_id int,
    currency text REFERENCES currencies,
    total numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id)
);
CREATE TABLE invoices (tenant_id text NOT NULL, number int NOT NULL, PRIMARY KEY (tenant_id, number));
CREATE TABLE secrets (tenant_id text NOT NULL, value text);
-- Nobody's in the settings.
CREATE TABLE internal (note text);

INSERT INTO currencies VALUES ('EUR'), ('USD');
INSERT INTO clients VALUES
    ('acme', 1, 'ada@acme.example'),
    ('globex', 1, 'hank@globex.example'), ('globex', 2, 'marge@globex.example');
INSERT INTO orders (tenant_id, client_id, currency, total) VALUES
    ('acme', 1, 'EUR', 10), ('globex', 1, 'USD', 47114711), ('globex', 2, 'USD', 81508150);
INSERT INTO invoices VALUES ('acme', 1), ('globex', 770077);
INSERT INTO secrets VALUES ('acme', 'acme hidden'), ('globex', 'globex hidden');
INSERT INTO internal VALUES ('hidden note');
