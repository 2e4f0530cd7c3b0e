\echo
\echo '=== 4. A real conversation, too long for both models, made to fit'
\echo 'Two readers and an assistant that fetches chapters of a novel by tool calls.'
\set ECHO queries
SELECT scope.*, n.total AS prompt_tokens
FROM demo.conversation c,
    count_messages('gpt-4o', c.messages, c.tools) n,
    LATERAL (SELECT count(*) AS messages, count(m -> 'tool_calls') AS with_tool_calls,
                 count(*) FILTER (WHERE m ->> 'role' = 'tool') AS tool_results
             FROM jsonb_array_elements(c.messages) m) scope;

SELECT model, encoding, context_window, max_output_tokens
FROM token_mgmt.register_model('gpt-oss-120b', 'o200k_harmony', 131072,
    max_output_tokens => 131072, provider => 'openai')
UNION ALL
SELECT model, encoding, context_window, max_output_tokens
FROM token_mgmt.model WHERE model = 'gpt-4' AND provider = 'openai';

CREATE TABLE demo.fitted AS
    SELECT m.model, m.context_window, c.messages AS original, c.tools, f.*
    FROM demo.conversation c, token_mgmt.model m,
        fit_messages(c.messages, m.model, tools => c.tools) f
    WHERE m.provider = 'openai' AND m.model IN ('gpt-4', 'gpt-oss-120b');
SELECT model, context_window, prompt_tokens, completion_tokens,
    jsonb_array_length(messages) AS kept, dropped, truncated
FROM demo.fitted ORDER BY context_window;
\set ECHO none
\echo 'The receipt says what became of each message, and why:'
\set ECHO queries
SELECT model, r ->> 'action' AS action, r ->> 'rule' AS rule, count(*) AS messages,
    sum((r ->> 'tokens_before')::integer) AS tokens_before,
    sum((r ->> 'tokens_after')::integer) AS tokens_after
FROM demo.fitted, jsonb_array_elements(receipt) r
GROUP BY 1, 2, 3 ORDER BY 1, min((r ->> 'index')::integer);
\set ECHO none
\set model gpt-4
\ir fit_promises.sql
\set model gpt-oss-120b
\ir fit_promises.sql
