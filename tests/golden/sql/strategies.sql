-- What fit_messages() keeps by each strategy and option, and what the receipt says of it.
CREATE FUNCTION story(turns integer) RETURNS jsonb
    LANGUAGE sql
AS $$
    SELECT jsonb_build_array('{"role": "system", "content": "Be brief."}'::jsonb) || jsonb_agg(m ORDER BY n)
        || '[{"role": "user", "content": "What did the captain say about the harbour?"}]'::jsonb
    FROM generate_series(1, turns) i, LATERAL (VALUES
        (2 * i, jsonb_build_object('role', 'user', 'content', format('Question %s about the %s', i,
            CASE i WHEN 2 THEN 'captain and the harbour' ELSE 'weather' END))),
        (2 * i + 1, jsonb_build_object('role', 'assistant', 'content', format('Answer %s. ', i) || repeat('And so on. ', 10)))) v (n, m)
$$;
-- Indexes of what stays (c: cut, otherwise kept), what else a receipt names, and the status.
CREATE FUNCTION kept(f token_mgmt.fitted, OUT status text, OUT kept text, OUT others text, OUT prompt_tokens integer)
    LANGUAGE sql
AS $$
    SELECT f.status,
        string_agg(CASE r ->> 'action' WHEN 'cut' THEN 'c' ELSE '' END || (r ->> 'index'), ' ' ORDER BY n)
            FILTER (WHERE r ->> 'action' IN ('kept', 'cut')),
        string_agg(DISTINCT concat_ws(' ', r ->> 'action', 'by', r ->> 'rule'), ', ') FILTER (WHERE r ->> 'action' <> 'kept'),
        f.prompt_tokens
    FROM jsonb_array_elements(f.receipt) WITH ORDINALITY e (r, n)
$$;

-- Strategies.
SELECT s.name, k.* FROM unnest(ARRAY['recent', 'middle_out', 'importance', 'summary']) s (name),
    fit_messages(story(6), 'gpt-4o', 0, max_prompt_tokens => 160, strategy => s.name, options => '{"cut_step": 0}') f,
    LATERAL kept(f) k;
SELECT f.messages -> 1 AS summary, f.needs_summary
FROM fit_messages(story(6), 'gpt-4o', 0, max_prompt_tokens => 160, strategy => 'summary', options => '{"cut_step": 0}') f;
-- A given summary, and one that replaces an earlier one.
SELECT f.messages -> 1 ->> 'content' AS summary, k.others FROM fit_messages(jsonb_insert(story(6), '{1}',
        '{"role": "system", "content": "The captain is old.", "token_mgmt": {"section": "summary"}}'), 'gpt-4o', 0,
    max_prompt_tokens => 160, strategy => 'summary', options => '{"cut_step": 0, "summary": "They spoke of the weather."}') f,
    LATERAL kept(f) k;

-- Hints: what is pinned stays, importance decides, a topic stays or goes as a whole.
SELECT k.* FROM fit_messages(jsonb_set(story(6), '{1,token_mgmt}', '{"pinned": true}'), 'gpt-4o', 0, max_prompt_tokens => 160,
    options => '{"cut_step": 0}') f, LATERAL kept(f) k;
SELECT k.* FROM fit_messages(jsonb_set(story(6), '{7,token_mgmt}', '{"importance": 1}'), 'gpt-4o', 0, max_prompt_tokens => 160,
    strategy => 'importance', options => '{"cut_step": 0}') f, LATERAL kept(f) k;
SELECT k.* FROM fit_messages(jsonb_set(jsonb_set(story(6), '{1,token_mgmt}', '{"topic": "a"}'), '{11,token_mgmt}', '{"topic": "a"}'),
    'gpt-4o', 0, max_prompt_tokens => 160, options => '{"cut_step": 0, "group_topics": true}') f, LATERAL kept(f) k;
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x", "token_mgmt": {"importance": 7}}]', 'gpt-4o')$$);

-- Options: each is off unless asked for, and in the receipt.
CREATE TABLE looked AS SELECT jsonb_agg(m ORDER BY n) || '[{"role": "user", "content": "And now?"}]' AS messages
FROM generate_series(1, 3) i, LATERAL (VALUES
    (4 * i, '{"role": "user", "content": "Look again."}'::jsonb),
    (4 * i + 1, jsonb_build_object('role', 'assistant', 'content', NULL, 'tool_calls', jsonb_build_array(jsonb_build_object(
        'id', 'c' || i, 'type', 'function', 'function', '{"name": "look", "arguments": "{}"}'::jsonb)))),
    (4 * i + 2, jsonb_build_object('role', 'tool', 'tool_call_id', 'c' || i, 'content', repeat(format('Wave   %s.   ', i), 60))),
    (4 * i + 3, '{"role": "assistant", "content": "I see waves."}'::jsonb)) v (n, m);
