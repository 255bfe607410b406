CREATE TABLE scripts (
    tenant     TEXT COLLATE "C" NOT NULL,
    -- A version 7 UUID.
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    -- What its author has set, as JSON.
    draft      TEXT   NOT NULL,
    -- 1 or 0.
    enabled    BIGINT NOT NULL,
    -- The number of the version that calls run. NULL: none was deployed.
    deployed   BIGINT,
    -- The number of the last version; 0 where there is none.
    latest     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

-- Never changed once it is written.
CREATE TABLE script_versions (
    tenant     TEXT COLLATE "C" NOT NULL,
    script     TEXT COLLATE "C" NOT NULL,
    -- Counts from 1 in each script.
    number     BIGINT NOT NULL,
    -- The name that stacks show.
    file       TEXT   NOT NULL,
    source     TEXT   NOT NULL,
    source_map TEXT,
    -- SHA-256 of the source, in hexadecimal.
    hash       TEXT   NOT NULL,
    -- What it was first compiled with.
    engine     TEXT   NOT NULL,
    -- What can be called, as a JSON array.
    entries    TEXT   NOT NULL,
    -- What it declares that it uses, as JSON. NULL: it declares nothing.
    declared   TEXT,
    -- The user's id.
    author     TEXT   NOT NULL,
    message    TEXT   NOT NULL,
    -- Of the source and its map.
    bytes      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, script, number)
);

-- What scripts answer to over HTTP. The key keeps two of a tenant apart.
CREATE TABLE script_routes (
    tenant TEXT COLLATE "C" NOT NULL,
    -- The path with `{}` for each parameter.
    path   TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    script TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, path, method)
);

-- Goes up with each change of a tenant's scripts, for the other hosts to see.
CREATE TABLE script_revisions (
    tenant   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);
