SELECT clean_books();
SELECT amount FROM token_mgmt.set_quota('user', 'alice', 'total', 10000);
SELECT context_window FROM token_mgmt.register_model('window-131k', 'o200k_base', 131072, max_output_tokens => 131072);
SELECT context_window FROM token_mgmt.register_model('window-8k', 'cl100k_base', 8192, max_output_tokens => 2048, max_input_tokens => 7000);

-- Without a model exactly what was asked for, with one the default completion beside it.
SELECT status, prompt_tokens, completion_tokens, tokens_held, tokens_remaining, warnings,
    expires_at - now() BETWEEN interval '595 seconds' AND interval '601 seconds' AS in_ten_minutes
FROM reserve_tokens('alice', 1200);
SELECT status, completion_tokens, tokens_held FROM reserve_tokens('alice', 100, model => 'window-131k');
SELECT status, completion_tokens, tokens_held FROM reserve_tokens('dan', 100, model => 'window-8k');
SELECT status, completion_tokens FROM reserve_tokens('dan', 7000, model => 'window-8k');
SELECT reservation_id AS id, status, completion_tokens FROM reserve_tokens('dan', 10, model => 'openai/text-embedding-3-small') \gset
SELECT model, completion_tokens FROM token_mgmt.open_reservations WHERE reservation_id = :'id';

-- The typical failure of production.
SELECT status, prompt_tokens, completion_tokens, warnings
FROM reserve_tokens('dan', 86387, 47186, model => 'window-131k', on_overflow => 'reduce');
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 86387, 47186, model => 'window-131k', on_overflow => 'refuse')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 86387, 47186, model => 'window-131k', min_completion_tokens => 45000)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 140000, 10, model => 'window-131k')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 7001, 10, model => 'window-8k')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 10, 2049, model => 'window-8k', on_overflow => 'refuse')$$);
SELECT status, completion_tokens, warnings FROM reserve_tokens('dan', 10, 2049, model => 'window-8k');
SELECT status, sqlstate, reason, tokens_held, advice ->> 'cause' AS cause, advice ->> 'max_completion_tokens' AS at_most
FROM try_reserve_tokens('dan', 86387, 47186, model => 'window-131k', on_overflow => 'refuse');

-- Over the quota: reduced where there is a completion to reduce, refused where there is none.
SELECT tokens_held, tokens_remaining FROM reserve_tokens('alice', 100, 3000);
SELECT status, completion_tokens, tokens_remaining, warnings FROM reserve_tokens('alice', 100, 3000);
SELECT * FROM show_error($$SELECT reserve_tokens('alice', 1)$$);
SELECT amount FROM token_mgmt.set_quota('user', 'alice', 'total', 10800);
SELECT * FROM show_error($$SELECT reserve_tokens('alice', 1200)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('alice', 100, 1000, min_completion_tokens => 701)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('alice', 100, 1000, on_overflow => 'refuse')$$);
SELECT status, sqlstate, tokens_remaining, round(extract(epoch FROM retry_after) / 60) AS minutes, advice - 'hint' AS advice FROM try_reserve_tokens('alice', 1200);
SELECT amount FROM token_mgmt.set_quota('agent', 'scribe', 'day', 500);
SELECT status, retry_after IS NULL AS now FROM try_reserve_tokens('dan', 400, agent => 'scribe');
SELECT status, retry_after BETWEEN '0' AND interval '1 day' AS retry_today, advice ->> 'hint' LIKE 'Retry in %, or raise the quota%' AS hint
FROM try_reserve_tokens('dan', 400, agent => 'scribe');

-- Priorities hold at most their share of what remains, rounded up.
SELECT amount FROM token_mgmt.set_quota('user', 'prio', 'total', 1001);
SELECT status, completion_tokens, tokens_held FROM reserve_tokens('prio', 1, 1000, priority => 'high');
SELECT status, tokens_held FROM reserve_tokens('prio', 1, 1000, priority => 'medium');
SELECT status, tokens_held FROM reserve_tokens('prio', 1, 1000, priority => 'low');
SELECT * FROM show_error($$SELECT reserve_tokens('prio', 100, priority => 'low')$$);
SELECT status, tokens_held, tokens_remaining FROM reserve_tokens('prio', 1, 1000);

-- A request id makes a retry the same reservation.
SELECT reservation_id AS first, status, tokens_held FROM reserve_tokens('rita', 100, 50, request_id => 'r-1', ttl => '1 hour') \gset
SELECT reservation_id = :'first' AS same, status, tokens_held
FROM reserve_tokens('rita', 100, 50, request_id => 'r-1', ttl => '1 hour');
SELECT * FROM show_error($$SELECT reserve_tokens('rita', 101, 50, request_id => 'r-1', ttl => '1 hour')$$);
SELECT status FROM reserve_tokens('ruth', 100, 50, request_id => 'r-1');
SELECT total_tokens FROM settle_tokens(:'first', 90, 40);
SELECT reservation_id = :'first' AS same, status FROM reserve_tokens('rita', 100, 50, request_id => 'r-1', ttl => '1 hour');
SELECT status FROM reserve_tokens('rita', 10, request_id => 'r-2');
SELECT status FROM token_mgmt.open_reservations o, release_tokens(o.reservation_id) WHERE o.request_id = 'r-2';
SELECT * FROM show_error($$SELECT reserve_tokens('rita', 10, request_id => 'r-2')$$);
SELECT status FROM reserve_tokens('rita', 10, request_id => 'r-3', ttl => '1 microsecond');
SELECT * FROM show_error($$SELECT reserve_tokens('rita', 10, request_id => 'r-3', ttl => '1 microsecond')$$);

