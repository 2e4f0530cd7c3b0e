\echo
\echo '=== 5. "You requested 133573 tokens: 86387 from the messages and 47186 for the completion"'
\echo 'The window is 131072. Lower the completion:'
\set ECHO queries
SELECT status, prompt_tokens, completion_tokens, tokens_held
FROM reserve_tokens('alice', 86387, 47186, model => 'gpt-oss-120b', on_overflow => 'reduce');
\set ECHO none
SELECT demo.expect('86387 + 47186 tokens for a window of 131072: 44685 are granted',
    array_agg(format('%s %s', status, completion_tokens)), ARRAY['reduced 44685'])
FROM token_mgmt.reservation WHERE user_id = 'alice' \g /dev/null

\echo 'Or keep the completion and fit the messages of the real conversation:'
\set ECHO queries
CREATE TABLE demo.prepared AS
    SELECT p.* FROM demo.conversation c, prepare_request(user_id => 'alice',
        model => 'gpt-oss-120b', messages => c.messages, tools => c.tools,
        completion_tokens => 47186, on_overflow => 'fit', request_id => 'req-7') p;
SELECT status, prompt_tokens, completion_tokens, tokens_held,
    jsonb_array_length(messages) AS messages, dropped, truncated
FROM demo.prepared;
\set ECHO none
SELECT demo.expect('with ''fit'' the completion stays 47186 and the messages are fitted beside it',
    format('%s %s %s', status, completion_tokens, prompt_tokens + completion_tokens <= 131072),
    'fitted 47186 t') FROM demo.prepared \g /dev/null
SELECT demo.expect('... no tool call is torn from its result', demo.torn_calls(messages), 0::bigint)
FROM demo.prepared \g /dev/null
SELECT demo.expect('... a retry with the same request id gets the same messages and grant',
    (p.reservation_id, p.messages, p.completion_tokens)::text,
    (q.reservation_id, q.messages, q.completion_tokens)::text)
FROM demo.prepared q, demo.conversation c, prepare_request(user_id => 'alice',
    model => 'gpt-oss-120b', messages => c.messages, tools => c.tools,
    completion_tokens => 47186, on_overflow => 'fit', request_id => 'req-7') p \g /dev/null
SELECT demo.expect('... and prompt and completion are held once',
    array_agg(r.tokens_held), array_agg(p.prompt_tokens + p.completion_tokens))
FROM demo.prepared p, token_mgmt.open_reservations r WHERE r.request_id = 'req-7' \g /dev/null

\echo 'Or refuse, with the numbers and a way out:'
\set ON_ERROR_STOP off
\set ECHO queries
SELECT *
FROM reserve_tokens('alice', 86387, 47186, model => 'gpt-oss-120b', on_overflow => 'refuse');
\set ECHO none
\set ON_ERROR_STOP on
\echo SQLSTATE: :LAST_ERROR_SQLSTATE
SELECT demo.expect('with ''refuse'' it is TM006',
    :'LAST_ERROR_SQLSTATE' || ': ' || :'LAST_ERROR_MESSAGE',
    'TM006: request does not fit the context window of model "gpt-oss-120b"') \g /dev/null
SELECT demo.expect('... with its numbers', advice ->> 'detail',
    'The window is 131072 tokens: 86387 prompt + 47186 completion = 133573, 2501 too many.')
FROM try_reserve_tokens('alice', 86387, 47186, model => 'gpt-oss-120b', on_overflow => 'refuse')
\g /dev/null
SELECT demo.expect('... and a way out',
    left(advice ->> 'hint', 43), 'Ask for at most 44685 completion tokens, sh')
FROM try_reserve_tokens('alice', 86387, 47186, model => 'gpt-oss-120b', on_overflow => 'refuse')
\g /dev/null
