-- The goals, what this run measured, and whether it meets them: a table in Markdown.
\set QUIET on
SET client_min_messages = warning;

CREATE TEMPORARY VIEW median AS
SELECT part, subject, variant, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value
FROM bench.measure GROUP BY part, subject, variant;

CREATE TEMPORARY TABLE goal (
    goal_id integer GENERATED ALWAYS AS IDENTITY,
    what text NOT NULL,
    goal text NOT NULL,
    figures text NOT NULL,
    met boolean
);

CREATE FUNCTION pg_temp.value(part text, subject text, variant text) RETURNS float
    LANGUAGE sql
    RETURN (SELECT m.value FROM median m WHERE (m.part, m.subject, m.variant) = ($1, $2, $3));

-- Three digits or more.
CREATE FUNCTION pg_temp.show(number float) RETURNS text
    LANGUAGE sql
    RETURN round(number::numeric, CASE
        WHEN abs(number) < 0.9995 THEN 3 WHEN abs(number) < 9.995 THEN 2
        WHEN abs(number) < 99.95 THEN 1 ELSE 0 END)::text;

-- Compares what is shown: 1.00 is no slower.
CREATE FUNCTION pg_temp.shown(number float) RETURNS float
    LANGUAGE sql
    RETURN pg_temp.show(number)::float;

INSERT INTO goal (what, goal, figures, met)
SELECT 'first `tiktoken_count` in a fresh backend, nothing preloaded, ' || encoding,
    'less than 1 ms more than the second',
    format('%s ms more; the first %s ms in all, %s ms of it to load the library',
        pg_temp.show(difference), pg_temp.show(first), pg_temp.show(difference - loaded)),
    difference < 1
FROM unnest(ARRAY['cl100k_base', 'o200k_base']) encoding,
    LATERAL (SELECT pg_temp.value('first', encoding, 'cold_difference') * 1e3,
        pg_temp.value('first', encoding, 'cold_first') * 1e3,
        pg_temp.value('first', encoding, 'loaded_difference') * 1e3) v (difference, first, loaded);

-- Beside a backend that counts too, as in a server that is used. Where none does, the pages of the
-- library's file that were read count as private: they are shown, and not judged.
INSERT INTO goal (what, goal, figures, met)
SELECT g.what, g.goal,
    format('anonymous %s MB, private %s MB; pages of the library make it %s MB while no other '
        'backend counts', pg_temp.show(anonymous), pg_temp.show(private), pg_temp.show(alone)),
    greatest(private, anonymous) <= g.most
FROM (VALUES
    (1, 'private memory of a backend after it, cl100k_base', 'under 0.5 MB', 0.4999,
        'cl100k_base/%s/first'),
    (2, 'private memory of a backend after it, o200k_base', 'under 0.5 MB', 0.4999,
        'o200k_base/%s/first'),
    (3, 'the same after 100,000 messages in six encodings', 'at most 4 MB', 4, 'load/%s/messages'),
    (4, 'the same after hostile texts of 1 MB in six encodings, too', 'at most 4 MB', 4,
        'load/%s/hostile')
) g (n, what, goal, most, subject),
    LATERAL (SELECT pg_temp.value('memory', format(g.subject, 'beside'), 'private') / 1e6,
        pg_temp.value('memory', format(g.subject, 'beside'), 'anonymous') / 1e6,
        pg_temp.value('memory', format(g.subject, 'alone'), 'private') / 1e6)
        v (private, anonymous, alone)
ORDER BY g.n;

CREATE TEMPORARY VIEW throughput AS
SELECT split_part(subject, '/', 1) AS encoding, split_part(subject, '/', 2) AS text, variant AS peer,
    value AS ratio
FROM median WHERE part = 'throughput';

INSERT INTO goal (what, goal, figures, met)
SELECT format('throughput, %s, %s', g.encoding, g.words),
    CASE WHEN g.least = 1 THEN 'no slower than ' || g.peer
        WHEN g.least > 1 THEN format('at least %s times as fast as %s', g.least, g.peer)
        ELSE format('(times as fast as %s)', g.peer) END,
    string_agg(t.text || ': ' || pg_temp.show(t.ratio), '; ' ORDER BY t.text),
    bool_and(pg_temp.shown(t.ratio) >= g.least)
