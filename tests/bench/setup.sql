-- Inputs and the table of results. ENGLISH and CODE in the environment name files.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE SCHEMA bench;

-- value: seconds, tokens or pairs per second, one row for each round.
CREATE TABLE bench.measure (
    part text NOT NULL,
    subject text NOT NULL,
    variant text NOT NULL,
    value double precision NOT NULL
);

CREATE TABLE bench.source (kind text PRIMARY KEY, content text NOT NULL);
\set conversation `cat "$ENGLISH"`
\set code `cat $CODE`
INSERT INTO bench.source
SELECT 'english', repeat(string_agg(m ->> 'content', E'\n\n' ORDER BY n) || E'\n', 2)
FROM jsonb_array_elements(:'conversation') WITH ORDINALITY e (m, n)
WHERE jsonb_typeof(m -> 'content') = 'string';
INSERT INTO bench.source SELECT 'code', repeat(:'code' || E'\n', 1 + 1100000 / length(:'code'));

-- Every set has a megabyte in all, so that every measurement has about the same work to do. Each is
-- cut out of the one before it.
CREATE TABLE bench.text (kind text, size integer, n integer, content text NOT NULL);
INSERT INTO bench.text SELECT kind, 1000000, 0, left(content, 1000000) FROM bench.source;
CREATE PROCEDURE bench.cut(size integer, new_size integer)
    LANGUAGE sql
AS $$
    INSERT INTO bench.text
    SELECT t.kind, new_size, t.n * (size / new_size) + i,
        substr(t.content, 1 + i * new_size, new_size)
    FROM bench.text t, generate_series(0, size / new_size - 1) i
    WHERE t.size = cut.size
$$;
CALL bench.cut(1000000, 50000);
CALL bench.cut(50000, 1000);
CALL bench.cut(1000, 50);

-- What an application would do by hand: a balance and a log of what changed it.
CREATE TABLE bench.balance (
    user_id text PRIMARY KEY,
    amount bigint NOT NULL,
    used bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE bench.log (
    log_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    kind text NOT NULL,
    tokens integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Limits that nothing comes near: a refusal would be cheaper than a grant.
INSERT INTO bench.balance (user_id, amount)
SELECT 'user' || n, 1000000000000 FROM generate_series(1, 10000) n
UNION ALL SELECT unnest(ARRAY['hot1', 'split1']), 1000000000000;
SELECT count(token_mgmt.set_quota('user', user_id, 'day', amount)) AS quotas FROM bench.balance;
-- As the worker does with a quota whose writers wait for each other.
INSERT INTO token_mgmt.hot_quota (tenant, quota_id, scope_value, slots, seen_at)
SELECT tenant, quota_id, value, 32, clock_timestamp() FROM token_mgmt.quota WHERE value = 'split1';
-- And not with hot1, which is to stay in one row: nobody hears that it is waited for.
CREATE FUNCTION bench.not_told() RETURNS trigger
    LANGUAGE plpgsql
    AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER hot_stays_whole BEFORE INSERT ON token_mgmt.quota_wait
    FOR EACH ROW WHEN (NEW.scope_value = 'hot1') EXECUTE FUNCTION bench.not_told();
ANALYZE bench.balance, token_mgmt.quota;
