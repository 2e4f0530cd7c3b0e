\echo
\echo '=== 7. After the call: settle what it really used, or release it; the rest expires'
SELECT token_mgmt.set_quota('user', 'daniel', 'total', 10000) \g /dev/null
\set ECHO queries
SELECT reservation_id, status, tokens_held, tokens_remaining
FROM reserve_tokens('daniel', 4000, 2000, model => 'gpt-4o') \gx
\set ECHO none
SELECT reservation_id FROM token_mgmt.open_reservations WHERE user_id = 'daniel' \gset
\set ECHO queries
SELECT model, prompt_tokens, completion_tokens, total_tokens, tokens_held, cost, flags
FROM settle_tokens(:'reservation_id', prompt_tokens => 4000, completion_tokens => 350);
SELECT amount, used, held, remaining FROM token_mgmt.quota_status WHERE value = 'daniel';
\set ECHO none
SELECT demo.expect('settled: 4350 of 6000 held tokens are charged, the rest is free again',
    (SELECT format('%s %s %s', used, held, remaining) FROM token_mgmt.quota_status
     WHERE value = 'daniel'), '4350 0 5650') \g /dev/null
SELECT demo.expect('... and the ledger has them, with their cost',
    (SELECT array_agg(format('%s for %s', prompt_tokens + completion_tokens, cost))
     FROM token_mgmt.usage_ledger WHERE user_id = 'daniel'),
    ARRAY[format('4350 for %s', token_cost('gpt-4o', 4000, 350))]) \g /dev/null

\echo 'A call that failed gives its tokens back:'
\set ECHO queries
SELECT reservation_id, tokens_held, tokens_remaining FROM reserve_tokens('daniel', 5000);
\set ECHO none
SELECT reservation_id FROM token_mgmt.open_reservations WHERE user_id = 'daniel' \gset
\set ECHO queries
SELECT * FROM release_tokens(:'reservation_id');
\set ECHO none
SELECT demo.expect('released: nothing is charged, nothing is held',
    (SELECT format('%s %s %s', used, held, remaining) FROM token_mgmt.quota_status
     WHERE value = 'daniel'), '4350 0 5650') \g /dev/null

\echo 'A client that died leaves a hold, here of one second; the worker ends it:'
\set ECHO queries
SELECT reservation_id, tokens_held, tokens_remaining, expires_at
FROM reserve_tokens('daniel', 3000, ttl => '1 second');
\set ECHO none
SELECT demo.expect('forgotten: 3000 tokens are held',
    (SELECT held FROM token_mgmt.quota_status WHERE value = 'daniel'), 3000::numeric) \g /dev/null
