SELECT clean_books();
\pset null '(null)'
-- The first message opens the session; each is counted as count_messages() has it.
SELECT message_no, role, message, pinned, encoding, tokens FROM add_message('s1', 'system', 'You are brief.',
    model => 'gpt-4o', user_id => 'alice', metadata => '{"channel": "web"}');
SELECT message_no, message, encoding, tokens, section, importance, pinned FROM add_message('s1', message =>
    '{"role": "user", "content": "Weather?", "token_mgmt": {"importance": 0.9}}', metadata => '{"page": 7}');
SELECT message_no, tokens FROM add_message('s1', message => '{"role": "assistant", "content": null, "tool_calls":
    [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
     {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}]}');
SELECT message_no, tokens FROM add_message('s1', message => '{"role": "tool", "tool_call_id": "c1", "content": "sunny"}');
SELECT message_no, tokens FROM add_message('s1', message => '{"role": "tool", "tool_call_id": "c2", "content": "rain"}');
SELECT message_no, tokens FROM add_message('s1', 'assistant', 'Sunny, and rain in Rome.');
SELECT user_id, agent, model, metadata, message_count FROM token_mgmt.session;
SELECT h.messages, h.tokens, h.message_count, h.from_no, h.has_more,
    (count_messages('gpt-4o', h.messages)).total = h.tokens AS recounted, status, dropped
FROM session_history('s1') h, fit_messages(h.messages, 'gpt-4o') f;
-- At every size: within it, recounted, a subsequence of the whole, never a result without its call.
SELECT bool_and(h.tokens <= n + 20) AS within,
    bool_and(h.message_count = 0 OR h.tokens = (count_messages(m, CASE h.message_count WHEN 0 THEN '[{"role": "user", "content": ""}]' ELSE h.messages END)).total)
        AS recounted,
    bool_and(h.messages #>> '{1,role}' IS DISTINCT FROM 'tool') AS whole, array_agg(DISTINCT h.from_no) AS from_no,
    array_agg(DISTINCT h.has_more) AS has_more
FROM generate_series(11, 120) n, unnest('{gpt-4o,gpt-4,claude-opus-5}'::text[]) m, session_history('s1', m, n + 20) h;
SELECT * FROM session_history('s1', max_tokens => 11);
SELECT * FROM show_error($$SELECT session_history('s1', max_tokens => 9)$$);

-- A model of another encoding: counted again, until that is kept.
SELECT tokens FROM session_history('s1', 'gpt-4');
SELECT token_mgmt.recount_session('s1', 'gpt-4'), token_mgmt.recount_session('s1', 'gpt-4');
SELECT message_no, tokens, token_counts FROM token_mgmt.message WHERE session_id = 's1' ORDER BY 1 LIMIT 2;
SELECT tokens FROM session_history('s1', 'gpt-4');
SELECT message_no, encoding, tokens FROM add_message('s1', 'user', 'And tomorrow?', model => 'claude-opus-5');
SELECT message_no, encoding, tokens FROM add_message('s1', 'user', 'And then?', model => 'gpt-4o', pinned => true);

-- A summary takes the place of what it is of, but for the pinned; a second one that of the first.
SELECT summary, summary_upto, summary_encoding, summary_tokens FROM save_summary('s1', 3, 'The user asked for the weather.');
SELECT h.messages, h.tokens, h.from_no, h.has_more, (count_messages('gpt-4o', h.messages)).total = h.tokens AS recounted FROM session_history('s1') h;
SELECT summary_upto FROM save_summary('s1', 8, 'They talked about the weather.');
SELECT h.messages, h.tokens, h.from_no, h.has_more, (count_messages('gpt-4o', h.messages)).total = h.tokens AS recounted FROM session_history('s1') h;
SELECT message_count FROM token_mgmt.session;
SELECT message_no FROM add_message('s1', 'user', 'Bye.');
SELECT h.messages, h.tokens, h.from_no FROM session_history('s1') h;

-- With content blocks of Anthropic it is what that API takes: what the system says beside the messages, a summary
-- (or a document) as a user's message. Prepared with and without summary.
SELECT message_no FROM add_message('an', 'system', 'Be brief.', model => 'claude-sonnet-4-5', user_id => 'al');
CREATE FUNCTION say(session text, messages jsonb) RETURNS bigint LANGUAGE sql AS $$
    SELECT max(a.message_no) FROM jsonb_array_elements(messages) m, add_message(session, message => m) a $$;
SELECT say('an', '[{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "sunny"}]}]');
CREATE FUNCTION sent(session text) RETURNS TABLE (messages jsonb, tokens bigint, message_count int, recounted boolean, problems bigint, prepared text)
    LANGUAGE sql AS $$
    SELECT h.messages, h.tokens, h.message_count, c.total = h.tokens, (SELECT count(*) FROM check_messages(h.messages, 'anthropic')), p.status || ' ' || p.dropped
    FROM session_history(session) h, count_messages('claude-sonnet-4-5', h.messages) c,
        prepare_request('al', 'claude-sonnet-4-5', session_id => session) p $$;
SELECT * FROM sent('an');
SELECT summary_upto, summary_tokens FROM save_summary('an', 3, 'They greeted each other.');
SELECT * FROM sent('an');
SELECT say('an', '[{"role": "system", "content": "Be polite."}, {"role": "system", "content": "Rome is in Italy.",
    "token_mgmt": {"section": "rag"}}, {"role": "user", "content": "Thanks."}]');
