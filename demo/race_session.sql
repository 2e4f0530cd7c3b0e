\set prompt random(1, 400)
\set completion random(1, 400)
INSERT INTO demo.answer (session, asked, status, sqlstate, tokens_held)
SELECT :client_id, :prompt + :completion, g.status, g.sqlstate, g.tokens_held
FROM try_reserve_tokens('reader-' || :client_id, :prompt, :completion, team => 'reading circle') g;
