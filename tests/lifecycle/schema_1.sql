CREATE TABLE llmrouter_settings (
    name VARCHAR(63) NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE llmrouter_routers (
    org VARCHAR(63) NOT NULL,
    id VARCHAR(63) NOT NULL,
    version INTEGER NOT NULL,
    description TEXT,
    created FLOAT NOT NULL,
    spec JSON NOT NULL,
    PRIMARY KEY (org, id, version)
);

CREATE TABLE llmrouter_judges (
    org VARCHAR(63) NOT NULL,
    id VARCHAR(63) NOT NULL,
    version INTEGER NOT NULL,
    description TEXT,
    created FLOAT NOT NULL,
    spec JSON NOT NULL,
    PRIMARY KEY (org, id, version)
);

CREATE TABLE llmrouter_checkpoints (
    org VARCHAR(63) NOT NULL,
    digest VARCHAR(80) NOT NULL,
    created FLOAT NOT NULL,
    data {blob} NOT NULL,
    PRIMARY KEY (org, digest)
);

CREATE TABLE llmrouter_jobs (
    id VARCHAR(63) NOT NULL,
    org VARCHAR(63) NOT NULL,
    account VARCHAR(63) NOT NULL,
    router VARCHAR(63) NOT NULL,
    judge VARCHAR(63) NOT NULL,
    judge_version INTEGER NOT NULL,
    llms JSON NOT NULL,
    options JSON NOT NULL,
    requests_digest VARCHAR(80) NOT NULL,
    program VARCHAR(63) NOT NULL,
    status VARCHAR(63) NOT NULL,
    error TEXT,
    retries INTEGER NOT NULL,
    created FLOAT NOT NULL,
    updated FLOAT NOT NULL,
    ended FLOAT,
    done INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    spent FLOAT NOT NULL,
    stopped JSON NOT NULL,
    results JSON,
    texts_deleted BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_llmrouter_jobs_org ON llmrouter_jobs (org);

CREATE INDEX ix_llmrouter_jobs_status ON llmrouter_jobs (status);

CREATE TABLE llmrouter_requests (
    org VARCHAR(63) NOT NULL,
    job VARCHAR(63) NOT NULL,
    request_index INTEGER NOT NULL,
    body JSON,
    PRIMARY KEY (job, request_index)
);

CREATE TABLE llmrouter_calls (
    org VARCHAR(63) NOT NULL,
    job VARCHAR(63) NOT NULL,
    request_index INTEGER NOT NULL,
    llm VARCHAR(255) NOT NULL,
    kind VARCHAR(15) NOT NULL,
    ended FLOAT NOT NULL,
    message JSON,
    score FLOAT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost FLOAT,
    error TEXT,
    error_status INTEGER,
    PRIMARY KEY (job, request_index, llm, kind)
);

CREATE TABLE llmrouter_tasks (
    org VARCHAR(63) NOT NULL,
    job VARCHAR(63) NOT NULL,
    number INTEGER NOT NULL,
    kind VARCHAR(15) NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    owner VARCHAR(127),
    PRIMARY KEY (job, number)
);

CREATE TABLE llmrouter_workers (
    id VARCHAR(127) NOT NULL,
    program VARCHAR(63) NOT NULL,
    heartbeat FLOAT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE llmrouter_accounts (
    org VARCHAR(63) NOT NULL,
    account VARCHAR(63) NOT NULL,
    spent FLOAT NOT NULL,
    PRIMARY KEY (org, account)
);

CREATE TABLE llmrouter_reservations (
    id VARCHAR(512) NOT NULL,
    org VARCHAR(63) NOT NULL,
    account VARCHAR(63) NOT NULL,
    job VARCHAR(63),
    owner VARCHAR(127) NOT NULL,
    usd FLOAT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX llmrouter_reservations_account ON llmrouter_reservations (org, account);

CREATE INDEX llmrouter_reservations_job ON llmrouter_reservations (job);

CREATE TABLE llmrouter_replies (
    org VARCHAR(63) NOT NULL,
    account VARCHAR(63) NOT NULL,
    key VARCHAR(255) NOT NULL,
    request VARCHAR(80) NOT NULL,
    created FLOAT NOT NULL,
    status INTEGER,
    body JSON,
    PRIMARY KEY (org, account, key)
);