SELECT * FROM sent('an');
SELECT h.* FROM session_history('an', max_tokens => 46) h;
-- Of a retry the same, though blocks came meanwhile.
SELECT message_no FROM add_message('an2', 'system', 'Be brief.', model => 'claude-sonnet-4-5', user_id => 'al');
SELECT say('an2', '[{"role": "user", "content": "Hello!"}]');
CREATE TABLE first AS SELECT messages FROM prepare_request('al', 'claude-sonnet-4-5', session_id => 'an2', request_id => 'r1');
SELECT say('an2', '[{"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Hello."}]}]');
SELECT p.messages, p.messages = f.messages AS same FROM first f, prepare_request('al', 'claude-sonnet-4-5', session_id => 'an2', request_id => 'r1') p;
DROP TABLE first;
DROP FUNCTION sent;

-- Items of the Responses API: a result may come behind others, and reasoning is no answer by itself. At every size none
-- is without its call; nor is one behind a summary that should_summarize() asks for.
SELECT message_no FROM add_message('re', message => '{"type": "message", "role": "user", "content": "Weather?"}', model => 'gpt-4o');
SELECT say('re', '[{"type": "reasoning", "id": "r", "summary": []}, {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "a", "output": "sunny"},
    {"type": "message", "role": "user", "content": "And tomorrow?"}, {"type": "function_call_output", "call_id": "b", "output": "rain"},
    {"type": "message", "role": "assistant", "content": "Rain."}]');
SELECT h.from_no, min(n) AS from_tokens, max(n) AS to_tokens, max(p.n_problems) AS problems
FROM generate_series(3, 120) n, session_history('re', max_tokens => n) h,
    LATERAL (SELECT count(*) FROM jsonb_array_length(h.messages) l, check_messages(h.messages, 'responses') WHERE l > 0) p (n_problems)
GROUP BY 1 ORDER BY 2;
SELECT say('re', '[{"type": "message", "role": "user", "content": "Thanks."}]');
SELECT should, from_no, upto_no FROM should_summarize('re', max_tokens => 75);
DROP FUNCTION say;