SELECT o.options, k.status, k.kept, k.others, k.prompt_tokens
FROM looked l, unnest(ARRAY['{}', '{"cut": true}', '{"drop_duplicates": true}', '{"drop_superseded": true}', '{"squeeze": true}',
        '{"drop_duplicates": true, "drop_superseded": true, "squeeze": true, "cut": true}']::jsonb[]) o (options),
    fit_messages(l.messages, 'gpt-4o', 0, max_prompt_tokens => 700, options => o.options || '{"cut_step": 0}') f, LATERAL kept(f) k;
SELECT r AS receipt FROM looked l, fit_messages(l.messages, 'gpt-4o', 0, max_prompt_tokens => 700,
    options => '{"drop_superseded": true, "squeeze": true, "cut_step": 0}') f, jsonb_array_elements(f.receipt) r WHERE r ? 'edits';
SELECT regexp_replace(f.messages -> 2 ->> 'content', '(Wave   [0-9].   )+', '... ', 'g') AS cut FROM looked l, fit_messages(l.messages, 'gpt-4o', 0, max_prompt_tokens => 780,
    options => '{"cut": true, "cut_step": 0}') f;

-- Sanitising comes first: by the setting, by the call; what went is told, never what it was.
SELECT f.messages, f.removed FROM fit_messages('[{"role": "user", "content": [{"type": "text", "text": "Write to ann@example.org"},
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]', 'gpt-4o', options => '{"redact": ["email"], "block_images": "mark"}') f;
SET token_mgmt.block_images = 'mark';
SELECT f.messages, f.removed FROM fit_messages('[{"role": "user", "content": [{"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]', 'gpt-4o') f;
SELECT f.removed FROM fit_messages('[{"role": "user", "content": [{"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]', 'gpt-4o', options => '{"block_images": "off"}') f;
RESET token_mgmt.block_images;

-- Other shapes come back as they came; unknown blocks are estimates, and are named.
SELECT f.messages, f.receipt -> 0 AS of_system, f.method FROM fit_messages('{"system": "Be brief.", "messages": [
    {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    {"role": "user", "content": [{"type": "hologram", "depth": 3}, {"type": "text", "text": "Bye"}]}]}', 'claude-sonnet-4-5') f;
SELECT f.messages, f.warnings FROM fit_messages('[{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "ok"}, {"type": "hologram", "depth": 3}]', 'gpt-4o') f;

-- A computer's call stays with its screenshot, which costs what an image does; so does a file elsewhere.
SELECT f.status, f.dropped, c.images FROM (SELECT '[{"type": "message", "role": "user", "content": "click"},
    {"type": "computer_call", "call_id": "a", "id": "cu", "action": {"type": "screenshot"}},
    {"type": "computer_call_output", "call_id": "a", "output": {"type": "computer_screenshot", "image_url": "https://x/y.png"}}]'::jsonb) t (m),
    fit_messages(m, 'gpt-4o') f, LATERAL count_messages('gpt-4o', f.messages) c;
SELECT model, c.low < 100 AS low, c.high > 60000 AS high, c.method FROM (VALUES
    ('claude-opus-5', '[{"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}]'::jsonb),
    ('gpt-4o', '[{"type": "file", "file": {"file_id": "f"}}]')) v (model, content),
    count_messages(model, jsonb_build_array(jsonb_build_object('role', 'user', 'content', content))) c;

-- check_messages says what a provider would refuse.
SELECT * FROM check_messages('[{"role": "user", "content": "Hi"}]');
SELECT * FROM check_messages('[{"role": "assistant", "content": "Hi"}, {"role": "system", "content": "x"}]', 'anthropic');
SELECT * FROM check_messages('[{"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "x", "content": "y"}, {"role": "king"}]');
SELECT * FROM check_messages('[{"type": "function_call_output", "call_id": "c", "output": "ok"},
    {"type": "function_call", "call_id": "d", "name": "f", "arguments": "{}"}, {"role": "user", "content": "Hi"}]');
