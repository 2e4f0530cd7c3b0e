\set ECHO queries
SELECT state, tokens_held, expires_at, ended_at FROM token_mgmt.reservation
WHERE user_id = 'daniel' ORDER BY reserved_at DESC LIMIT 1;
SELECT amount, used, held, remaining FROM token_mgmt.quota_status WHERE value = 'daniel';
\set ECHO none
SELECT demo.expect('... and the worker, nobody else, has ended the hold after its time',
    (SELECT format('%s %s', state, ended_at >= expires_at) FROM token_mgmt.reservation
     WHERE user_id = 'daniel' ORDER BY reserved_at DESC LIMIT 1), 'expired t') \g /dev/null
SELECT demo.expect('... its tokens are free again',
    (SELECT format('%s %s %s', used, held, remaining) FROM token_mgmt.quota_status
     WHERE value = 'daniel'), '4350 0 5650') \g /dev/null
