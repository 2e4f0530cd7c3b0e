-- An agent's budgets in fit_messages(), explain_fit() and prepare_request().
SELECT clean_books();
SELECT agent FROM token_mgmt.set_agent('teller', '{"max_context_tokens": 1000, "max_system_tokens": 60, "max_user_tokens": 40,
    "max_story_tokens": 100, "max_history_tokens": 200, "max_rag_tokens": 150, "max_completion_tokens": 300, "safety_tokens": 50}');
CREATE FUNCTION told(turns integer, system integer DEFAULT 10, story integer DEFAULT 60, question integer DEFAULT 5) RETURNS jsonb
    LANGUAGE sql
AS $$
    SELECT jsonb_build_array(jsonb_build_object('role', 'system', 'content', repeat('rule ', system)),
            jsonb_build_object('role', 'system', 'content', repeat('story ', story), 'token_mgmt', '{"section": "story"}'::jsonb))
        || (SELECT jsonb_agg(m ORDER BY n) FROM generate_series(1, turns) i, LATERAL (VALUES
            (2 * i, jsonb_build_object('role', 'user', 'content', 'Question ' || i)),
            (2 * i + 1, jsonb_build_object('role', 'assistant', 'content', repeat('answer ', 20)))) v (n, m))
        || (SELECT jsonb_agg(jsonb_build_object('role', 'user', 'content', format('Document %s: ', d) || repeat('text ', 40),
            'token_mgmt', '{"section": "rag"}'::jsonb)) FROM generate_series(1, 4) d)
        || jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('word ', question)))
$$;

-- Each section within its ceiling; explain_fit() shows the table without the messages.
SELECT * FROM explain_fit(told(10), 'gpt-4o', agent => 'teller');
SELECT f.status, f.prompt_tokens, f.completion_tokens, f.dropped, f.truncated, f.warnings
FROM fit_messages(told(10), 'gpt-4o', agent => 'teller') f;
-- Without an agent all of it fits.
SELECT f.status, f.dropped FROM fit_messages(told(10), 'gpt-4o') f;

-- History grows past its ceiling only where the agent lets it.
SELECT agent FROM token_mgmt.set_agent('teller', '{"history_grows": true}');
SELECT section, budget, used, kept, dropped FROM explain_fit(told(30), 'gpt-4o', agent => 'teller') WHERE section = 'history';
SELECT agent FROM token_mgmt.set_agent('teller', '{"history_grows": false}');
SELECT section, budget, used, kept, dropped FROM explain_fit(told(30), 'gpt-4o', agent => 'teller') WHERE section = 'history';

-- A story over its ceiling is cut, and comes before the history or after it as the agent says.
SELECT f.status, f.truncated, r ->> 'rule' AS rule, (r ->> 'tokens_before')::integer AS before, (r ->> 'tokens_after')::integer <= 100 AS within
FROM fit_messages(told(2, story => 400), 'gpt-4o', agent => 'teller') f, jsonb_array_elements(f.receipt) r WHERE r ->> 'action' = 'cut';
SELECT agent FROM token_mgmt.set_agent('teller', '{"max_story_tokens": 600, "max_history_tokens": 600}');
SELECT section, used FROM explain_fit(told(40, story => 550), 'gpt-4o', agent => 'teller') WHERE section IN ('story', 'history');
SELECT agent FROM token_mgmt.set_agent('teller', '{"precedence": ["system", "user", "history", "story", "rag"]}');
SELECT section, used FROM explain_fit(told(40, story => 550), 'gpt-4o', agent => 'teller') WHERE section IN ('story', 'history');

