\pset null '(null)'
-- In order of score while they fit; the text counted again is what tokens says.
SELECT r.content, r.tokens, r.documents, r.dropped, jsonb_pretty(r.receipt) AS receipt,
    (count_text('gpt-4o', r.content)).high = r.tokens AS recounted
FROM rag_context('[{"id": "a", "content": "Cats sleep most of the day.", "score": 0.2},
    {"id": "b", "content": "Dogs need a walk.", "score": 0.9},
    {"id": "c", "content": "Dogs need a walk.", "score": 0.8},
    {"id": "d", "content": "", "score": 0.7},
    {"id": "e", "content": "Fish need no walk at all.", "score": 0.5}]', 'gpt-4o', 14) r;
-- Without a score for each they stay in order; texts will do.
SELECT content, tokens, documents FROM rag_context('["One.", {"content": "Two.", "score": 1}, "Three."]', 'gpt-4o', 100);
-- Headers and separators count too, and the last one can be cut.
SELECT content, tokens, documents, dropped FROM rag_context('[{"id": "a", "content": "One."}, {"id": 2, "content": "Two."}, "Three."]',
    'gpt-4o', 100, '{"header": "[%s] ", "separator": "\n"}');
SELECT content, tokens, documents, dropped, r.receipt -> 1 AS last
FROM rag_context('["One.", "Two is a sentence of some length. Then there is another, which is left out."]', 'gpt-4o', 15, '{"cut": true}') r;
SELECT * FROM rag_context('["One.", "Two."]', 'gpt-4o', 0);
SELECT * FROM rag_context('[]', 'gpt-4o', 100);
-- Never over the budget, at any size, for texts that meet in odd ways, and where counts are bounds.
WITH documents AS (
    SELECT jsonb_agg(repeat(E'\n', n % 3) || md5(n::text) || repeat(' word', n % 7) || CASE n % 4 WHEN 0 THEN '  '
        WHEN 1 THEN '日本' WHEN 2 THEN '👨‍👩‍👧' ELSE E'\n' END ORDER BY n) AS documents FROM generate_series(1, 60) n
)
SELECT m.model, o.options, bool_and(r.tokens <= b.budget) AS within, bool_and((count_text(m.model, r.content)).high = r.tokens) AS recounted,
    bool_and(r.documents + r.dropped = 60) AS all_told, max(r.documents) AS most
FROM documents d, unnest('{gpt-4o,gpt-4,claude-opus-5}'::text[]) m (model),
    unnest('{"{}", "{\"cut\": true}", "{\"cut\": true, \"separator\": \" \", \"header\": \"%s:\"}"}'::jsonb[]) o (options),
    generate_series(0, 600, 23) b (budget), rag_context(d.documents, m.model, b.budget, o.options) r
GROUP BY 1, 2 ORDER BY 1, 2;

SELECT d.documents, e.* FROM unnest(ARRAY['{}', '[1]', '[{"id": 1}]', '["a", {"content": 5}]', '[{"content": "a", "score": "high"}]',
    '[{"content": "a", "id": []}]']) d (documents), show_error(format('SELECT rag_context(%L, %L, 5)', d.documents, 'gpt-4o')) e;
SELECT * FROM show_error($$SELECT rag_context(NULL, 'gpt-4o', 5)$$);
SELECT * FROM show_error($$SELECT rag_context('[]', 'gpt-4o', NULL)$$);
SELECT * FROM show_error($$SELECT rag_context('[]', 'gpt-4o', -1)$$);
SELECT * FROM show_error($$SELECT rag_context('[]', 'gpt-4x', 1)$$);
SELECT * FROM show_error($$SELECT rag_context('[]', 'gpt-4o', 1, '{"cut": "yes"}')$$);
SELECT * FROM show_error($$SELECT rag_context('[]', 'gpt-4o', 1, '{"glue": ""}')$$);
