\echo
\set ECHO queries
SELECT count(DISTINCT session) AS sessions, count(*) AS requests, sum(asked) AS tokens_asked,
    count(*) FILTER (WHERE status = 'granted') AS granted,
    count(*) FILTER (WHERE status = 'reduced') AS reduced,
    count(*) FILTER (WHERE status = 'denied') AS denied,
    sum(tokens_held) AS tokens_granted
FROM demo.answer;
SELECT amount AS quota, used, held, remaining FROM token_mgmt.quota_status
WHERE scope = 'team' AND value = 'reading circle';
\set ECHO none
SELECT amount - used - held AS remaining FROM token_mgmt.quota_status
WHERE scope = 'team' AND value = 'reading circle' \gset
SELECT demo.expect('32 sessions asked for more than the quota of 100,000',
    (count(DISTINCT session) = 32 AND sum(asked) > 100000), true) FROM demo.answer \g /dev/null
SELECT demo.expect('... every denial among them is a TM001',
    array_agg(DISTINCT sqlstate), ARRAY['TM001'])
FROM demo.answer WHERE status = 'denied' \g /dev/null
SELECT demo.expect('... what they were granted is what the quota holds',
    (SELECT sum(tokens_held) FROM demo.answer), held)
FROM token_mgmt.quota_status WHERE value = 'reading circle' \g /dev/null
SELECT demo.expect('... not one token over the quota', used + held <= amount, true)
FROM token_mgmt.quota_status WHERE value = 'reading circle' \g /dev/null
-- A last request for exactly the rest: what fits is not refused either.
SELECT demo.expect('... and the rest can be had to the last token', coalesce((
    SELECT g.tokens_remaining
    FROM reserve_tokens('reader-0', :remaining, team => 'reading circle') g
    WHERE :remaining > 0), 0), 0::bigint) \g /dev/null
SELECT demo.expect('... after which a single token is denied',
    (SELECT sqlstate FROM try_reserve_tokens('reader-0', 1, team => 'reading circle')), 'TM001')
\g /dev/null
