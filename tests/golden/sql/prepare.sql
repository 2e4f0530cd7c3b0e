SELECT clean_books();
SELECT context_window FROM token_mgmt.register_model('tiny', 'cl100k_base', 400, max_output_tokens => 200,
    input_usd_per_mtok => 1, output_usd_per_mtok => 1);
CREATE TABLE chat AS SELECT jsonb_agg(m ORDER BY n) AS said FROM (
    SELECT 0 AS n, '{"role": "system", "content": "You are brief."}'::jsonb AS m
    UNION ALL
    SELECT n, jsonb_build_object('role', CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
        'content', format('Message %s: %s', n, repeat('word ', 20)))
    FROM generate_series(1, 21) n) t;

-- Fits: unchanged and held.
SELECT status, prompt_tokens, completion_tokens, tokens_held, tokens_remaining, dropped, method, messages
FROM prepare_request('pat', 'tiny', '[{"role": "user", "content": "Hello!"}]', completion_tokens => 50);
-- Does not: the oldest are dropped, what is held is what was counted.
SELECT status, prompt_tokens + completion_tokens <= 400 AS fits, completion_tokens, tokens_held = prompt_tokens + completion_tokens AS held,
    dropped > 0 AS dropped, needs_summary, jsonb_array_length(receipt) AS receipt,
    prompt_tokens = (count_messages('tiny', p.messages)).total AS counted
FROM chat, prepare_request('pat', 'tiny', said, completion_tokens => 50) p;
SELECT total_tokens FROM token_mgmt.open_reservations o, settle_tokens(o.reservation_id, 200, 20) WHERE o.tokens_held > 100;
SELECT breakdown ? 'system' AS has_breakdown, message_count > 2 AS has_messages FROM token_mgmt.usage_ledger;
-- Or the completion is lowered, or the request refused.
SELECT status, completion_tokens FROM prepare_request('pat', 'tiny', '[{"role": "user", "content": "Hello!"}]',
    completion_tokens => 300, on_overflow => 'reduce');
SELECT * FROM show_error($$SELECT prepare_request('pat', 'tiny', said, completion_tokens => 50, on_overflow => 'refuse') FROM chat$$);
SELECT * FROM show_error($$SELECT prepare_request('pat', 'tiny', said, completion_tokens => 50, on_overflow => 'reduce') FROM chat$$);
SELECT status, sqlstate, reason, messages, advice ->> 'cause' AS cause
FROM chat, try_prepare_request('pat', 'tiny', said, completion_tokens => 50, on_overflow => 'refuse');
-- The last user turn is never dropped: too long for the window is an error with its numbers.
SELECT * FROM show_error($$SELECT prepare_request('pat', 'tiny', jsonb_build_array(jsonb_build_object(
    'role', 'user', 'content', repeat('word ', 500))))$$);

-- Fitted to what a quota has left, then to what is left by a lower completion, then refused.
SELECT amount FROM token_mgmt.set_quota('user', 'quin', 'total', 420);
SELECT status, prompt_tokens + completion_tokens <= 250 AS fits FROM chat, prepare_request('quin', 'tiny', said,
    completion_tokens => 50, max_prompt_tokens => 200);
SELECT status, tokens_remaining >= 0 AS within, completion_tokens FROM chat, prepare_request('quin', 'tiny', said, completion_tokens => 50);
SELECT status, sqlstate, reason, messages FROM chat, try_prepare_request('quin', 'tiny', said, completion_tokens => 50);
SELECT * FROM token_mgmt.audit();

-- A retry gets the same grant and the same messages.
SELECT reservation_id AS id, md5(messages::text) AS hash, status FROM chat, prepare_request('ros', 'tiny', said,
    completion_tokens => 50, request_id => 'p-1') \gset
SELECT reservation_id = :'id' AS same, md5(messages::text) = :'hash' AS same_messages, status, tokens_held IS NOT NULL AS held
FROM chat, prepare_request('ros', 'tiny', said, completion_tokens => 50, request_id => 'p-1');
SELECT * FROM show_error($$SELECT prepare_request('ros', 'tiny', said, completion_tokens => 51, request_id => 'p-1') FROM chat$$);

-- Bad input.
SELECT * FROM show_error($$SELECT prepare_request('a', NULL, '[]')$$);
SELECT * FROM show_error($$SELECT prepare_request('a', 'tiny')$$);
SELECT * FROM show_error($$SELECT prepare_request(NULL, 'tiny', '[]')$$);
SELECT * FROM show_error($$SELECT prepare_request('a', 'tiny', '[]')$$);
SELECT * FROM show_error($$SELECT prepare_request('a', 'tiny', '[{"role": "user", "content": "x"}]', on_overflow => 'shrink')$$);
SELECT * FROM show_error($$SELECT prepare_request('a', 'tiny', '[{"role": "user", "content": "x"}]', strategy => 'random')$$);
SELECT * FROM show_error($$SELECT prepare_request('a', 'tiny', '[{"role": "user", "content": "x"}]', options => '{"cat": 1}')$$);

-- A retry gets the same messages even if the model has changed in between.
SELECT context_window FROM token_mgmt.register_model('tiny', 'cl100k_base', 4000, max_output_tokens => 200);
SELECT reservation_id = :'id' AS same, md5(messages::text) = :'hash' AS same_messages, status
FROM chat, prepare_request('ros', 'tiny', said, completion_tokens => 50, request_id => 'p-1');

-- The default completion gives way before a request is denied; one that was asked for does not.
SELECT context_window FROM token_mgmt.register_model('tiny', 'cl100k_base', 400, max_output_tokens => 200);
SELECT status, prompt_tokens, completion_tokens FROM prepare_request('pat', 'tiny', jsonb_build_array(jsonb_build_object(
    'role', 'user', 'content', repeat('word ', 350))));
SELECT status, prompt_tokens, completion_tokens FROM fit_messages(jsonb_build_array(jsonb_build_object(
    'role', 'user', 'content', repeat('word ', 350))), 'tiny');
SELECT status, sqlstate FROM try_prepare_request('pat', 'tiny', jsonb_build_array(jsonb_build_object(
    'role', 'user', 'content', repeat('word ', 350))), completion_tokens => 100);

-- It waits, too.
SELECT amount FROM token_mgmt.set_quota('user', 'wes', 'total', 100);
SELECT status FROM reserve_tokens('wes', 100, ttl => '300 milliseconds');
SELECT status FROM try_prepare_request('wes', 'tiny', '[{"role": "user", "content": "Hello!"}]', completion_tokens => 50);
SELECT status FROM try_prepare_request('wes', 'tiny', '[{"role": "user", "content": "Hello!"}]', completion_tokens => 50, max_wait => '10 seconds');
SELECT * FROM token_mgmt.audit();
DROP TABLE chat;
