-- No key and no index: it is written by every settlement, and read as a whole.
CREATE TABLE token_mgmt.ledger_unrolled (
    recorded_at timestamptz NOT NULL,
    tenant text NOT NULL,
    user_id text NOT NULL,
    team text,
    api_key text,
    session_id text,
    agent text,
    endpoint text,
    provider text,
    model text,
    prompt_tokens integer NOT NULL,
    completion_tokens integer NOT NULL,
    cached_tokens integer NOT NULL,
    cache_write_tokens integer NOT NULL,
    reasoning_tokens integer NOT NULL,
    cost numeric,
    breakdown jsonb,
    calls integer NOT NULL DEFAULT 1
);
ALTER TABLE token_mgmt.ledger_unrolled REPLICA IDENTITY FULL;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.ledger_unrolled', '');
COMMENT ON COLUMN token_mgmt.ledger_unrolled.calls IS '1; 0 of a correction';
COMMENT ON TABLE token_mgmt.ledger_unrolled IS
    'Ledger entries that are not in the rollups yet. It has all that a report asks for, so that '
    'rolling up reads nothing else, and what it has written does not depend on the order in which '
    'tables are restored';
REVOKE ALL ON token_mgmt.ledger_unrolled FROM PUBLIC;

-- No unique key: roll-ups need not wait for one another, and a restore meets no conflict with what
-- was rolled up while it ran. Several rows of one grain are as good as one.
CREATE TABLE token_mgmt.usage_rollup (
    hour timestamptz NOT NULL,
    tenant text NOT NULL,
    user_id text NOT NULL,
    team text,
    api_key text,
    agent text,
    endpoint text,
    provider text,
    model text,
    calls bigint NOT NULL,
    unpriced_calls bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL,
    sections jsonb,
    grain bigint NOT NULL
) WITH (fillfactor = 70); -- room for HOT updates: rows of this hour are written at every pass
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.usage_rollup', '');
COMMENT ON TABLE token_mgmt.usage_rollup IS
    'The usage ledger summed by hour (UTC) and by who called what; with ledger_unrolled it is '
    'always the whole ledger';
COMMENT ON COLUMN token_mgmt.usage_rollup.cost IS 'USD of the calls that have a price';
COMMENT ON COLUMN token_mgmt.usage_rollup.sections IS 'Prompt tokens by section';
COMMENT ON COLUMN token_mgmt.usage_rollup.grain IS 'Hash of user to model, to find the row again';
REVOKE ALL ON token_mgmt.usage_rollup FROM PUBLIC;
-- Serves the roll-up, and reports of a tenant's span.
CREATE INDEX usage_rollup_grain_idx ON token_mgmt.usage_rollup (tenant, hour, grain);
-- Serves user_metrics.
CREATE INDEX usage_rollup_user_idx ON token_mgmt.usage_rollup (tenant, user_id, hour);
-- Serves the search for anomalies, in all tenants.
CREATE INDEX usage_rollup_hour_idx ON token_mgmt.usage_rollup (hour);

CREATE TABLE token_mgmt.session_rollup (
    hour timestamptz NOT NULL,
    tenant text NOT NULL,
    user_id text NOT NULL,
    team text,
    api_key text,
    session_id text,
    agent text,
    endpoint text,
    provider text,
    model text,
    calls bigint NOT NULL,
    unpriced_calls bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL,
    sections jsonb,
    grain bigint NOT NULL
) WITH (fillfactor = 70);
ALTER TABLE token_mgmt.session_rollup REPLICA IDENTITY FULL;
ALTER TABLE token_mgmt.usage_rollup REPLICA IDENTITY FULL;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.session_rollup', '');
COMMENT ON TABLE token_mgmt.session_rollup IS
    'As usage_rollup, by session too (NULL: none): most of its rows are of one hour of one session';
COMMENT ON COLUMN token_mgmt.session_rollup.grain IS 'Hash of user to model, to find the row again';
REVOKE ALL ON token_mgmt.session_rollup FROM PUBLIC;
-- Serves the roll-up, and reports by session of a tenant's span.
CREATE INDEX session_rollup_grain_idx ON token_mgmt.session_rollup (tenant, hour, grain);
-- Serves session_metrics.
CREATE INDEX session_rollup_session_idx ON token_mgmt.session_rollup (tenant, session_id);
-- Serves the number of a user's sessions.
CREATE INDEX session_rollup_user_idx ON token_mgmt.session_rollup (tenant, user_id, hour);

