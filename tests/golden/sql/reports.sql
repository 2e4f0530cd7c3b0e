SELECT clean_books();
SET client_min_messages = error;
-- A past: entries of a year whose months are open, in the ledger and not rolled up yet.
SELECT token_mgmt._open_ledger_month('2020-03-15'), token_mgmt._open_ledger_month('2020-04-15');
CREATE FUNCTION past(at timestamptz, user_id text, prompt integer, cost numeric DEFAULT NULL, session_id text DEFAULT NULL,
    team text DEFAULT NULL, model text DEFAULT 'm-1', breakdown jsonb DEFAULT NULL, tenant text DEFAULT 'default')
RETURNS void LANGUAGE sql AS $$
    INSERT INTO token_mgmt.usage_ledger (tenant, entry_id, recorded_at, kind, user_id, team, session_id, provider, model,
        prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, tokens_held, allocations, cost, breakdown, flags)
    VALUES (tenant, nextval('token_mgmt.usage_ledger_entry_id_seq'), at, 'usage', user_id, team, session_id, 'house', model,
        prompt, 10, 5, 1, 2, 0, '{}', cost, breakdown, '{}');
    INSERT INTO token_mgmt.ledger_unrolled (tenant, recorded_at, user_id, team, session_id, provider, model,
        prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost, breakdown)
    VALUES (tenant, at, user_id, team, session_id, 'house', model, prompt, 10, 5, 1, 2, cost, breakdown);
$$;
SELECT past('2020-03-31 22:59:59.999999Z', 'alice', 100, 0.5, 's1', 'search', breakdown => '{"system": 40, "history": 60}'),
    past('2020-03-31 23:00:00Z', 'alice', 200, 0.25, 's1', 'search', breakdown => '{"system": 40, "note": "x", "negative": -1, "huge": 1e9999}'),
    past('2020-03-31 23:30:00Z', 'alice', 300, NULL, 's2', 'ads', 'm-2', '[1, 2]'),
    past('2020-04-01 00:00:00Z', 'bob', 400, NULL, NULL, 'ads'),
    past('2020-04-01 00:20:00Z', 'bob', 500, 1, NULL, 'ads'),
    past('2020-04-06 12:00:00Z', 'bob', 600, 1, 's3', 'ads'),
    past('2020-04-06 12:00:00Z', 'eve', 7, 1, 's1', tenant => 'acme');
