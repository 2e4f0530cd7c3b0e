-- Texts cut to so many tokens: parts, boundaries, properties on real text, errors.
\pset null '(null)'
CREATE TABLE essay AS SELECT string_agg(format('Sentence %s of paragraph %s is here.%s', s, p,
    CASE WHEN s = 4 THEN E'\n\n' ELSE ' ' END), '' ORDER BY p, s) AS content
FROM generate_series(1, 5) p, generate_series(1, 4) s;

SELECT tiktoken_truncate('o200k_base', content, 30) FROM essay;
SELECT tiktoken_truncate(encoding => 'gpt-4o', content => content, max_tokens => 20, keep => 'end',
    special_tokens => false) FROM essay;
SELECT tiktoken_truncate('o200k_base', content, 50, 'both') FROM essay;
-- What fits stays as it is; no room for a marker; nothing.
SELECT tiktoken_truncate('cl100k_base', 'It fits.', 3, keep) = 'It fits.' AS stays,
    tiktoken_truncate('cl100k_base', 'one two three four five six', 4, keep) AS four,
    tiktoken_truncate('cl100k_base', 'It fits.', 0, keep) = '' AS nothing
FROM unnest('{start,end,both}'::text[]) keep;
-- Graphemes and names of special tokens stay whole.
SELECT n, tiktoken_truncate('cl100k_base', 'ab👨‍👩‍👧‍👦cd', n) AS family,
    tiktoken_truncate('cl100k_base', 'a <|endoftext|> b', n, special_tokens => true) AS special,
    tiktoken_truncate('cl100k_base', 'a <|endoftext|> b', n) AS ordinary
FROM generate_series(1, 8) n;
SELECT tiktoken_truncate(NULL, 'a', 1) AS a, tiktoken_truncate('r50k_base', NULL, 1) AS b,
    tiktoken_truncate('r50k_base', 'a', NULL) AS c, tiktoken_truncate('r50k_base', 'a', 1, NULL) AS d,
    tiktoken_truncate('r50k_base', 'a', 1, 'start', NULL) AS e;

SELECT chunk_no, tokens, start_offset, replace(c.content, E'\n', '/') AS content
FROM essay, tiktoken_chunks('o200k_base', essay.content, 40) c;
SELECT chunk_no, tokens, start_offset, replace(c.content, E'\n', '/') AS content
FROM essay, tiktoken_chunks(encoding => 'o200k_base', content => essay.content, max_tokens => 40,
    overlap => 12, special_tokens => false) c WHERE chunk_no < 4;
SELECT * FROM tiktoken_chunks('o200k_base', 'It fits.', 3);
SELECT * FROM tiktoken_chunks('o200k_base', '', 3);
SELECT * FROM tiktoken_chunks('o200k_base', NULL, 3);
-- Offsets are characters, and a grapheme that is too large is cut between them.
SELECT * FROM tiktoken_chunks('o200k_base', '日本語の文章を分割します。', 4);
SELECT count(*) > 1 AS cut, string_agg(content, '' ORDER BY chunk_no) = '👨‍👩‍👧‍👦' AS whole
FROM tiktoken_chunks('r50k_base', '👨‍👩‍👧‍👦', 5);

-- On a text of some pages, in every encoding.
CREATE TABLE pages AS SELECT string_agg(format('%s %s%s', md5(n::text), repeat('word ', n % 7),
    CASE n % 5 WHEN 0 THEN E'\n\n' WHEN 1 THEN '. ' WHEN 2 THEN 'ж中🙂' ELSE '-' END), ''
    ORDER BY n) AS content
FROM generate_series(1, 400) n;
SELECT e.encoding, k.keep, bool_and(tiktoken_count(e.encoding, t.cut, false) <= m.most) AS kept,
    bool_and(CASE k.keep WHEN 'start' THEN starts_with(p.content, t.cut)
        WHEN 'end' THEN right(p.content, length(t.cut)) = t.cut ELSE t.cut LIKE '%tokens removed%'
        END) AS is_part
FROM pages p, tiktoken_encodings() e, unnest('{start,end,both}'::text[]) k (keep),
    unnest('{20,100,1000}'::int[]) m (most),
    tiktoken_truncate(e.encoding, p.content, m.most, k.keep) t (cut)
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT e.encoding, bool_and(c.tokens <= 100) AS kept,
    bool_and(c.tokens = tiktoken_count(e.encoding, c.content, false)) AS counted,
    bool_and(substr(p.content, c.start_offset + 1, length(c.content)) = c.content) AS placed,
    string_agg(c.content, '' ORDER BY c.chunk_no) = p.content AS whole
FROM pages p, tiktoken_encodings() e, tiktoken_chunks(e.encoding, p.content, 100) c
GROUP BY e.encoding, p.content ORDER BY 1;

SELECT * FROM show_error($$SELECT tiktoken_truncate('nothing', 'a', 1)$$);
SELECT * FROM show_error($$SELECT tiktoken_truncate('o200k_base', 'a', -1)$$);
SELECT * FROM show_error($$SELECT tiktoken_truncate('o200k_base', 'a', 1, 'middle')$$);
SELECT * FROM show_error($$SELECT * FROM tiktoken_chunks('o200k', 'a', 1)$$);
SELECT * FROM show_error($$SELECT * FROM tiktoken_chunks('o200k_base', 'a', 0)$$);
SELECT * FROM show_error($$SELECT * FROM tiktoken_chunks('o200k_base', 'a', 5, -1)$$);
SELECT * FROM show_error($$SELECT * FROM tiktoken_chunks('o200k_base', 'a', 5, 5)$$);
SELECT * FROM show_error($$SELECT * FROM tiktoken_chunks('r50k_base', 'ab🙂', 1)$$);
SET token_mgmt.max_content_bytes = 1024;
SELECT * FROM show_error($$SELECT tiktoken_truncate('o200k_base', repeat('a', 1025), 1)$$);
SELECT * FROM show_error($$SELECT * FROM tiktoken_chunks('o200k_base', repeat('a', 1025), 1)$$);
RESET token_mgmt.max_content_bytes;
DROP TABLE essay, pages;
