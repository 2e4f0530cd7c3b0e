SELECT clean_books();
SELECT context_window FROM token_mgmt.register_model('small', 'cl100k_base', 300, max_output_tokens => 150);
CREATE TEMP TABLE chat AS SELECT '[{"role": "system", "content": "You are brief."},
    {"role": "user", "content": "I cannot eat peanuts.", "token_mgmt": {"importance": 1}},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "Which cat is the largest?"},
    {"role": "assistant", "content": "The tiger is the largest cat."},
    {"role": "user", "content": "Tell me another joke."},
    {"role": "assistant", "content": "Another bear walks into another bar."},
    {"role": "user", "content": "Who came before Bach?"},
    {"role": "assistant", "content": "His teachers did, among them Buxtehude."},
    {"role": "user", "content": "Where does Rome lie?"},
    {"role": "assistant", "content": "At both banks of its river."},
    {"role": "user", "content": "Is some lion the largest cat?"}]'::jsonb AS messages;

-- Each strategy keeps something else, and the summary stands behind the system messages.
SELECT s AS strategy, jsonb_path_query_array(f.receipt, '$[*] ? (@.action == "kept").index') AS kept, dropped,
    needs_summary, f.messages #>> '{1,content}' AS second
FROM chat, unnest('{recent,middle_out,importance,summary}'::text[]) s,
    fit_messages(messages, 'small', max_prompt_tokens => 100, strategy => s,
        options => '{"cut_step": 0, "summary": "No peanuts."}') f;

-- The shape that comes in comes back.
SELECT f.messages, jsonb_path_query_array(f.receipt, '$[*].action') AS actions
FROM chat, fit_messages(jsonb_build_object('system', 'You are brief.', 'messages', messages - 0), 'small',
    max_prompt_tokens => 40, options => '{"cut_step": 0}') f;
SELECT f.messages
FROM fit_messages('[{"type": "message", "role": "user", "content": "Weather?"},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    {"type": "function_call_output", "call_id": "c9", "output": "lost"}]', 'small') f;
SELECT * FROM check_messages('[{"role": "user", "content": ""}, {"role": "tool", "tool_call_id": "c1", "content": "x"}]');
SELECT * FROM check_messages('{"system": 5, "messages": [{"role": "assistant", "content": "x"}]}');
SELECT count(*) FROM chat, check_messages(messages);

-- A story is cut to its ceiling, the last of the documents goes, and nothing is over its budget.
SELECT max_story_tokens FROM token_mgmt.set_agent('teller', '{"max_context_tokens": 600, "max_system_tokens": 20,
    "max_user_tokens": 20, "max_story_tokens": 100, "max_history_tokens": 30, "max_rag_tokens": 30,
    "max_completion_tokens": 100}');
CREATE TEMP TABLE told AS SELECT jsonb_insert(messages, '{1}', jsonb_build_object('role', 'system', 'content',
        repeat('The dragon lives in the valley. ', 40), 'token_mgmt', '{"section": "story"}'::jsonb))
    || '[{"role": "user", "content": "Dragons sleep by day, whatever the weather, and fly by night.",
            "token_mgmt": {"section": "rag"}},
         {"role": "user", "content": "Dragons eat sheep, and cats, and lions, and sometimes a tiger.",
            "token_mgmt": {"section": "rag"}}]' AS messages FROM chat;
SELECT e.* FROM told, explain_fit(messages, 'gpt-4o', agent => 'teller') e;
SELECT r -> 'index' AS index, r ->> 'action' AS action, r ->> 'rule' AS rule, r ->> 'tokens_after' AS tokens
FROM told, fit_messages(messages, 'gpt-4o', agent => 'teller') f, jsonb_array_elements(f.receipt) r;

-- The user's input is never cut, and the system section borrows unless the agent refuses.
SELECT * FROM show_error($$SELECT fit_messages(jsonb_build_array(jsonb_build_object('role', 'user',
    'content', repeat('word ', 40))), 'gpt-4o', agent => 'teller')$$);
SELECT f.status, f.warnings FROM fit_messages(jsonb_build_array(jsonb_build_object('role', 'system',
    'content', repeat('word ', 40)), '{"role": "user", "content": "x"}'::jsonb), 'gpt-4o', agent => 'teller') f;
SELECT system_over FROM token_mgmt.set_agent('teller', '{"system_over": "refuse"}');
SELECT * FROM show_error($$SELECT fit_messages(jsonb_build_array(jsonb_build_object('role', 'system',
    'content', repeat('word ', 40)), '{"role": "user", "content": "x"}'::jsonb), 'gpt-4o', agent => 'teller')$$);
SELECT * FROM show_error($$SELECT prepare_request('u', 'gpt-4o', jsonb_build_array(jsonb_build_object('role', 'user',
    'content', repeat('word ', 40))), agent => 'teller')$$);

SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x"}]', 'small', agent => 'nobody')$$);
SELECT * FROM show_error($$SELECT fit_messages('[{"role": "user", "content": "x", "token_mgmt": {"section": "z"}}]', 'small')$$);
SELECT * FROM show_error($$SELECT check_messages(NULL)$$);
SELECT * FROM show_error($$SELECT check_messages('5')$$);
SELECT * FROM show_error($$SELECT check_messages('[]', 'telegram')$$);
SELECT * FROM show_error($$SELECT explain_fit(NULL, 'small')$$);
SELECT token_mgmt.drop_agent('teller');
SELECT clean_books();
