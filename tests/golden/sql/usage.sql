SELECT clean_books();
CREATE FUNCTION read_usage(usage jsonb) RETURNS token_mgmt.usage_entry LANGUAGE sql AS $$
    SELECT s.* FROM reserve_tokens('sam', 5000, 2000) g, settle_usage(g.reservation_id, usage) s
$$;
SET client_min_messages = error;
SELECT n, (u).prompt_tokens AS prompt, (u).completion_tokens AS completion, (u).cached_tokens AS cached,
    (u).cache_write_tokens AS written, (u).reasoning_tokens AS reasoning
FROM (SELECT n, read_usage(usage) AS u FROM (VALUES
    ('chat', '{"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 256}}'::jsonb),
    ('chat, written', '{"prompt_tokens": 1200, "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 1024}}'),
    ('chat, details null', '{"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": null}'),
    ('deepseek', '{"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
        "prompt_cache_hit_tokens": 1024, "prompt_cache_miss_tokens": 176}'),
    ('embedding', '{"prompt_tokens": 8, "total_tokens": 8}'),
    ('chat response', '{"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}'),
    ('responses', '{"input_tokens": 1200, "input_tokens_details": {"cached_tokens": 1024}, "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 256}, "total_tokens": 1500}'),
    ('responses, written', '{"input_tokens": 1200, "output_tokens": 300,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 1024}}'),
    ('realtime', '{"total_tokens": 1500, "input_tokens": 1200, "output_tokens": 300,
        "input_token_details": {"text_tokens": 1200, "cached_tokens": 1024}, "output_token_details": {"text_tokens": 300}}'),
    ('anthropic', '{"input_tokens": 176, "cache_read_input_tokens": 1024, "cache_creation_input_tokens": 512,
        "output_tokens": 300, "service_tier": "standard"}'),
    ('anthropic, no cache', '{"input_tokens": 176, "cache_read_input_tokens": null, "output_tokens": 300}'),
    ('anthropic, compacted', '{"input_tokens": 230, "output_tokens": 100, "cache_read_input_tokens": 20, "iterations": [
        {"type": "compaction", "input_tokens": 1800, "output_tokens": 35, "cache_read_input_tokens": 3},
        {"type": "message", "input_tokens": 230, "output_tokens": 100}]}'),
    ('either', '{"input_tokens": 176, "output_tokens": 300}'),
    ('gemini', '{"promptTokenCount": 1200, "cachedContentTokenCount": 1024, "candidatesTokenCount": 44,
        "thoughtsTokenCount": 256, "toolUsePromptTokenCount": 100, "totalTokenCount": 1600}'),
    ('gemini response', '{"candidates": [], "usageMetadata": {"promptTokenCount": 12, "thoughtsTokenCount": 90,
        "totalTokenCount": 102}}')
) v (n, usage) OFFSET 0) t;

-- Complaint 4: what cannot be read is an error, never 0.
CREATE FUNCTION show_usage_error(usage text) RETURNS shown_error LANGUAGE sql AS $$
    SELECT show_error(format('SELECT read_usage(%L)', usage))
