-- What reports, metrics and settlements cost as the ledger grows: milliseconds, side by side for
-- 10,000, 1,000,000 and 10,000,000 entries (the last takes 8 GB and ten minutes). In a fresh
-- database with the extension, as superuser:
--   psql -f tests/bench/ledger.sql          or -v largest=1000000
\set ON_ERROR_STOP on
\if :{?largest}
\else
\set largest 10000000
\endif
SET client_min_messages = error;
CREATE SCHEMA bench;
CREATE TABLE bench.ledger_time (entries bigint, what text, milliseconds numeric);

-- 90 days in the order of time: 1,000 users with sessions of five calls; always 1,000 calls of user
-- "probe", and 1,000 of ten users in tenant "small". Rollups are those that the worker would write.
CREATE PROCEDURE bench.fill(entries bigint)
    LANGUAGE plpgsql
AS $$
DECLARE
    first_hour timestamptz := date_trunc('hour', now() - interval '90 days', 'UTC');
BEGIN
    PERFORM token_mgmt._open_ledger_month(first_hour + n * interval '30 days')
    FROM generate_series(0, 3) n;
    -- Without the trigger that refuses it.
    SET LOCAL session_replication_role = replica;
    TRUNCATE token_mgmt.usage_ledger, token_mgmt.ledger_unrolled, token_mgmt.usage_rollup,
        token_mgmt.session_rollup, token_mgmt.reservation, token_mgmt.quota_period;
    SET LOCAL session_replication_role = origin;
    INSERT INTO token_mgmt.usage_ledger (tenant, entry_id, recorded_at, kind, user_id, team,
        session_id, provider, model, prompt_tokens, completion_tokens, cached_tokens,
        cache_write_tokens, reasoning_tokens, tokens_held, allocations, cost, breakdown, flags)
    SELECT CASE n % (entries / 1000) WHEN 1 THEN 'small' ELSE 'default' END,
        nextval('token_mgmt.usage_ledger_entry_id_seq'),
        first_hour + n * (interval '89 days' / entries), 'settlement',
        CASE n % (entries / 1000) WHEN 0 THEN 'probe' WHEN 1 THEN 'user ' || n % 10
            ELSE 'user ' || n % 1000 END,
        'team ' || n % 10,
        CASE n % (entries / 1000) WHEN 0 THEN 'probe ' || n / (entries / 200)
            ELSE 'session ' || n % 1000 || ' ' || n / 5000 END,
        'openai', CASE n % 3 WHEN 0 THEN 'gpt-4o' ELSE 'gpt-4o-mini' END,
        900 + n % 100, 100, 0, 0, 0, 1200, '{}', 0.001, '{"system": 100, "history": 700}', '{}'
    FROM generate_series(0, entries - 1) n;
    INSERT INTO token_mgmt.session_rollup
    SELECT date_trunc('hour', l.recorded_at, 'UTC'), l.tenant, l.user_id, l.team, l.api_key,
        l.session_id, l.agent, l.endpoint, l.provider, l.model, count(*), 0,
        sum(l.prompt_tokens), sum(l.completion_tokens), 0, 0, 0, sum(l.cost),
        jsonb_build_object('system', 100 * count(*), 'history', 700 * count(*)),
        hashtextextended((l.user_id, l.team, l.api_key, l.session_id, l.agent, l.endpoint,
            l.provider, l.model)::text, 0)
    FROM token_mgmt.usage_ledger l GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ORDER BY 1;
    INSERT INTO token_mgmt.usage_rollup (hour, tenant, user_id, team, provider, model, calls,
        unpriced_calls, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
        reasoning_tokens, cost, sections, grain)
    SELECT l.hour, l.tenant, l.user_id, l.team, l.provider, l.model, sum(l.calls), 0,
        sum(l.prompt_tokens), sum(l.completion_tokens), 0, 0, 0, sum(l.cost),
        jsonb_build_object('system', 100 * sum(l.calls), 'history', 700 * sum(l.calls)),
        hashtextextended((l.user_id, l.team, l.api_key, l.agent, l.endpoint, l.provider,
            l.model)::text, 0)
    FROM token_mgmt.session_rollup l
    GROUP BY 1, 2, 3, 4, 5, 6, l.api_key, l.agent, l.endpoint ORDER BY 1;
END
$$;

-- The least of eleven: what else the machine does adds to a time and never takes from it. The first
-- of a session, which reads the catalog, is not among them.
CREATE PROCEDURE bench.measure(what text, statement text)
    LANGUAGE plpgsql
AS $$
DECLARE
    begun timestamptz;
    times double precision[] := '{}';
BEGIN
    FOR n IN 0..11 LOOP
        begun := clock_timestamp();
        EXECUTE statement;
        IF n > 0 THEN
            times := times || extract(epoch FROM clock_timestamp() - begun)::double precision;
        END IF;
    END LOOP;
    INSERT INTO bench.ledger_time
    SELECT (SELECT sum(calls) FROM token_mgmt.usage_rollup), what,
        round(1000 * min(t)::numeric, 2)
    FROM unnest(times) t;
END
$$;

-- Each call in a transaction of its own, as an application makes them.
CREATE PROCEDURE bench.measure_settle(calls integer)
    LANGUAGE plpgsql
AS $$
DECLARE
    reservation_id uuid;
    begun timestamptz;
    settling interval := '0';
    reserving interval := '0';
BEGIN
    FOR n IN 1..calls LOOP
        begun := clock_timestamp();
        reservation_id := (reserve_tokens('user ' || n % 1000, 1000, 200, model => 'gpt-4o',
            session_id => 'bench')).reservation_id;
        COMMIT;
        reserving := reserving + (clock_timestamp() - begun);
        begun := clock_timestamp();
        PERFORM settle_tokens(reservation_id, 900, 150);
        COMMIT;
        settling := settling + (clock_timestamp() - begun);
    END LOOP;
    INSERT INTO bench.ledger_time
    SELECT (SELECT sum(r.calls) FROM token_mgmt.usage_rollup r), v.what,
        round(1000 * extract(epoch FROM v.spent)::numeric / calls, 2)
    FROM (VALUES ('reserve_tokens', reserving), ('settle_tokens', settling)) v (what, spent);
END
$$;
SELECT token_mgmt.set_quota('user', '*', 'day', 1000000000) IS NOT NULL AS limited;

\set entries 10000
\ir ledger_size.sql
SELECT :largest >= 1000000 AS larger, :largest >= 10000000 AS largest_of_all \gset
\if :larger
\set entries 1000000
\ir ledger_size.sql
\endif
\if :largest_of_all
\set entries 10000000
\ir ledger_size.sql
\endif

SELECT what, max(milliseconds) FILTER (WHERE entries = 10000) AS "10,000 entries",
    max(milliseconds) FILTER (WHERE entries = 1000000) AS "1,000,000",
    max(milliseconds) FILTER (WHERE entries = 10000000) AS "10,000,000"
FROM bench.ledger_time GROUP BY what ORDER BY what;
