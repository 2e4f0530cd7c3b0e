SELECT clean_books();
SET client_min_messages = error;
SELECT count(*) FROM add_message('m1', 'user', 'Hello!', model => 'gpt-4o', user_id => 'alice') a;
SELECT count(*) FROM add_message('m1', 'assistant', 'Hello, Alice.');
SELECT count(*) FROM add_message('m2', 'user', 'Are you there?', user_id => 'alice');
SELECT total_tokens, cost FROM prepare_request('alice', 'gpt-4o', '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]', 100,
    session_id => 'm1') p, settle_tokens(p.reservation_id, p.prompt_tokens, 20, 5);
SELECT total_tokens, cost FROM reserve_tokens('alice', 1000, 50, model => 'gpt-4o-mini', session_id => 'm1') r, settle_tokens(r.reservation_id, 1000, 50);
SELECT total_tokens, cost FROM reserve_tokens('alice', 10, 5, session_id => 'elsewhere') r, settle_tokens(r.reservation_id, 10, 5);
SELECT total_tokens FROM reserve_tokens('bob', 10, 5, session_id => 'm1', tenant => 'acme') r, settle_tokens(r.reservation_id, 10, 5);
SELECT jsonb_pretty(session_metrics('m1'));
SELECT jsonb_pretty(user_metrics('alice'));
-- A cost that is not known is no cost of 0, here as in usage_report().
SELECT user_id, calls, unpriced_calls, cost FROM usage_report() UNION ALL SELECT user_id, calls, unpriced_calls, cost FROM usage_report(tenant => 'acme');
SELECT m -> 'totalCost' AS cost, m #> '{breakdown,models}' AS models FROM session_metrics('elsewhere') m;
SELECT m - 'breakdown' AS metrics FROM unnest(ARRAY[user_metrics('alice', now() + interval '1 hour'), user_metrics('alice', now() - interval '1 hour'),
    user_metrics('nobody'), user_metrics('bob', NULL, 'acme'), session_metrics('elsewhere'), session_metrics('m2'), session_metrics('m1', 'acme')]) m;
SELECT * FROM show_error($$SELECT session_metrics(NULL)$$);
SELECT * FROM show_error($$SELECT session_metrics('none')$$);
SELECT * FROM show_error($$SELECT user_metrics(NULL)$$);