-- Waiting for tokens gives up in time and holds nothing.
SELECT amount FROM token_mgmt.set_quota('user', 'wendy', 'total', 100);
SELECT status FROM reserve_tokens('wendy', 80, ttl => '200 milliseconds');
SELECT status FROM try_reserve_tokens('wendy', 50, max_wait => '20 milliseconds');
SELECT status FROM try_reserve_tokens('wendy', 50, max_wait => '10 seconds');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM show_error($$SELECT reserve_tokens('wendy', 50, max_wait => '1 second')$$);
ROLLBACK;

-- The CALL form: one JSON object in, one out.
CALL reserve_tokens('{"user_id": "carl", "prompt_tokens": 1200, "ttl": "1 minute", "priority": "low"}') \gset
SELECT :'request'::jsonb - 'reservation_id' - 'expires_at' AS grant;
-- A retry may take the other form, and say what is the default.
CALL reserve_tokens('{"user_id": "carl", "prompt_tokens": 10, "request_id": "either"}') \gset first_
SELECT :'first_request'::jsonb ->> 'reservation_id' = reservation_id::text AS is_same
FROM reserve_tokens('carl', 10, request_id => 'either', on_overflow => 'reduce', options => NULL);
SELECT (release_tokens((:'first_request'::jsonb ->> 'reservation_id')::uuid)).tokens_released;
SELECT * FROM show_error($$CALL reserve_tokens('{"user_id": "carl", "tokens": 1}')$$);
SELECT * FROM show_error($$CALL reserve_tokens('{"prompt_tokens": 1}')$$);
SELECT * FROM show_error($$CALL reserve_tokens('[1]')$$);
SELECT * FROM show_error($$CALL reserve_tokens(NULL)$$);
SELECT * FROM show_error($$CALL reserve_tokens('{"user_id": "alice", "prompt_tokens": 1000000}')$$);

-- Bad input.
SELECT * FROM show_error($$SELECT reserve_tokens(NULL, 1)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', NULL)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('*', 1)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('', 1)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', -1)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1000000001)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, -5)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, 5, min_completion_tokens => 6)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, team => repeat('x', 256))$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, model => 'gpt-4p')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, priority => 'urgent')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, on_overflow => 'fit')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, ttl => '0')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, ttl => '8 days')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, max_wait => '-1 second')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('a', 1, options => '{"fast": true}')$$);
SELECT * FROM token_mgmt.audit();

-- Holds past their time are free to whoever needs them, with no worker and however many others there are;
-- and before a completion is reduced.
SELECT amount FROM token_mgmt.set_quota('user', 'ada', 'total', 100);
SELECT count(*) FROM generate_series(1, 101) n, LATERAL reserve_tokens('other' || n, 1, ttl => '1 microsecond') g;
SELECT status FROM reserve_tokens('ada', 90, ttl => '1 microsecond');
SELECT status, completion_tokens FROM reserve_tokens('ada', 5, 50);

-- retry_after says when all quotas that are short have had their reset, and only if that helps.
SELECT amount FROM token_mgmt.set_quota('user', 'ben', 'month', 1000);
SELECT amount FROM token_mgmt.set_quota('team', 'tea', 'year', 1500);
SELECT retry_after, advice ->> 'hint' AS hint FROM try_reserve_tokens('ben', 500, 0, priority => 'low');
SELECT status FROM reserve_tokens('ben', 900, team => 'tea');
SELECT status, retry_after < '32 days' AS within_the_month FROM try_reserve_tokens('ben', 500, 4000);
SELECT status, retry_after IS NOT NULL AS retry FROM try_reserve_tokens('ben', 500, 4000, on_overflow => 'refuse');
SELECT t.status, round(extract(epoch FROM t.retry_after + clock_timestamp() - q.ends_at)) AS seconds_off
FROM try_reserve_tokens('ben', 800, team => 'tea') t, token_mgmt.quota_status q WHERE q.value = 'tea';

-- An embedding model writes nothing.
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 100, 50, model => 'text-embedding-3-small')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 9000, model => 'text-embedding-3-small')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('dan', 1, ttl => '-1 mon 30 days 1 sec')$$);

-- A model's quota is the maker's or the reseller's, not both.
SELECT value FROM token_mgmt.set_quota('model', 'alibaba/deepseek-v4-pro', 'day', 100);
SELECT status FROM try_reserve_tokens('dan', 500, 1, model => 'deepseek-v4-pro');
SELECT status, reason FROM try_reserve_tokens('dan', 500, 1, model => 'alibaba/deepseek-v4-pro');
SELECT token_mgmt.drop_quota('model', 'alibaba/deepseek-v4-pro', 'day');
SELECT * FROM token_mgmt.audit();