$$;
SELECT * FROM show_usage_error(NULL);
SELECT * FROM show_usage_error('[]');
SELECT * FROM show_usage_error('{}');
SELECT * FROM show_usage_error('{"usage": null}');
SELECT * FROM show_usage_error('{"tokens": 12, "cost": 3}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12, "total_tokens": 15}');
SELECT * FROM show_usage_error('{"completion_tokens": 12}');
SELECT * FROM show_usage_error('{"input_tokens": 12, "output_tokens": null}');
SELECT * FROM show_usage_error('{"promptTokenCount": 12}');
SELECT * FROM show_usage_error('{"input_tokens": 12, "output_tokens": 3, "iterations": {}}');
SELECT * FROM show_usage_error('{"input_tokens": 12, "output_tokens": 3, "iterations": [{"type": "advisor_message", "input_tokens": 1, "output_tokens": 1}]}');
SELECT * FROM show_usage_error('{"input_tokens": 12, "output_tokens": 3, "iterations": [{"type": "compaction", "input_tokens": 1}]}');
SELECT * FROM show_usage_error('{"input_tokens": 12, "output_tokens": 3, "iterations": [{"type": "compaction", "input_tokens": 1000000000, "output_tokens": 1}]}');
SELECT * FROM show_usage_error('{"prompt_tokens": "12", "completion_tokens": 3}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12.5, "completion_tokens": 3}');
SELECT * FROM show_usage_error('{"prompt_tokens": -12, "completion_tokens": 3}');
SELECT * FROM show_usage_error('{"prompt_tokens": 1e300, "completion_tokens": 3}');
SELECT * FROM show_usage_error('{"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 1000000000}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12, "completion_tokens": 3, "input_tokens": 12, "output_tokens": 3}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12, "completion_tokens": 3, "cache_read_input_tokens": 9}');
SELECT * FROM show_usage_error('{"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 9}}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 20}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 13}}');
SELECT * FROM show_usage_error('{"prompt_tokens": 12, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 4}}');
SELECT u, e.message, e.detail FROM unnest(ARRAY['{"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": "12"}',
    '{"prompt_tokens": 12, "completion_tokens": 3, "completion_tokens_details": [{"reasoning_tokens": 3}]}',
    '{"input_tokens": 12, "output_tokens": 3, "input_tokens_details": 12}',
    '{"input_tokens": 12, "output_tokens": 3, "cache_creation_input_tokens": 1, "cache_creation": 1}',
    '{"prompt_tokens": 12, "completion_tokens": 3, "prompt_cache_hit_tokens": 8, "prompt_tokens_details": {"cached_tokens": 9}}']) u, show_usage_error(u) e;
SELECT * FROM show_error($$SELECT settle_usage(NULL, '{"prompt_tokens": 1, "completion_tokens": 1}')$$);
RESET client_min_messages;
SELECT count(*) AS entries, sum(prompt_tokens) > 0 AS has_tokens FROM token_mgmt.usage_ledger;
-- A retry is the same entry, another usage is not.
SELECT reservation_id AS id FROM reserve_tokens('sam', 100) \gset
SELECT entry_id FROM settle_usage(:'id', '{"input_tokens": 60, "output_tokens": 5}') \gset
SELECT entry_id = :entry_id AS same FROM settle_usage(:'id', '{"usage": {"prompt_tokens": 60, "completion_tokens": 5}}');
SELECT * FROM show_error(format('SELECT settle_usage(%L, ''{"input_tokens": 61, "output_tokens": 5}'')', :'id'));

-- Calls that were never reserved; complaint 15: a retry is not charged twice.
SELECT model FROM token_mgmt.register_model('priced', 'o200k_base', 100000, max_output_tokens => 10000,
    input_usd_per_mtok => 2, output_usd_per_mtok => 10, cached_input_usd_per_mtok => 0.5);
SELECT amount FROM token_mgmt.set_quota('user', 'uma', 'total', 1000, options => '{"cached_weight": 0.5}');
SELECT amount FROM token_mgmt.set_quota('user', 'uma', 'total', 3, metric => 'requests');
SELECT amount FROM token_mgmt.set_quota('user', '*', '01:00:00', 500, options => '{"kind": "sliding"}');
SELECT amount FROM token_mgmt.set_quota('team', 'ops', '100 days', 1, metric => 'cost', options => '{"kind": "bucket"}');
SELECT kind, user_id, model, prompt_tokens, completion_tokens, cached_tokens, total_tokens, tokens_held, cost, flags
FROM record_usage('uma', 300, 100, 'priced', cached_tokens => 200, team => 'ops', breakdown => '{"history": 100}',
    metadata => '{"a": 1}', request_id => 'r-1');
SELECT total_tokens, flags FROM record_usage('uma', 300, 100, 'priced', cached_tokens => 200, team => 'ops',
    breakdown => '{"history": 100}', metadata => '{"a": 1}', request_id => 'r-1');
