\echo
\echo '=== 8. The minute of part 2 is over: the worker has closed it and opened the next'
\set ECHO queries
SELECT starts_at, ends_at, allowance, used, closed_at IS NOT NULL AS closed
FROM demo.minute_period;
SELECT status, tokens_held, tokens_remaining FROM reserve_tokens('margaret', 600);
SELECT job, status, runs, last_duration, rows_done, last_error FROM token_mgmt.worker_status;
\set ECHO none
SELECT demo.expect('reset: the worker has closed the minute in which 600 tokens were used',
    (SELECT format('%s %s', used, closed_at >= ends_at) FROM demo.minute_period LIMIT 1), '600 t')
\g /dev/null
SELECT demo.expect('... has opened the next, where 600 tokens are granted again',
    (SELECT count(*) > 1 AND max(held) = 600 FROM demo.minute_period), true) \g /dev/null
SELECT demo.expect('... and has met no error', last_error, NULL) FROM token_mgmt.worker_status
WHERE job = 'worker'
\g /dev/null