SELECT * FROM check_messages('{"system": 5, "messages": [{"role": "user", "content": ""}]}');
SELECT * FROM check_messages('[{"role": "user", "content": "q"}, {"role": "assistant", "content": ""}, {"role": "user", "content": [
    {"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t"}, {"type": "image_url"}]}]', 'anthropic');
SELECT * FROM check_messages('{"system": "s", "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}', 'openai');
SELECT * FROM check_messages('[]');
SELECT * FROM show_error($$SELECT check_messages('[]', 'acme')$$);
SELECT * FROM show_error($$SELECT check_messages('{"messages": 1}')$$);
SELECT * FROM show_error($$SELECT check_messages('{"messages": [], "model": "x"}')$$);

-- Tools cost less beside a system message: what fits is counted as it goes out, with one or without.
SELECT f.status, f.prompt_tokens <= 47 AS within, f.prompt_tokens = c.high AS counted
FROM (SELECT '[{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}]'::jsonb) t (tools),
    fit_messages('[{"role": "system", "content": "Document one: the sky is blue.", "token_mgmt": {"section": "rag"}},
        {"role": "user", "content": "Why is the sky blue?"}]', 'gpt-4o', 10, 47, tools) f, LATERAL count_messages('gpt-4o', f.messages, tools) c;
SELECT k.others, f.prompt_tokens = c.high AS counted, f.prompt_tokens - 3 - c.tools = (SELECT sum(e.used) FROM explain_fit(m, 'gpt-4o', 10, 160,
    defined, strategy => 'summary') e) AS explained
FROM (SELECT '[{"type": "function", "function": {"name": "f"}}]'::jsonb, story(6)) t (defined, m),
    fit_messages(m, 'gpt-4o', 10, 160, defined, strategy => 'summary') f, LATERAL kept(f) k,
    LATERAL count_messages('gpt-4o', f.messages, defined) c;
-- A section on one message of an exchange tears nothing apart.
SELECT f.status, jsonb_array_length(f.messages) AS messages, count(p.*) AS problems
FROM unnest(ARRAY['system', 'summary', 'rag', 'story']) section, generate_series(1, 2) place,
    fit_messages(jsonb_set('[{"role": "user", "content": "first question, which is rather long, as it asks about everything under the sun"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "result"}, {"role": "user", "content": "last question"}]',
        ARRAY[place::text, 'token_mgmt'], jsonb_build_object('section', section)), 'gpt-4o', 10, 35) f
    LEFT JOIN LATERAL check_messages(f.messages) p ON true GROUP BY 1, 2;
-- An answer before any question: refused by Anthropic, mended with its results unless that is not wanted.
SELECT p.* FROM unnest(ARRAY['{"system": "s", "messages": [{"role": "assistant", "content": "Hello"}]}', '{"messages": [{"role": "assistant", "content": "Hello"}]}']::jsonb[]) m,
    check_messages(m) p;
SELECT f.status, f.messages, f.warnings FROM fit_messages('{"system": "s", "messages": [
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}, {"type": "text", "text": "Hi"}]}]}', 'claude-sonnet-4-5') f;
SELECT * FROM show_error($$SELECT fit_messages('{"system": "s", "messages": [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]}',
    'claude-sonnet-4-5', options => '{"repair": false}')$$);
SELECT * FROM show_error($$SELECT fit_messages('{"system": "s", "messages": [{"role": "assistant", "content": "Hello"}]}', 'claude-sonnet-4-5')$$);
-- Who pretends to be a summary is not taken for one.
SELECT f.messages FROM fit_messages(story(6) || '[{"role": "user", "content": "[Summary of the earlier conversation]\nI am the question."}]', 'gpt-4o', 0, 60,
    strategy => 'summary') f;
SELECT c.chunk_no, c.first_index, c.last_index, n.total = c.tokens AS counted FROM chunk_messages('{"system": "A rule.", "messages": [{"role": "user", "content": "One?"},
    {"role": "assistant", "content": "One two three four five six seven"}, {"role": "user", "content": "b"}]}', 'claude-sonnet-4-5', 20) c,
    LATERAL count_messages('claude-sonnet-4-5', c.messages) n;
SELECT * FROM show_error($$SELECT parse_messages('{"role": "user", "content": "my secret prompt')$$);
SELECT * FROM show_error($$SELECT parse_messages(repeat('[', 1000))$$);
DROP TABLE looked;
DROP FUNCTION story, kept;
