-- What users of such systems complain about and what must not happen here, by the numbers that
-- FACTS gives the complaints. 1 to 4 and the rest are in the tests of the books.
SELECT clean_books();
SELECT model FROM token_mgmt.register_model('streamed', 'o200k_base', 100000, max_output_tokens => 10000,
    input_usd_per_mtok => 2, output_usd_per_mtok => 10, cached_input_usd_per_mtok => 0.5);

-- 5: a stream that was cut costs its prompt and what had arrived, neither nothing nor all that was held.
SELECT reservation_id AS id, tokens_held FROM reserve_tokens('ann', 1200, 4000, model => 'streamed') \gset
SELECT prompt_tokens, completion_tokens, tokens_held, cost, flags FROM settle_partial(:'id', 'The answer begins with');
SELECT completion_tokens, flags FROM settle_partial(:'id', 'The answer begins with');
SELECT * FROM show_error(format('SELECT settle_partial(%L, %L)', :'id', 'The answer begins with something else'));
SELECT * FROM show_error(format('SELECT settle_partial(%L, NULL)', :'id'));
SELECT sqlstate FROM show_error($$SELECT settle_partial(gen_random_uuid(), 'x')$$);
SELECT reservation_id AS id FROM reserve_tokens('ann', 10) \gset
SELECT prompt_tokens, completion_tokens, flags FROM settle_partial(:'id', '');

-- 8: cache reads are told apart from what was used anew, and cost what they cost.
SELECT reservation_id AS id FROM reserve_tokens('bob', 90000, 1000, model => 'streamed', session_id => 'cached') \gset
SELECT prompt_tokens, cached_tokens, prompt_tokens - cached_tokens AS anew, cost
FROM settle_tokens(:'id', 90000, 1000, cached_tokens => 87000);
SELECT session_metrics('cached') -> 'breakdown' ->> 'cachedTokens' AS cached,
    session_metrics('cached') ->> 'totalCost' AS cost;

-- 9: a call and its result are never torn apart, in any shape, by any strategy, at any size.
CREATE TABLE shape AS
SELECT 'openai' AS name, jsonb_agg(m ORDER BY n) AS messages
FROM generate_series(1, 8) i, LATERAL (VALUES
    (4 * i, jsonb_build_object('role', 'user', 'content', 'Question ' || i)),
    (4 * i + 1, jsonb_build_object('role', 'assistant', 'content', NULL, 'tool_calls', jsonb_build_array(
        jsonb_build_object('id', 'a' || i, 'type', 'function', 'function', '{"name": "f", "arguments": "{}"}'::jsonb),
        jsonb_build_object('id', 'b' || i, 'type', 'function', 'function', '{"name": "g", "arguments": "{}"}'::jsonb)))),
    (4 * i + 2, jsonb_build_object('role', 'tool', 'tool_call_id', 'b' || i, 'content', repeat('word ', 10 * i))),
    (4 * i + 3, jsonb_build_object('role', 'tool', 'tool_call_id', 'a' || i, 'content', repeat('word ', 5 * i)))) v (n, m)
UNION ALL
SELECT 'anthropic', jsonb_build_object('system', 'Be brief.', 'messages', jsonb_agg(m ORDER BY n))
FROM generate_series(1, 8) i, LATERAL (VALUES
    (3 * i, jsonb_build_object('role', 'user', 'content', 'Question ' || i)),
    (3 * i + 1, jsonb_build_object('role', 'assistant', 'content', jsonb_build_array(
        jsonb_build_object('type', 'text', 'text', 'I look.'),
        jsonb_build_object('type', 'tool_use', 'id', 'a' || i, 'name', 'f', 'input', '{}'::jsonb)))),
    (3 * i + 2, jsonb_build_object('role', 'user', 'content', jsonb_build_array(jsonb_build_object(
        'type', 'tool_result', 'tool_use_id', 'a' || i, 'content', repeat('word ', 10 * i)))))) v (n, m)
UNION ALL
SELECT 'responses', jsonb_agg(m ORDER BY n)
FROM generate_series(1, 8) i, LATERAL (VALUES
    (4 * i, jsonb_build_object('role', 'user', 'content', 'Question ' || i)),
    (4 * i + 1, jsonb_build_object('type', 'reasoning', 'id', 'r' || i, 'summary', '[]'::jsonb)),
    (4 * i + 2, jsonb_build_object('type', 'function_call', 'call_id', 'a' || i, 'name', 'f', 'arguments', '{}')),
    (4 * i + 3, jsonb_build_object('type', 'function_call_output', 'call_id', 'a' || i,
        'output', repeat('word ', 10 * i)))) v (n, m);
SELECT s.name, count(*) FILTER (WHERE f.status = 'fitted') > 50 AS fitted,
    bool_and(f.status IN ('granted', 'fitted', 'denied')) AS known,
    count(p.*) AS torn, bool_and(f.prompt_tokens <= size OR f.status = 'denied') AS within
FROM shape s, unnest(ARRAY['recent', 'middle_out', 'importance', 'summary']) strategy, generate_series(40, 640, 20) size,
    LATERAL try_fit_messages(s.messages, 'gpt-4o', 0, max_prompt_tokens => size, strategy => strategy,
        options => '{"cut": true}') f
    LEFT JOIN LATERAL check_messages(coalesce(f.messages, '[]')) p ON p.kind = 'pairing'
GROUP BY s.name ORDER BY s.name;