FROM (VALUES
    (1, 'cl100k_base', 'English and code', '^(English|code),', 'tiktoken-rs', 12),
    (2, 'cl100k_base', 'English and code', '^(English|code),', 'toktok-rs', 1),
    (3, 'o200k_base', 'English and code', '^(English|code),', 'tiktoken-rs', 8),
    (4, 'o200k_base', 'English and code', '^(English|code),', 'toktok-rs', NULL),
    (5, 'cl100k_base', 'other texts', '^(JSON|Chinese|Japanese|Arabic|emoji)', 'tiktoken-rs', 4),
    (6, 'o200k_base', 'other texts', '^(JSON|Chinese|Japanese|Arabic|emoji)', 'tiktoken-rs', 3)
) g (n, encoding, words, texts, peer, least)
LEFT JOIN throughput t ON t.encoding = g.encoding AND t.peer = g.peer AND t.text ~ g.texts
GROUP BY g.n, g.encoding, g.words, g.peer, g.least
ORDER BY g.n;

INSERT INTO goal (what, goal, figures, met)
SELECT format('hostile texts, 1 MB, %s', s.encoding),
    'at most 12 times as long as 100 KB, and under 400 ms',
    string_agg(format('%s: %s times, %s ms', s.text, pg_temp.show(s.growth),
        pg_temp.show(s.seconds * 1e3)), '; ' ORDER BY s.seconds DESC),
    bool_and(pg_temp.shown(s.growth) <= 12 AND s.seconds < 0.4)
FROM (
    SELECT split_part(g.subject, '/', 1), split_part(g.subject, '/', 2), g.value, m.value
    FROM median g JOIN median m USING (part, subject)
    WHERE part = 'hostile' AND g.variant = 'growth' AND m.variant = 'seconds'
) s (encoding, text, growth, seconds)
GROUP BY s.encoding
ORDER BY s.encoding;

INSERT INTO goal (what, goal, figures, met)
SELECT '`sum(tiktoken_count(…))` over 100,000 messages of 300 characters, ' || encoding,
    'at least 0.85 of the engine''s throughput outside',
    format('%s; %s without the scan of the table; %s by default settings (jit and parallel workers)',
        pg_temp.show(ratio), pg_temp.show(net), pg_temp.show(defaults)),
    ratio >= 0.85
FROM unnest(ARRAY['cl100k_base', 'o200k_base']) encoding,
    LATERAL (SELECT pg_temp.value('messages', encoding, 'ratio'),
        pg_temp.value('messages', encoding, 'ratio_net'),
        pg_temp.value('messages', encoding, 'ratio_defaults')) v (ratio, net, defaults);

-- A function against a function, each by the clock of the program that has its input. What a client
-- sees in addition, JSON text in and out or Python's objects, is shown.
INSERT INTO goal (what, goal, figures, met)
SELECT '`fit_messages` on 1,000 messages, 1 MB, to half, gpt-4o',
    format('at least 50 times as fast as `trim_messages` of %s', p.name),
    format('%s: %s ms, and %s s by %s; %s for a client that sends and gets JSON text (%s ms), %s '
        'for one with Python''s objects', pg_temp.show(peer / server), pg_temp.show(server * 1e3),
        pg_temp.show(peer), p.name, pg_temp.show(peer / client), pg_temp.show(client * 1e3),
        pg_temp.show(peer / objects)),
    pg_temp.shown(peer / server) >= 50
FROM (VALUES (1, 'LangChain', 'langchain'), (2, 'LiteLLM', 'litellm')) p (n, name, variant),
    LATERAL (SELECT pg_temp.value('fit_peers', '1000', p.variant),
        pg_temp.value('fit_peers', '1000', 'client'), pg_temp.value('fit_peers', '1000', 'server'),
        pg_temp.value('fit_peers', '1000', 'client_objects')) v (peer, client, server, objects)
WHERE peer IS NOT NULL
ORDER BY p.n;

INSERT INTO goal (what, goal, figures, met)
SELECT '`fit_messages` on 10,000 messages, 11 MB, to half',
    'at most 12 times as long as on 1,000',
    string_agg(format('%s: %s times, %s ms', s.strategy, pg_temp.show(s.growth),
        pg_temp.show(s.seconds * 1e3)), '; ' ORDER BY s.n),
    bool_and(pg_temp.shown(s.growth) <= 12)
FROM (
    SELECT n, strategy, large, large / pg_temp.value('fit_half', strategy || '/1000', 'fit')
    FROM unnest(ARRAY['recent', 'middle_out', 'importance', 'summary'])
        WITH ORDINALITY strategy (strategy, n),
        LATERAL pg_temp.value('fit_half', strategy || '/10000', 'fit') large
) s (n, strategy, seconds, growth);

