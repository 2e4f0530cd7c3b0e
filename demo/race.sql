\echo
\echo '=== 6. 32 sessions reserve at once against one quota of 100,000 tokens'
CREATE TABLE demo.answer (
    session integer, asked integer, status text, sqlstate text, tokens_held bigint
);
\set ECHO queries
SELECT scope, value, period, amount
FROM token_mgmt.set_quota('team', 'reading circle', 'total', 100000);
\set ECHO none
\echo 'Each of 32 connections asks 40 times, as fast as it can, for 2 to 800 tokens:'
\echo 'SELECT * FROM try_reserve_tokens(user, prompt, completion, team => ''reading circle'')'
