\echo
\echo '=== 9. Every balance recomputed from reservations and ledger: no rows, so nothing differs'
\set ECHO queries
SELECT * FROM token_mgmt.audit();
\set ECHO none
SELECT demo.expect('audit() returns no rows', (SELECT count(*) FROM token_mgmt.audit()), 0::bigint)
\g /dev/null

\echo
\echo '=== All promises kept'
\pset format unaligned
\pset tuples_only on
SELECT regexp_replace('  ✓ ' || promise, '^  ✓ \.\.\.', '    ✓')
FROM demo.promise ORDER BY promise_id;
