-- What fitting promises for every result, checked on the one for :model.
SELECT demo.expect(format('%s messages are %s tokens, too many for the %s of %s',
    jsonb_array_length(original), n.total, context_window, model), n.total > context_window, true)
FROM demo.fitted f, count_messages(f.model, f.original, f.tools) n
WHERE model = :'model' \g /dev/null
SELECT demo.expect(
    format('... fitted: %s prompt + %s completion', prompt_tokens, completion_tokens),
    prompt_tokens + completion_tokens <= context_window, true)
FROM demo.fitted WHERE model = :'model' \g /dev/null
SELECT demo.expect(format('... a full recount of the result says %s too', prompt_tokens),
    n.high::integer, prompt_tokens)
FROM demo.fitted f, count_messages(f.model, f.messages, f.tools) n
WHERE model = :'model' \g /dev/null
SELECT demo.expect('... no tool call is torn from its result', demo.torn_calls(messages), 0::bigint)
FROM demo.fitted WHERE model = :'model' \g /dev/null
SELECT demo.expect('... the system message and the last user turn are there, whole',
    messages -> 0 = original -> 0
    AND jsonb_path_query_array(messages, '$[*] ? (@.role == "user")') -> -1
        = jsonb_path_query_array(original, '$[*] ? (@.role == "user")') -> -1, true)
FROM demo.fitted WHERE model = :'model' \g /dev/null
SELECT demo.expect('... the receipt accounts for each message', (
    SELECT count(*) FILTER (WHERE r ->> 'action' = 'dropped') = f.dropped
        AND count(*) = jsonb_array_length(f.original)
    FROM jsonb_array_elements(f.receipt) r), true)
FROM demo.fitted f WHERE model = :'model' \g /dev/null
SELECT demo.expect('... what is kept is as it was, in its order', (
    SELECT bool_and(f.original -> index = f.messages -> place::integer) FROM (
        SELECT (r ->> 'index')::integer AS index, r ->> 'action' AS action,
            row_number() OVER (ORDER BY (r ->> 'index')::integer) - 1 AS place
        FROM jsonb_array_elements(f.receipt) r WHERE r ->> 'action' <> 'dropped'
    ) k WHERE action = 'kept'), true)
FROM demo.fitted f WHERE model = :'model' \g /dev/null
SELECT demo.expect('... and fitting the result again changes nothing', again.messages, f.messages)
FROM demo.fitted f, fit_messages(f.messages, f.model, tools => f.tools) again
WHERE model = :'model' \g /dev/null