-- User input over its ceiling is refused with its numbers; a system section borrows, or is refused.
SELECT * FROM show_error($$SELECT fit_messages(told(2, question => 80), 'gpt-4o', agent => 'teller')$$);
SELECT f.status, f.sqlstate, f.reason, f.advice FROM try_fit_messages(told(2, question => 80), 'gpt-4o', agent => 'teller') f;
SELECT f.status, f.warnings FROM fit_messages(told(2, system => 100), 'gpt-4o', agent => 'teller') f;
-- The call has the last word on that.
SELECT * FROM show_error($$SELECT fit_messages(told(2, system => 100), 'gpt-4o', agent => 'teller', options => '{"system_over": "refuse"}')$$);
SELECT agent FROM token_mgmt.set_agent('teller', '{"system_over": "refuse"}');
SELECT f.status, f.warnings FROM fit_messages(told(2, system => 100), 'gpt-4o', agent => 'teller', options => '{"system_over": "borrow"}') f;
SELECT * FROM show_error($$SELECT fit_messages(told(2), 'gpt-4o', options => '{"system_over": "cut"}')$$);
SELECT * FROM show_error($$SELECT fit_messages(told(2, system => 100), 'gpt-4o', agent => 'teller')$$);
SELECT * FROM show_error($$SELECT fit_messages(told(2), 'gpt-4o', agent => 'tellar')$$);

-- A role needs to be let.
CREATE ROLE agents_fit_app;
SET ROLE agents_fit_app;
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "Hi"}]', 'gpt-4o', agent => 'teller')$$);
RESET ROLE;
SELECT level, tenant FROM token_mgmt.grant_access('agents_fit_app', 'reader', 'default', 'alice');
SET ROLE agents_fit_app;
SELECT f.status FROM fit_messages('[{"role": "user", "content": "Hi"}]', 'gpt-4o', agent => 'teller') f;
RESET ROLE;
SELECT token_mgmt.revoke_access('agents_fit_app');
DROP ROLE agents_fit_app;

-- Past 85 % of the window there is a warning; what an agent may not ask for is lowered.
SELECT f.completion_tokens, f.warnings FROM fit_messages(told(2), 'gpt-4o', 5000, agent => 'teller') f;
SELECT f.warnings FROM fit_messages(jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('word ', 7100))), 'gpt-4', 500) f;

-- Safety is in the numbers of a denial, which names no other model where the agent is what refuses.
SELECT agent FROM token_mgmt.set_agent('safe', '{"max_context_tokens": 200, "max_completion_tokens": 50, "safety_tokens": 100}');
SELECT * FROM show_error($$SELECT fit_messages(jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('word ', 80))), 'gpt-4o',
    agent => 'safe', completion_tokens => 50)$$);

-- The ready profile, and its arithmetic: 4000 + 1500 + 18000 + 2000 + 5000 + 1500 = 32000.
SELECT section, budget FROM explain_fit(told(2), 'gpt-4o', agent => 'storyteller_32k') WHERE budget IS NOT NULL;
SELECT f.completion_tokens FROM fit_messages(told(2), 'gpt-4o', agent => 'storyteller_32k') f;

-- prepare_request() takes the agent's profile, if there is one of that name, and holds what was fitted.
SELECT p.status, p.prompt_tokens, p.completion_tokens, p.tokens_held, p.dropped
FROM prepare_request('ann', 'gpt-4o', told(30), agent => 'teller') p;
SELECT p.status, p.completion_tokens FROM prepare_request('ann', 'gpt-4o', told(2), agent => 'nobody') p;
SELECT p.status, p.sqlstate, p.reason, p.advice ->> 'detail' AS detail
FROM try_prepare_request('ann', 'gpt-4o', told(2, question => 80), agent => 'teller') p;