CREATE FUNCTION all_reports() RETURNS TABLE (report text, line jsonb) LANGUAGE sql AS $$
    SELECT d::text, jsonb_strip_nulls(to_jsonb(r)) FROM (VALUES ('{}'::text[]), ('{user}'), ('{session,team}'), ('{model,day}'), ('{hour}'), ('{week}'),
        ('{month,user}')) v (d), usage_report(NULL, NULL, v.d) r
    UNION ALL
    -- Within hours, and at their edges.
    SELECT s || ' ' || u, jsonb_build_array(r.calls, r.prompt_tokens) FROM (VALUES ('2020-03-31 23:00', '2020-04-01'), ('2020-03-31 22:59:59.999999', '2020-03-31 23:30'),
        ('2020-03-31 23:00:00.000001', '2020-04-01 00:20:00.000001'), ('2020-04-01 00:10', '2020-04-01 00:30'), ('2020-03-31 23:30', '2020-03-31 23:30')) v (s, u),
        usage_report(s::timestamptz, u::timestamptz, '{}') r
    UNION ALL
    SELECT 'user since', jsonb_build_array(m -> 'totalTokens', m -> 'conversationCount', m #> '{breakdown,sections}')
    FROM (VALUES (NULL), ('2020-03-31 23:10'), ('2020-04-01')) v (s), user_metrics('alice', s::timestamptz) m
    UNION ALL SELECT 'session', session_metrics('s1')
    UNION ALL SELECT 'daily', jsonb_strip_nulls(to_jsonb(d)) FROM token_mgmt.usage_daily d WHERE user_id = 'bob'
$$;
CREATE TABLE unrolled AS SELECT * FROM all_reports();
\pset format unaligned
SELECT report, line - '{cached_tokens,cache_write_tokens,reasoning_tokens}'::text[] AS line FROM unrolled ORDER BY report, line;
\pset format aligned
SELECT starts_at, user_id, cached_tokens, cache_write_tokens, reasoning_tokens, total_tokens, cost, unpriced_calls FROM usage_report(by => '{user,month}');
SELECT * FROM token_mgmt.audit();
-- Rolled up in part or whole, and in lines of more rows than one, every answer stays the same.
CREATE VIEW differences AS (TABLE unrolled EXCEPT ALL SELECT * FROM all_reports()) UNION ALL (SELECT * FROM all_reports() EXCEPT ALL TABLE unrolled);
SELECT token_mgmt._roll_up(1);
SELECT * FROM differences;
SELECT token_mgmt._roll_up(3), token_mgmt._roll_up(1000);
SELECT * FROM differences;
SELECT count(*), sum(calls) FROM token_mgmt.usage_rollup;
SELECT count(*), sum(calls) FROM token_mgmt.session_rollup;
SELECT * FROM token_mgmt.audit();
-- History is not rewritten, the whole or a month.
SELECT t, e.* FROM unnest('{usage_ledger,usage_ledger_2020_03,usage_ledger_default}'::text[]) t, show_error('TRUNCATE token_mgmt.' || t) e;
UPDATE token_mgmt.usage_rollup SET calls = calls * 2, cost = cost - 1 WHERE user_id = 'eve';
DELETE FROM token_mgmt.session_rollup WHERE session_id = 's2';
SELECT * FROM token_mgmt.audit();
UPDATE token_mgmt.usage_rollup SET calls = 1, cost = 1 WHERE user_id = 'eve';
SELECT * FROM show_error($$SELECT usage_report(by => '{user,colour}')$$);
SELECT * FROM show_error($$SELECT usage_report(by => '{NULL}')$$);
SELECT * FROM show_error($$SELECT usage_report(by => NULL)$$);
SELECT * FROM show_error($$SELECT usage_report(by => '{hour,day}')$$);
SELECT * FROM show_error($$SELECT usage_report('2020-01-02', '2020-01-01')$$);
SELECT * FROM show_error($$SELECT usage_report(options => '{"a": 1}')$$);
SELECT count(*) FROM usage_report(tenant => 'nobody');
-- As on a standby.
BEGIN READ ONLY;
SELECT count(*), session_metrics('s1') ->> 'totalTokens' AS of_session, user_metrics('alice') ->> 'totalTokens' AS of_user FROM usage_report();
COMMIT;
-- Anomalies: against the median of that hour in four weeks, none without a past of three.
SELECT past('2020-04-06 12:30Z'::timestamptz - n * interval '7 days', u, t) FROM generate_series(1, 4) n,
    LATERAL (VALUES ('steady', 9000), ('lately', 9000), ('small', 100), ('once', CASE n WHEN 2 THEN 900000 ELSE 9000 END)) v (u, t)
WHERE u <> 'lately' OR n <= 2;
SELECT past('2020-03-02 00:00Z', 'asleep', 20);
SELECT past('2020-04-06 12:40Z', u, t) FROM (VALUES ('steady', 26000), ('lately', 900000), ('small', 5000), ('once', 90000), ('asleep', 20000)) v (u, t);
SELECT * FROM token_mgmt.usage_anomalies('2020-04-06 12:59Z');
-- Not for each user and week what is not rolled up yet, which may be much.
BEGIN;
SELECT pg_stat_get_xact_numscans('token_mgmt.ledger_unrolled'::regclass) AS before \gset
SELECT count(*) FROM token_mgmt.usage_anomalies('2020-04-06 12:59Z', 0);
SELECT pg_stat_get_xact_numscans('token_mgmt.ledger_unrolled'::regclass) - :before AS scans;
COMMIT;
SELECT token_mgmt._roll_up(1000) > 0 AS rolled;
SELECT * FROM token_mgmt.usage_anomalies('2020-04-06 13:59Z');
SELECT * FROM token_mgmt.usage_anomalies('2020-04-06 12:59Z', min_tokens => 1000, min_ratio => 2.5);
SELECT * FROM token_mgmt.usage_anomalies('2020-04-06 14:00Z');
-- A dropped month is reported by whole hours, each where it starts.
DROP TABLE token_mgmt.usage_ledger_2020_03;
SELECT s, u, r.calls FROM (VALUES ('2020-03-31 22:30', '2020-03-31 23:10'), ('2020-03-31 23:10', '2020-03-31 23:20'), ('2020-03-31 23:20', '2020-04-01 00:10')) v (s, u)
LEFT JOIN usage_report(s::timestamptz, u::timestamptz, '{}') r ON true;
SELECT * FROM token_mgmt.audit();
SELECT clean_books();