CREATE FUNCTION token_mgmt._check_breakdown(breakdown jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    section record;
BEGIN
    IF jsonb_typeof(breakdown) <> 'object' THEN
        PERFORM token_mgmt._raise('22023', 'breakdown is not a JSON object',
            format('Found a JSON %s.', jsonb_typeof(breakdown)),
            'Give the tokens of each section, such as {"system": 120, "history": 900}.');
    END IF;
    SELECT e.key, e.value INTO section FROM jsonb_each(breakdown) e
    WHERE CASE WHEN jsonb_typeof(e.value) = 'number'
        THEN e.value::numeric NOT BETWEEN 0 AND 1000000000 OR e.value::numeric % 1 <> 0
        ELSE true END
    LIMIT 1;
    IF FOUND THEN
        PERFORM token_mgmt._raise('22023',
            format('breakdown has no number of tokens for "%s"', left(section.key, 40)),
            CASE WHEN jsonb_typeof(section.value) = 'number'
                THEN format('Found %s.', left(section.value::text, 40))
                ELSE format('Found a JSON %s.', jsonb_typeof(section.value)) END,
            'Use whole numbers from 0 to 1000000000.');
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_breakdown(jsonb) IS
    'Refuses (22023) a caller''s breakdown that is not an object of numbers of tokens';
REVOKE ALL ON FUNCTION token_mgmt._check_breakdown(jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._sections(breakdown jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(breakdown) <> 'object' THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT jsonb_object_agg(s.key, s.value)
        FROM (
            SELECT e.key, e.value FROM jsonb_each(breakdown) e
            WHERE CASE WHEN jsonb_typeof(e.value) = 'number'
                THEN e.value::numeric BETWEEN 0 AND 1000000000 END
            ORDER BY e.key LIMIT 50
        ) s);
END
$$;
COMMENT ON FUNCTION token_mgmt._sections(jsonb) IS
    'What of a caller''s breakdown counts: up to 50 keys whose values can be numbers of tokens';
REVOKE ALL ON FUNCTION token_mgmt._sections(jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._add_sections(total jsonb, sections jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF total IS NULL OR sections IS NULL THEN
        RETURN coalesce(total, sections);
    END IF;
    RETURN (
        SELECT jsonb_object_agg(s.key, s.tokens)
        FROM (
            SELECT e.key, sum(e.value::numeric) AS tokens
            FROM (SELECT * FROM jsonb_each(total) UNION ALL SELECT * FROM jsonb_each(sections)) e
            GROUP BY e.key
        ) s);
END
$$;
COMMENT ON FUNCTION token_mgmt._add_sections(jsonb, jsonb) IS
    'Adds tokens to the total, section by section. Not STRICT: NULL is none';
REVOKE ALL ON FUNCTION token_mgmt._add_sections(jsonb, jsonb) FROM PUBLIC;

CREATE AGGREGATE token_mgmt._sum_sections(jsonb) (
    SFUNC = token_mgmt._add_sections, STYPE = jsonb, PARALLEL = SAFE
);
COMMENT ON AGGREGATE token_mgmt._sum_sections(jsonb) IS 'Sections added up';
REVOKE ALL ON FUNCTION token_mgmt._sum_sections(jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._add_to_usage(lines token_mgmt.session_rollup[]) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH line AS MATERIALIZED (
        SELECT row_number() OVER () AS number, g.*, hashtextextended((g.user_id, g.team,
            g.api_key, g.agent, g.endpoint, g.provider, g.model)::text, 0) AS grain
        FROM (
            SELECT l.hour, l.tenant, l.user_id, l.team, l.api_key, l.agent, l.endpoint,
                l.provider, l.model, sum(l.calls)::bigint AS calls,
                sum(l.unpriced_calls)::bigint AS unpriced_calls,
                sum(l.prompt_tokens)::bigint AS prompt_tokens,
                sum(l.completion_tokens)::bigint AS completion_tokens,
                sum(l.cached_tokens)::bigint AS cached_tokens,
                sum(l.cache_write_tokens)::bigint AS cache_write_tokens,
                sum(l.reasoning_tokens)::bigint AS reasoning_tokens, sum(l.cost) AS cost,
                token_mgmt._sum_sections(l.sections) AS sections
            FROM unnest(lines) l
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
        ) g
    ), added AS (
        UPDATE token_mgmt.usage_rollup r SET calls = r.calls + l.calls,
            unpriced_calls = r.unpriced_calls + l.unpriced_calls,
            prompt_tokens = r.prompt_tokens + l.prompt_tokens,
            completion_tokens = r.completion_tokens + l.completion_tokens,
            cached_tokens = r.cached_tokens + l.cached_tokens,
            cache_write_tokens = r.cache_write_tokens + l.cache_write_tokens,
            reasoning_tokens = r.reasoning_tokens + l.reasoning_tokens, cost = r.cost + l.cost,
            sections = token_mgmt._add_sections(r.sections, l.sections)
        FROM line l CROSS JOIN LATERAL (
            SELECT o.ctid AS place FROM token_mgmt.usage_rollup o
            WHERE o.tenant = l.tenant AND o.hour = l.hour AND o.grain = l.grain
                AND (o.user_id, o.team, o.api_key, o.agent, o.endpoint, o.provider, o.model)
                    IS NOT DISTINCT FROM
                    (l.user_id, l.team, l.api_key, l.agent, l.endpoint, l.provider, l.model)
            LIMIT 1 FOR UPDATE SKIP LOCKED
        ) o
        WHERE r.ctid = o.place
        RETURNING l.number
    )
    -- A row that another roll-up is writing, or has just written, is left to it.
    INSERT INTO token_mgmt.usage_rollup (hour, tenant, user_id, team, api_key, agent, endpoint,
        provider, model, calls, unpriced_calls, prompt_tokens, completion_tokens, cached_tokens,
        cache_write_tokens, reasoning_tokens, cost, sections, grain)
    SELECT l.hour, l.tenant, l.user_id, l.team, l.api_key, l.agent, l.endpoint, l.provider,
        l.model, l.calls, l.unpriced_calls, l.prompt_tokens, l.completion_tokens,
        l.cached_tokens, l.cache_write_tokens, l.reasoning_tokens, l.cost, l.sections, l.grain
    FROM line l WHERE l.number NOT IN (SELECT a.number FROM added a)
$$;
COMMENT ON FUNCTION token_mgmt._add_to_usage(token_mgmt.session_rollup[]) IS
    'Adds these lines to usage_rollup; waits for nobody';
REVOKE ALL ON FUNCTION token_mgmt._add_to_usage(token_mgmt.session_rollup[]) FROM PUBLIC;

CREATE FUNCTION token_mgmt._add_to_sessions(lines token_mgmt.session_rollup[]) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH line AS MATERIALIZED (
        SELECT row_number() OVER () AS number, l.* FROM unnest(lines) l
    ), added AS (
        UPDATE token_mgmt.session_rollup r SET calls = r.calls + l.calls,
            unpriced_calls = r.unpriced_calls + l.unpriced_calls,
            prompt_tokens = r.prompt_tokens + l.prompt_tokens,
            completion_tokens = r.completion_tokens + l.completion_tokens,
            cached_tokens = r.cached_tokens + l.cached_tokens,
            cache_write_tokens = r.cache_write_tokens + l.cache_write_tokens,
            reasoning_tokens = r.reasoning_tokens + l.reasoning_tokens, cost = r.cost + l.cost,
            sections = token_mgmt._add_sections(r.sections, l.sections)
        FROM line l CROSS JOIN LATERAL (
            SELECT o.ctid AS place FROM token_mgmt.session_rollup o
            WHERE o.tenant = l.tenant AND o.hour = l.hour AND o.grain = l.grain
                AND (o.user_id, o.team, o.api_key, o.session_id, o.agent, o.endpoint, o.provider,
                    o.model) IS NOT DISTINCT FROM (l.user_id, l.team, l.api_key, l.session_id,
                    l.agent, l.endpoint, l.provider, l.model)
            LIMIT 1 FOR UPDATE SKIP LOCKED
        ) o
        WHERE r.ctid = o.place
        RETURNING l.number
    )
    INSERT INTO token_mgmt.session_rollup
    SELECT l.hour, l.tenant, l.user_id, l.team, l.api_key, l.session_id, l.agent, l.endpoint,
        l.provider, l.model, l.calls, l.unpriced_calls, l.prompt_tokens, l.completion_tokens,
        l.cached_tokens, l.cache_write_tokens, l.reasoning_tokens, l.cost, l.sections, l.grain
    FROM line l WHERE l.number NOT IN (SELECT a.number FROM added a)
$$;
COMMENT ON FUNCTION token_mgmt._add_to_sessions(token_mgmt.session_rollup[]) IS
    'Adds these lines to session_rollup; waits for nobody';
REVOKE ALL ON FUNCTION token_mgmt._add_to_sessions(token_mgmt.session_rollup[]) FROM PUBLIC;

CREATE FUNCTION token_mgmt._roll_up(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lines token_mgmt.session_rollup[];
    rolled integer;
BEGIN
    -- What is gone from here is in the rollups when this commits: no snapshot sees one without the
    -- other. Settlements only insert, so nobody waits.
    WITH taken AS (
        DELETE FROM token_mgmt.ledger_unrolled u WHERE u.ctid = ANY (ARRAY(
            SELECT c.ctid FROM token_mgmt.ledger_unrolled c LIMIT max_rows FOR UPDATE SKIP LOCKED))
        RETURNING u.*
    ), line AS (
        SELECT date_trunc('hour', t.recorded_at, 'UTC') AS hour, t.tenant, t.user_id, t.team,
            t.api_key, t.session_id, t.agent, t.endpoint, t.provider, t.model,
            sum(t.calls) AS calls,
            coalesce(sum(t.calls) FILTER (WHERE t.cost IS NULL), 0) AS unpriced_calls,
            sum(t.prompt_tokens) AS prompt_tokens, sum(t.completion_tokens) AS completion_tokens,
            sum(t.cached_tokens) AS cached_tokens, sum(t.cache_write_tokens) AS cache_write_tokens,
            sum(t.reasoning_tokens) AS reasoning_tokens, coalesce(sum(t.cost), 0) AS cost,
            token_mgmt._sum_sections(token_mgmt._sections(t.breakdown)) AS sections,
            hashtextextended((t.user_id, t.team, t.api_key, t.session_id, t.agent, t.endpoint,
                t.provider, t.model)::text, 0) AS grain
        FROM taken t
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    ), learned AS (
        -- Each entry comes by here once. In the order of the key, so that two roll-ups never wait
        -- for each other.
        INSERT INTO token_mgmt.completion_history AS h
            (tenant, user_id, provider, model, recent, updated_at)
        SELECT f.tenant, f.user_id, f.provider, f.model, f.completions[
            greatest(cardinality(f.completions) - 63, 1):], clock_timestamp()
        FROM (
            SELECT t.tenant, t.user_id, t.provider, t.model,
                array_agg(t.completion_tokens ORDER BY t.recorded_at) AS completions
            FROM taken t WHERE t.model IS NOT NULL AND t.calls = 1
            GROUP BY 1, 2, 3, 4
            ORDER BY 1, 2, 3, 4
        ) f
        ON CONFLICT ON CONSTRAINT completion_history_pkey DO UPDATE
            SET recent = (h.recent || excluded.recent)[
                    greatest(cardinality(h.recent) + cardinality(excluded.recent) - 63, 1):],
                updated_at = excluded.updated_at
    )
    SELECT array_agg(l::token_mgmt.session_rollup), (SELECT count(*) FROM taken)
    INTO lines, rolled
    FROM line l;
    PERFORM token_mgmt._add_to_usage(lines), token_mgmt._add_to_sessions(lines)
    WHERE rolled > 0;
    RETURN rolled;
END
$$;
COMMENT ON FUNCTION token_mgmt._roll_up(integer) IS
    'Moves up to max_rows ledger entries into the rollups, and their completions into '
    'completion_history; skips what another roll-up has taken';
REVOKE ALL ON FUNCTION token_mgmt._roll_up(integer) FROM PUBLIC;