-- From a session: its messages are loaded, and a retry gets what the first call got.
SELECT message_no FROM add_message('s', 'system', 'Be brief.', user_id => 'ann', model => 'gpt-4o');
SELECT message_no FROM add_message('s', 'user', 'Mail ann@example.org, please.');
SELECT p.status, p.messages, p.removed, p.prompt_tokens, p.tokens_held
FROM prepare_request('ann', 'gpt-4o', completion_tokens => 100, session_id => 's', request_id => 'r1', options => '{"redact": ["email"]}') p;
SELECT message_no FROM add_message('s', 'user', 'And Bob.');
SELECT p.messages FROM prepare_request('ann', 'gpt-4o', completion_tokens => 100, session_id => 's', request_id => 'r1', options => '{"redact": ["email"]}') p;
SELECT jsonb_array_length(p.messages) AS messages FROM prepare_request('ann', 'gpt-4o', completion_tokens => 100, session_id => 's') p;
SELECT r.prepared ? 'receipt' AS receipt, r.prepared -> 'removed' AS removed, r.prepared ? 'messages' AS messages
FROM token_mgmt.reservation r WHERE r.request_id = 'r1';
-- The user's last word is fitted, however long it is; nobody else's session is sent.
SELECT count(*) FROM add_message('long', 'system', 'Be brief.', user_id => 'ann', model => 'gpt-4o');
SELECT count(*) FROM add_message('long', 'user', repeat('word ', 7000));
SELECT * FROM show_error($$SELECT prepare_request('ann', 'gpt-4', completion_tokens => 2000, session_id => 'long')$$);
SELECT * FROM show_error($$SELECT prepare_request('bob', 'gpt-4', session_id => 'long')$$);
-- A retry gets what the first call got, also when the session was summarised meanwhile.
SELECT p.messages FROM prepare_request('ann', 'gpt-4o', completion_tokens => 100, session_id => 's', request_id => 'r2') p;
SELECT summary FROM save_summary('s', 2, 'Ann was written to.');
SELECT p.messages FROM prepare_request('ann', 'gpt-4o', completion_tokens => 100, session_id => 's', request_id => 'r2') p;
SELECT p.messages FROM prepare_request('ann', 'gpt-4o', completion_tokens => 100, session_id => 's') p;
-- What is sent of a growing session begins at the same message most of the time.
SELECT count(DISTINCT p.messages -> 0) BETWEEN 5 AND 40 AS moves_in_steps, max(p.dropped) > 100 AS outgrown,
    bool_and(p.status IN ('granted', 'fitted')) AS fitted
FROM generate_series(1, 120) i, LATERAL add_message('grown', 'user', format('Question %s: ', i) || repeat('word ', 5), user_id => 'ann') q,
    LATERAL prepare_request(left('ann', 3 + q.message_no::integer * 0), 'gpt-4o', max_prompt_tokens => 1000, completion_tokens => 10,
        session_id => 'grown') p,
    LATERAL add_message('grown', 'assistant', repeat('answer ', 5 + p.dropped * 0)) a;
-- A session keeps tool calls of every shape.
SELECT m.role, m.tokens > 5 AS counted FROM unnest(ARRAY[
    '{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}',
    '{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}', '{"type": "function_call_output", "call_id": "c", "output": "x"}',
    '{"role": "user", "content": "x", "token_mgmt": {"topic": "a"}}']::jsonb[]) s (message), add_message('shapes', message => s.message, model => 'gpt-4o') m;
-- A session's own summary stands for what fit_messages() drops.
SELECT f.messages -> 2 ->> 'content' AS summary FROM fit_messages(told(30, story => 1), 'gpt-4o', 0, max_prompt_tokens => 400,
    strategy => 'summary', options => '{"session_id": "s"}') f;
SELECT * FROM show_error($$SELECT fit_messages(told(1), 'gpt-4o', options => '{"session_id": "none"}')$$);
SELECT * FROM show_error($$SELECT prepare_request('ann', 'gpt-4o')$$);
SELECT * FROM show_error($$SELECT prepare_request('ann', 'gpt-4o', session_id => 'no such')$$);

-- Budgets follow what the session's calls of the agent lately used, where the agent asks for it.
SELECT agent FROM token_mgmt.set_agent('follower', '{"max_context_tokens": 4000, "max_history_tokens": 500, "max_completion_tokens": 2000,
    "follow_usage": true}');
SELECT p.completion_tokens FROM prepare_request('ann', 'gpt-4o', session_id => 's', agent => 'follower') p;
SELECT count(s.*) FROM generate_series(1, 3) i, reserve_tokens('ann', 99 + sign(i)::integer, 2000, model => 'gpt-4o', session_id => 's', agent => 'follower') r,
    settle_tokens(r.reservation_id, 100, 400) s;
SELECT p.completion_tokens FROM prepare_request('ann', 'gpt-4o', session_id => 's', agent => 'follower') p;
SELECT (r.prepared -> 'settings' -> 'budgets' ->> 'history')::integer AS history FROM token_mgmt.reservation r
WHERE r.agent = 'follower' ORDER BY r.reserved_at DESC LIMIT 1;
DROP FUNCTION told;
SELECT clean_books();
