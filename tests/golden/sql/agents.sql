SELECT clean_books();
\pset null '(null)'
-- The shipped profile, for every tenant; none without an agent.
SELECT jsonb_pretty(token_mgmt._agent_settings('storyteller_32k', 'acme'));
SELECT token_mgmt._agent_settings(NULL, NULL);

-- A new one has the defaults; then only what is given changes.
SELECT * FROM token_mgmt.set_agent('helper', '{}');
SELECT max_context_tokens, max_rag_tokens, max_history_tokens, history_grows, precedence, redact
FROM token_mgmt.set_agent('helper', '{"max_rag_tokens": null, "history_grows": true,
    "precedence": ["system", "user", "rag", "history", "story"], "redact": ["email"]}');
SELECT max_context_tokens, max_rag_tokens, history_grows, summarize_at, keep_images
FROM token_mgmt.set_agent('helper', '{"max_context_tokens": 8000, "summarize_at": 0.5, "keep_images": 2}');
-- One's own profile starts from the shipped one, goes before it, and gives way to it again.
SELECT tenant, max_context_tokens, max_system_tokens
FROM token_mgmt.set_agent('storyteller_32k', '{"max_system_tokens": 5000}');
SELECT token_mgmt._agent_settings('storyteller_32k', t) #> '{sections,system}' AS system
FROM unnest('{default,acme}'::text[]) t;
SELECT token_mgmt.drop_agent('storyteller_32k'), token_mgmt.drop_agent('storyteller_32k');
SELECT token_mgmt._agent_settings('storyteller_32k', NULL) #> '{sections,system}' AS system;
-- A tenant's agents are its own.
SELECT * FROM show_error($$SELECT token_mgmt._agent_settings('helper', 'acme')$$);
SELECT * FROM show_error($$SELECT token_mgmt._agent_settings('helpr', NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt._agent_settings('storyteller', NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt._agent_settings('a text, not a name', NULL)$$);

SELECT * FROM show_error($$SELECT token_mgmt.set_agent(NULL, '{}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_agent('helper', NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_agent('', '{}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_agent('helper', '{}', '*')$$);
SELECT * FROM show_error($$SELECT token_mgmt.drop_agent('storyteller_32k', '*')$$);
SELECT * FROM show_error($$SELECT token_mgmt.drop_agent(NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_agent('helper', '{"max_tokens": 1}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_agent('helper', '[]')$$);
SELECT s.setting, e.sqlstate, e.message, e.detail, e.hint
FROM unnest(ARRAY['{"max_context_tokens": 0}', '{"max_history_tokens": -1}', '{"max_rag_tokens": 1.5}',
    '{"safety_tokens": null}', '{"history_grows": "yes"}', '{"summarize_at": 1.5}', '{"summarize_at": "1"}',
    '{"system_over": "cut"}', '{"block_images": "on"}', '{"precedence": ["system", "user", "story", "rag", "rag"]}',
    '{"redact": ["email", 1]}', '{"max_context_tokens": 2000}', '{"max_user_tokens": 9999999999}']) s (setting),
    show_error(format('SELECT token_mgmt.set_agent(%L, %L)', 'helper', s.setting)) e;
SELECT max_context_tokens, max_rag_tokens, history_grows FROM token_mgmt.agent WHERE agent = 'helper';
SELECT token_mgmt.drop_agent('helper'), token_mgmt.drop_agent('helper');
