\echo
\echo '=== 1. Installed, and the background worker runs'
\set ECHO queries
SELECT extversion AS token_mgmt, current_setting('server_version') AS postgresql, w.job, w.status, w.runs
FROM pg_extension, token_mgmt.worker_status w WHERE extname = 'token_mgmt' AND job = 'worker';
\set ECHO none

\echo
\echo '=== 2. A quota of 1,000 tokens a minute, used up now and looked at again at the end'
-- Both requests are to fall into the same minute.
SELECT pg_sleep(greatest(extract(second FROM clock_timestamp()) - 54, 0)::float8)
WHERE extract(second FROM clock_timestamp()) > 54 \g /dev/null
\set ECHO queries
SELECT scope, value, period, amount FROM token_mgmt.set_quota('user', 'margaret', 'minute', 1000);
SELECT reservation_id, status, tokens_held, tokens_remaining
FROM reserve_tokens('margaret', 600);
\set ECHO none
SELECT reservation_id FROM token_mgmt.open_reservations WHERE user_id = 'margaret' \gset
\set ECHO queries
SELECT total_tokens, tokens_held
FROM settle_tokens(:'reservation_id', prompt_tokens => 600, completion_tokens => 0);
SELECT status, sqlstate, reason, advice ->> 'detail' AS detail
FROM try_reserve_tokens('margaret', 600) \gx
\set ECHO none
SELECT demo.expect('a minute quota of 1,000 grants 600 tokens and has 400 left',
    (SELECT array_agg(allowance - used) FROM demo.minute_period), ARRAY[400::numeric]) \g /dev/null
SELECT demo.expect('... and denies 600 more with TM001',
    (SELECT sqlstate FROM try_reserve_tokens('margaret', 600)), 'TM001') \g /dev/null