-- A tenth more, for the copy and the receipt, is called the same cost.
INSERT INTO goal (what, goal, figures, met)
SELECT '`fit_messages` on what fits already',
    'at most 1.1 times as long as `count_messages`, and the very same bytes back',
    string_agg(format('%s messages: %s times, %s ms, %s', s.size, pg_temp.show(s.ratio),
        pg_temp.show(s.seconds * 1e3), CASE WHEN s.same THEN 'same' ELSE 'other bytes' END),
        '; ' ORDER BY s.size),
    bool_and(pg_temp.shown(s.ratio) <= 1.1 AND s.same)
FROM (
    SELECT f.subject::integer, f.value, f.value / pg_temp.value('fit_whole', f.subject, 'count'),
        (SELECT min(m.value) = 1 FROM bench.measure m
         WHERE (m.part, m.subject, m.variant) = ('fit_whole', f.subject, 'same'))
    FROM median f WHERE (f.part, f.variant) = ('fit_whole', 'fit')
) s (size, seconds, ratio, same);

INSERT INTO goal (what, goal, figures, met)
SELECT 'reserve + settle, 10,000 users',
    'no slower than `BEGIN`, `UPDATE`, `INSERT`, `COMMIT` by hand, twice',
    string_agg(format('%s clients: %s times as many pairs, %s/s (their statements without any rule: '
        '%s)', c, pg_temp.show(books / by_hand), pg_temp.show(books),
        pg_temp.show(bare / by_hand)), '; ' ORDER BY c),
    bool_and(pg_temp.shown(books / by_hand) >= 1)
FROM unnest(ARRAY[8, 32]) c,
    LATERAL (SELECT pg_temp.value('pair', 'user-' || c, 'books'),
        pg_temp.value('pair', 'user-' || c, 'by_hand'),
        pg_temp.value('pair', 'user-' || c, 'bare')) v (books, by_hand, bare);

INSERT INTO goal (what, goal, figures, met)
SELECT 'reserve + settle of one user by 32 clients, quota in 32 slots',
    'at least 0.9 times as many as of 10,000 users',
    format('%s times, %s/s; in one row %s/s', pg_temp.show(slots / spread), pg_temp.show(slots),
        pg_temp.show(pg_temp.value('pair', 'hot-32', 'books'))),
    pg_temp.shown(slots / spread) >= 0.9
FROM (SELECT pg_temp.value('pair', 'split-32', 'books'),
    pg_temp.value('pair', 'user-32', 'books')) v (slots, spread);

-- As with whole conversations, a tenth more is called the same.
INSERT INTO goal (what, goal, figures, met)
SELECT format('reserve + settle, %s', CASE g.what
        WHEN 'ledger' THEN format('ledger empty and with %s rows', n)
        ELSE format('10 and %s users', n) END),
    'at most 1.1 times as long',
    format('%s times, %s ms', pg_temp.show(small / large), pg_temp.show(1000 / large)),
    pg_temp.shown(small / large) <= 1.1
FROM (VALUES ('ledger', 'empty', 'full'), ('users', 'few', 'many'))
    g (what, small_size, large_size),
    LATERAL (SELECT to_char(pg_temp.value('scale', g.what, 'rows'), 'FM999,999,999'),
        pg_temp.value('scale', g.what || '/' || g.small_size, 'books'),
        pg_temp.value('scale', g.what || '/' || g.large_size, 'books')) v (n, small, large);

INSERT INTO goal (what, goal, figures, met)
VALUES
    ('building the tables, once in a clean build', '(seconds)',
        format('%s s, for %s MB of tables', pg_temp.show(pg_temp.value('build', 'tables', 'seconds')),
            pg_temp.show(pg_temp.value('build', 'tables', 'bytes') / 1e6)), NULL),
    ('size of the library', 'under 80 MB',
        format('%s MB', pg_temp.show(pg_temp.value('build', 'library', 'bytes') / 1e6)),
        pg_temp.value('build', 'library', 'bytes') < 80e6);

\echo '| what | goal | this run | |'
\echo '|---|---|---|---|'
SELECT format('| %s | %s | %s | %s |', what, goal, coalesce(figures, '-'),
    CASE WHEN met THEN 'met' WHEN NOT met THEN 'not met' ELSE '-' END)
FROM goal ORDER BY goal_id;
