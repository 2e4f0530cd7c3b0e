SELECT clean_books();
SELECT context_window FROM token_mgmt.register_model('small', 'cl100k_base', 300, max_output_tokens => 150);

SELECT * FROM count_messages('gpt-4', '[{"role": "user", "content": "Hello!"}]');
SELECT * FROM count_messages('gpt-4o', '[{"role": "system", "content": "You are brief."},
    {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Weather in Paris and Rome?"}]},
    {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Paris\"}"}},
        {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "c2", "content": "rain"}]',
    '[{"type": "function", "function": {"name": "weather", "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]');

-- What fits comes back as it is; numbers of any size and unknown keys too.
SELECT messages, prompt_tokens, completion_tokens, dropped, truncated, needs_summary, warnings, status, receipt
FROM fit_messages('[{"role": "user", "content": "Hello!", "x": 123456789012345678901234567890.5}]', 'small', 100);
-- The steering key goes, unless it is asked for.
SELECT messages FROM fit_messages('[{"role": "user", "content": "Hello!", "token_mgmt": {"pinned": true}}]', 'small');
SELECT messages FROM fit_messages('[{"role": "user", "content": "Hello!", "token_mgmt": {"pinned": true}}]', 'small',
    options => '{"keep_hints": true}');

-- Oldest turns go first, system messages and the last user turn stay, calls stay with their results.
SELECT jsonb_path_query_array(messages, '$[*].role') AS roles, prompt_tokens, completion_tokens, dropped, truncated,
    needs_summary, status, receipt
FROM fit_messages('[{"role": "system", "content": "You are brief."},
    {"role": "user", "content": "First question, long ago, about the weather in many cities of the world."},
    {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Paris\"}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny, with a light wind from the north and some clouds later"},
    {"role": "assistant", "content": "It is sunny."},
    {"role": "user", "content": "And in Rome?"}]', 'small', 100, max_prompt_tokens => 60, options => '{"cut_step": 0}');

-- Orphans are repaired, and the receipt says so; or refused.
SELECT messages, receipt, warnings FROM fit_messages('[{"role": "tool", "tool_call_id": "c9", "content": "lost"},
    {"role": "user", "content": "Hello!"}]', 'small');
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "tool", "tool_call_id": "c9", "content": "lost"},
    {"role": "user", "content": "Hello!"}]', 'small', options => '{"repair": false}')$$);

SELECT status, completion_tokens FROM fit_messages('[{"role": "user", "content": "Hello!"}]', 'small', 1000);
SELECT status, completion_tokens FROM fit_messages('[{"role": "user", "content": "Hello!"}]', 'small', 1000, on_overflow => 'reduce');
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "Hello!"}]', 'small', 1000, on_overflow => 'refuse')$$);
SELECT * FROM show_error($$SELECT fit_messages(jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('word ', 400))), 'small', 100)$$);
SELECT status, sqlstate, reason, messages FROM try_fit_messages(
    jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('word ', 400))), 'small', 100);

-- Bad input.
SELECT * FROM show_error($$SELECT fit_messages(NULL, 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[]', NULL)$$);
SELECT * FROM show_error($$SELECT fit_messages('[]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('{}', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('"hello"', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[1]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"content": "x"}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user"}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": null}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "pope", "content": "x"}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": 5}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": [{"text": "x"}]}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "tool", "content": "x"}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'no-such-model')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', -1)$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', strategy => 'random')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', on_overflow => 'pray')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', options => '{"cat": 1}')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', options => '[]')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', tools => '5')$$);
SELECT * FROM show_error($$SELECT count_messages(NULL, '[]')$$);
SELECT * FROM show_error($$SELECT count_messages('small', NULL)$$);
SELECT * FROM show_error($$SELECT count_messages('small', '[]')$$);
-- What jsonb itself refuses.
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "a\u0000b"}]', 'small')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "a\ud83d"}]', 'small')$$);