SELECT * FROM show_error($$SELECT record_usage('uma', 300, 101, 'priced', request_id => 'r-1')$$);
SELECT * FROM show_error($$SELECT reserve_tokens('uma', 300, request_id => 'r-1')$$);
SELECT kind, request_id, user_id, team, endpoint, breakdown, metadata, cardinality(allocations) FROM token_mgmt.usage_ledger
WHERE user_id = 'uma';
-- Texts are counted, and calls with a price of their own have it.
SELECT prompt_tokens, completion_tokens, cost, flags FROM record_usage('uma', model => 'gpt-4o', content => 'One two three.',
    completion_content => 'Four.');
SELECT prompt_tokens, completion_tokens, model, cost, flags FROM record_usage('uma', endpoint => '/search', cost => 0.02500,
    team => 'ops');
-- Never refused: the tokens are gone. The flag says so, and the next reservation is.
SELECT total_tokens, flags FROM record_usage('uma', 2000);
SELECT metric, period, kind, amount, used, held, remaining FROM token_mgmt.quota_status WHERE value = 'uma' ORDER BY 1, 2;
SELECT status, sqlstate FROM try_reserve_tokens('uma', 1);
SELECT total_tokens, flags FROM record_usage('vic', 501);
SELECT scope, value, used FROM token_mgmt.quota_status WHERE value = 'vic';
SELECT round(used, 3) AS used, round(held) AS held, round(remaining, 3) AS remaining FROM token_mgmt.quota_status WHERE scope = 'team' AND used > 0;
-- In slots.
SELECT token_mgmt.drop_quota('user', '*', 'hour');
SELECT amount FROM token_mgmt.set_quota('user', 'hot', 'total', 100);
INSERT INTO token_mgmt.hot_quota SELECT tenant, quota_id, 'hot', 4, now() FROM token_mgmt.quota WHERE value = 'hot';
SELECT total_tokens, flags FROM record_usage('hot', 90);
SELECT total_tokens, flags FROM record_usage('hot', 90);
SELECT slot, allowance, used, held FROM token_mgmt.quota_period WHERE scope_value = 'hot' ORDER BY slot;
-- The CALL form: a retry in the other form is the same call.
CALL record_usage(request => '{"user_id": "cal", "prompt_tokens": 7, "completion_tokens": 2, "request_id": "r-1"}') \gset
SELECT :'request'::jsonb - '{reservation_id,entry_id,recorded_at}'::text[] AS entry;
SELECT entry_id = (:'request'::jsonb ->> 'entry_id')::bigint AS is_same FROM record_usage('cal', 7, 2, request_id => 'r-1');
SELECT * FROM show_error($$CALL record_usage(request => '{"user_id": "uma"}')$$);
SELECT * FROM show_error($$CALL record_usage(request => '{"user": "uma"}')$$);
SELECT * FROM show_error($$CALL record_usage(request => NULL)$$);
SELECT * FROM show_error($$SELECT record_usage('uma')$$);
SELECT * FROM show_error($$SELECT record_usage(NULL, 1)$$);
SELECT * FROM show_error($$SELECT record_usage('uma', 1, content => 'x')$$);
SELECT * FROM show_error($$SELECT record_usage('uma', -1)$$);
SELECT * FROM show_error($$SELECT record_usage('uma', 1, cached_tokens => 2)$$);
SELECT * FROM show_error($$SELECT record_usage('uma', 1, cost => 'NaN')$$);
SELECT b, e.* FROM unnest(ARRAY['[1]', '{"history": "12"}', '{"history": 1.5}', '{"system": 1, "history": -1}', '{"history": 1e300}', '{"history": null}']) b,
    show_error(format('SELECT record_usage(''uma'', 1, breakdown => %L)', b)) e;
SELECT e.sqlstate, e.message FROM reserve_tokens('vic', 1), show_error(format('SELECT settle_tokens(%L, 1, 0, breakdown => ''[]'')', reservation_id)) e;
SELECT * FROM show_error($$SELECT record_usage('*', 1)$$);
SELECT * FROM show_error($$SELECT record_usage('uma', 1, options => '{"x": 1}')$$);
SELECT * FROM show_error($$SELECT record_usage('uma', 1, team => 'ops')$$);
SELECT * FROM token_mgmt.audit();
DROP FUNCTION show_usage_error, read_usage;
