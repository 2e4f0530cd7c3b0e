-- Summaries of texts, and long conversations in parts.
CREATE TABLE article AS SELECT 'The quota of a tenant limits its tokens. It rained in the morning. '
    'A reservation holds tokens of the quota until it is settled or released.' || E'\n\n' ||
    'The quota is a number of tokens for a period. Lunch was good. When the period ends, the '
    'tokens of the quota start anew. Nobody knows why.' AS content;
SELECT max_tokens, extractive_summary(content, 'gpt-4o', max_tokens) AS summary
FROM article, unnest('{0,1,4,12,24,48,100}'::int[]) max_tokens;
-- Never more than the model's upper bound.
SELECT model, bool_and((count_text(model, extractive_summary(content, model, n))).high <= n) AS kept
FROM article, unnest('{gpt-4o,claude-sonnet-4-5}'::text[]) model, generate_series(0, 80) n
GROUP BY model ORDER BY model;
SELECT extractive_summary(content => '配额限制令牌的数量。今天天气很好。令牌的配额在期间结束时重新开始。',
    model => 'gpt-4o', max_tokens => 18);
SELECT extractive_summary('', 'gpt-4o', 10) = '' AS empty;

CREATE TABLE talk AS SELECT '[{"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Rome?"},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "sunny, 25 degrees"},
    {"role": "assistant", "content": "Sunny."},
    {"role": "user", "content": "And in Oslo?"}, {"role": "assistant", "content": "No idea."},
    {"role": "user", "content": "Thank you."}]'::jsonb AS messages;
SELECT max_tokens, chunk_no, tokens, first_index, last_index,
    (count_messages('gpt-4o', c.messages)).total = tokens AS counted
FROM talk, unnest('{1000,80,40}'::int[]) max_tokens,
    chunk_messages(messages => talk.messages, model => 'gpt-4o', max_tokens => max_tokens) c
ORDER BY max_tokens DESC, chunk_no;
SELECT c.* FROM talk, chunk_messages(talk.messages, 'gpt-4o', 20) c;

-- Items of the Responses API: a call stays with its result, whatever comes between.
SELECT chunk_no, tokens, first_index, last_index FROM chunk_messages('[{"type": "message", "role": "user", "content": "Weather?"},
    {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}, {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a", "output": "sunny"}, {"type": "message", "role": "user", "content": "And tomorrow?"},
    {"type": "function_call_output", "call_id": "b", "output": "rain"}, {"type": "message", "role": "assistant", "content": "Rain."}]', 'gpt-4o', 40);

SELECT * FROM show_error($$SELECT extractive_summary(NULL, 'gpt-4o', 1)$$);
SELECT * FROM show_error($$SELECT extractive_summary('a', NULL, -1)$$);
SELECT * FROM show_error($$SELECT extractive_summary('a', 'gpt-4o', NULL)$$);
SELECT * FROM show_error($$SELECT extractive_summary('a', 'gpt-4o', -1)$$);
SELECT * FROM show_error($$SELECT extractive_summary('a', 'nothing', 1)$$);
SELECT * FROM show_error($$SELECT chunk_messages(NULL, 'gpt-4o', 1)$$);
SELECT * FROM show_error($$SELECT chunk_messages('[{"role": "user"}]', 'gpt-4o', NULL)$$);
SELECT * FROM show_error($$SELECT chunk_messages('[]', 'gpt-4o', 1)$$);
SELECT * FROM show_error($$SELECT chunk_messages('{}', 'gpt-4o', 1)$$);
SELECT * FROM show_error($$SELECT chunk_messages('[]', 'gpt-4o', 0)$$);
DROP TABLE article, talk;