-- 10: system prompt, tools and completion are all in the sum that is compared with the window.
SELECT a.total < 8192 AS messages_alone_would_fit, b.total > 8192 - 4000 AS not_beside_tools_and_completion
FROM (SELECT jsonb_build_array(jsonb_build_object('role', 'system', 'content', repeat('rule ', 2000)),
        jsonb_build_object('role', 'user', 'content', repeat('word ', 2000))) AS m,
    jsonb_build_array(jsonb_build_object('type', 'function', 'function', jsonb_build_object('name', 'f',
        'description', repeat('long ', 500)))) AS t) r,
    LATERAL count_messages('gpt-4', m) a, LATERAL count_messages('gpt-4', m, t) b;
SELECT * FROM show_error($$SELECT fit_messages(jsonb_build_array(
    jsonb_build_object('role', 'system', 'content', repeat('rule ', 2000)),
    jsonb_build_object('role', 'user', 'content', repeat('word ', 2000))), 'gpt-4', 4000,
    tools => jsonb_build_array(jsonb_build_object('type', 'function', 'function',
        jsonb_build_object('name', 'f', 'description', repeat('long ', 500)))))$$);

-- 11: condensing never makes a context larger.
SELECT bool_and(f.prompt_tokens <= c.total) AS never_larger,
    bool_and(f.prompt_tokens <= size) AS within
FROM shape s, generate_series(120, 600, 10) size, LATERAL count_messages('gpt-4o', s.messages) c,
    LATERAL try_fit_messages(s.messages, 'gpt-4o', 0, max_prompt_tokens => size, strategy => 'summary') f
WHERE f.status <> 'denied';
SELECT count_tokens('gpt-4o', extractive_summary(t, 'gpt-4o', 100)) <= least(100, count_tokens('gpt-4o', t)) AS not_longer
FROM unnest(ARRAY['Short.', repeat('One more sentence about nothing. ', 100), repeat('x', 5000)]) t;

-- 12: an image is never counted as the text of its base64, wherever it stands.
SELECT c.total < 20000 AS is_no_text
FROM (SELECT repeat('iVBORw0KGgoAAAANSUhEUgAA', 100000) AS data) d, unnest(ARRAY['gpt-4o', 'claude-sonnet-4-5']) model,
    LATERAL unnest(ARRAY[
        jsonb_build_object('type', 'image_url', 'image_url', jsonb_build_object('url', 'data:image/png;base64,' || data)),
        jsonb_build_object('type', 'image', 'source', jsonb_build_object('type', 'base64', 'media_type', 'image/png', 'data', data)),
        jsonb_build_object('type', 'input_image', 'image_url', 'data:image/png;base64,' || data),
        jsonb_build_object('type', 'tool_result', 'tool_use_id', 'a', 'content', jsonb_build_array(jsonb_build_object(
            'type', 'image', 'source', jsonb_build_object('type', 'base64', 'media_type', 'image/png', 'data', data))))]) block,
    LATERAL count_messages(model, jsonb_build_array(jsonb_build_object('role', 'user', 'content',
        jsonb_build_array(block)))) c
GROUP BY 1;

-- 13: a megabyte of one letter is counted at once, alone and in a message.
SET statement_timeout = '5s';
SELECT tiktoken_count('cl100k_base', repeat('a', 1000000)) AS cl100k, tiktoken_count('o200k_base', repeat('a', 1000000)) AS o200k;
SELECT (count_messages('gpt-4o', jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('a', 1000000))))).total;
SELECT f.status, f.prompt_tokens <= 10000 AS within
FROM try_fit_messages(jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('a', 1000000)),
    '{"role": "user", "content": "What was that?"}'::jsonb), 'gpt-4o', 0, max_prompt_tokens => 10000, options => '{"cut": true}') f;
RESET statement_timeout;
DROP TABLE shape;

-- 8, in a quota: cached tokens count for what their quota says.
SELECT cached_weight FROM token_mgmt.set_quota('user', 'cato', 'total', 20000, options => '{"cached_weight": 0.1}');
SELECT reservation_id AS id FROM reserve_tokens('cato', 16000, 500) \gset
SELECT total_tokens, cached_tokens FROM settle_tokens(:'id', 16000, 200, cached_tokens => 15500);
SELECT used FROM token_mgmt.quota_status WHERE value = 'cato';

-- 14: three limits of a model are three fields, and history keeps the price that it was charged at.
SELECT context_window, max_input_tokens, max_output_tokens FROM token_mgmt.model
WHERE provider = 'openai' AND model = 'gpt-5' AND is_builtin;
SELECT FROM token_mgmt.register_model('repriced', 'o200k_base', 100000, input_usd_per_mtok => 2, output_usd_per_mtok => 10);
SELECT reservation_id AS id FROM reserve_tokens('cora', 1000, 500, model => 'repriced') \gset
SELECT reservation_id AS open FROM reserve_tokens('cora', 1000, 500, model => 'repriced') \gset
SELECT cost FROM settle_tokens(:'id', 1000, 500);
SELECT FROM token_mgmt.register_model('repriced', 'o200k_base', 100000, input_usd_per_mtok => 200, output_usd_per_mtok => 1000);
-- What was reserved before costs what it was reserved at; what comes after, the new price.
SELECT cost FROM settle_tokens(:'open', 1000, 500);
SELECT reservation_id AS later FROM reserve_tokens('cora', 1000, 500, model => 'repriced') \gset
SELECT cost FROM settle_tokens(:'later', 1000, 500);
SELECT cost, (price).input_usd_per_mtok FROM token_mgmt.usage_ledger WHERE user_id = 'cora' ORDER BY entry_id;
SELECT calls, cost FROM usage_report(by => '{user,model}') WHERE user_id = 'cora';
SELECT * FROM token_mgmt.audit();
DELETE FROM token_mgmt.model WHERE model = 'repriced';
DELETE FROM token_mgmt.model_price WHERE model = 'repriced';
