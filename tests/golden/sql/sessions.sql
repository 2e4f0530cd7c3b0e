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
