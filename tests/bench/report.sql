-- Medians of the rounds. A ratio compares what ran in turns in this run.
\set QUIET on
\pset footer off
\pset null ''

CREATE TEMPORARY VIEW median AS
SELECT part, subject, variant,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value, count(*) AS rounds
FROM bench.measure GROUP BY part, subject, variant;

\echo
\echo 'Counting, o200k_base: tiktoken_count() in a warm backend against the same count outside'
SELECT split_part(q.subject, '-', 1) AS text,
    split_part(q.subject, '-', 2)::integer AS characters,
    round((q.value * 1e6 / t.texts)::numeric, 1) AS sql_us_per_call,
    round((q.value * 1e9 / t.bytes)::numeric, 0) AS sql_ms_per_mb,
    round((t.bytes / q.value / 1e6)::numeric, 2) AS sql_mb_per_s,
    round((q.value / c.value)::numeric, 2) AS "time / token_core",
    round((q.value / o.value)::numeric, 2) AS "time / tiktoken-rs"
FROM median q
JOIN median c ON (c.part, c.subject, c.variant) = ('count', q.subject, 'token_core')
JOIN median o ON (o.part, o.subject, o.variant) = ('count', q.subject, 'tiktoken_rs')
CROSS JOIN LATERAL (
    SELECT count(*) AS texts, sum(octet_length(content)) AS bytes FROM bench.text b
    WHERE b.kind || '-' || b.size = q.subject) t
WHERE q.part = 'count' AND q.variant = 'sql'
ORDER BY 1 DESC, 2;

\echo 'First count of a fresh process (a backend, or a program outside), in ms'
SELECT q.subject AS encoding,
    round((q.value * 1e3)::numeric, 1) AS sql_ms,
    round((c.value * 1e3)::numeric, 1) AS token_core_ms,
    round((o.value * 1e3)::numeric, 1) AS tiktoken_rs_ms,
    round((q.value / c.value)::numeric, 2) AS "time / token_core",
    round((q.value / o.value)::numeric, 2) AS "time / tiktoken-rs"
FROM median q
JOIN median c ON (c.part, c.subject, c.variant) = ('first', q.subject, 'token_core')
JOIN median o ON (o.part, o.subject, o.variant) = ('first', q.subject, 'tiktoken_rs')
WHERE q.part = 'first' AND q.variant = 'sql'
ORDER BY 1;

\echo 'Reserve + settle: pairs per second, and as a ratio to the same written by hand'
\echo '(by_hand: BEGIN, UPDATE, INSERT, COMMIT, twice; joined: both in one statement, twice)'
SELECT split_part(b.subject, '-', 1) AS users, split_part(b.subject, '-', 2)::integer AS clients,
    round(b.value) AS books, round(m.value) AS books_with_model,
    round(h.value) AS by_hand, round(j.value) AS joined,
    round((b.value / h.value)::numeric, 2) AS "books / by_hand",
    round((m.value / h.value)::numeric, 2) AS "with_model / by_hand",
    round((b.value / j.value)::numeric, 2) AS "books / joined"
FROM median b
LEFT JOIN median m ON (m.part, m.subject, m.variant) = ('pair', b.subject, 'books_model')
JOIN median h ON (h.part, h.subject, h.variant) = ('pair', b.subject, 'by_hand')
JOIN median j ON (j.part, j.subject, j.variant) = ('pair', b.subject, 'by_hand_joined')
WHERE b.part = 'pair' AND b.variant = 'books'
ORDER BY 1 DESC, 2;

\echo 'fit_messages() to gpt-4o, against counting the text of the same messages once'
SELECT f.subject::integer AS messages, round((y.value / 1e6)::numeric, 2) AS mb,
    k.value AS kept, round((f.value * 1e3)::numeric, 1) AS ms,
    round((f.value / c.value)::numeric, 2) AS "time / tiktoken_count",
    round((f.value / lag(f.value) OVER (ORDER BY f.subject::integer))::numeric, 1)
        AS "growth for 10 times as many"
FROM median f
JOIN median c ON (c.part, c.subject, c.variant) = ('fit', f.subject, 'count_only')
JOIN median y ON (y.part, y.subject, y.variant) = ('fit', f.subject, 'bytes')
JOIN median k ON (k.part, k.subject, k.variant) = ('fit', f.subject, 'kept')
WHERE f.part = 'fit' AND f.variant = 'fit'
ORDER BY 1;