-- When to summarise: ten turns of 52 tokens each, in limits of several sizes; never the last turn.
CREATE FUNCTION talk(session text, turns int, agent text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(1, turns) n,
        LATERAL add_message(session, 'user', 'question ' || repeat('word ', 20) || left(n::text, 0), model => 'gpt-4o', agent => talk.agent) a,
        LATERAL add_message(session, 'assistant', 'answer ' || repeat('word ', 20) || left((n + a.message_no)::text, 0)) b $$;
SELECT talk('s2', 10);
SELECT n, (should_summarize('s2', max_tokens => n)).* FROM unnest('{400,580,630,680,100000}'::int[]) n;
SELECT * FROM should_summarize('s2');
SELECT talk('s3', 1);
SELECT * FROM should_summarize('s3', max_tokens => 10);
SELECT enable_summarization FROM token_mgmt.set_agent('teller', '{"enable_summarization": true, "summarize_threshold": 8}');
SELECT talk('s4', 3, 'teller');
SELECT * FROM should_summarize('s4');
SELECT talk('s4', 1);
SELECT * FROM should_summarize('s4');
SELECT summary_upto FROM save_summary('s4', 4, 'Words.');
SELECT * FROM should_summarize('s4');
SELECT summarize_at FROM token_mgmt.set_agent('teller', '{"summarize_threshold": 100, "summarize_at": 0.03}');
SELECT * FROM should_summarize('s4');

SELECT tenant, session_id, message_count FROM token_mgmt.session ORDER BY 2;
SELECT message_no FROM add_message('s1', 'user', 'Another tenant''s.', tenant => 'acme');
SELECT token_mgmt.drop_session('s1'), token_mgmt.drop_session('s1');
SELECT count(*) FROM token_mgmt.message WHERE session_id = 's1';

-- Without a model it is counted as by o200k_base, and a limit has to be named.
SELECT encoding, tokens FROM add_message('s6', 'user', 'Hi');
SELECT tokens FROM session_history('s6', max_tokens => 100);
SELECT s.statement, e.* FROM unnest(ARRAY[
    $$add_message(NULL, 'user', 'Hi')$$, $$add_message('s2', 'user')$$, $$add_message('s2', NULL, 'Hi')$$,
    $$add_message('', 'user', 'Hi')$$, $$add_message('s2', 'user', 'Hi', message => '{}')$$, $$add_message('s2', message => '[]')$$,
    $$add_message('s2', message => '{"content": "Hi"}')$$, $$add_message('s2', message => '{"role": "user", "content": 5}')$$,
    $$add_message('s2', 'king', 'Hi')$$, $$add_message('s2', 'user', 'Hi', model => 'gpt4o')$$, $$add_message('s2', 'user', 'Hi', agent => 'telle')$$,
    $$add_message('s2', 'user', 'Hi', section => 'past')$$, $$add_message('s2', 'user', 'Hi', importance => 2)$$,
    $$add_message('s2', message => '{"role": "tool", "tool_call_id": "c", "content": "x"}', pinned => true)$$,
    $$add_message('s2', message => '{"role": "user", "content": "x", "token_mgmt": {"pinned": 1}}')$$,
    $$add_message('s2', message => '{"role": "user", "content": "x", "token_mgmt": {"pin": true}}')$$,
    $$add_message('s2', 'user', 'Hi', options => '{"a": 1}')$$, $$add_message('s2', 'user', 'Hi', metadata => '[1]')$$,
    $$add_message('s5', 'user', 'Hi', user_id => 'a') a, add_message('s5', 'user', left('Hi', a.message_no::int), user_id => 'b')$$,
    $$session_history('none')$$, $$session_history(NULL)$$, $$session_history('s2', max_tokens => -1)$$, $$session_history('s2', 'gpt4o')$$,
    $$session_history('s6')$$, $$save_summary('none', 1, 'x')$$, $$save_summary('s2', 0, 'x')$$,
    $$save_summary('s2', 21, 'x')$$, $$save_summary('s4', 3, 'x')$$, $$save_summary('s2', NULL, 'x')$$, $$save_summary('s2', 1, NULL)$$, $$save_summary('s2', 1, '')$$,
    $$should_summarize('none')$$, $$token_mgmt.recount_session('none', 'gpt-4')$$, $$token_mgmt.recount_session('s2', NULL)$$
    ]) s (statement), show_error('SELECT * FROM ' || s.statement) e;
DROP FUNCTION talk;

-- The result of a provider's own tool in a later message stays with its call, in any budget.
SELECT count(add_message('server tool', message => m)) FROM jsonb_array_elements('[
    {"role": "user", "content": "do it"},
    {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {}},
        {"type": "tool_use", "id": "t", "name": "q", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]},
    {"role": "assistant", "content": [{"type": "code_execution_tool_result", "tool_use_id": "s", "content": {}},
        {"type": "text", "text": "done"}]},
    {"role": "user", "content": "more"}]') m;
SELECT from_no, count(*) FROM generate_series(10, 300) b, session_history('server tool', 'claude-opus-5', b)
GROUP BY from_no ORDER BY from_no;
SELECT c.* FROM session_history('server tool', 'claude-opus-5', 1000) h,
    LATERAL (SELECT array_agg(jsonb_array_length(messages)) AS parts FROM chunk_messages(h.messages, 'claude-opus-5', 60)) c;
