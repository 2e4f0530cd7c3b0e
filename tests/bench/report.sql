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
JOIN median o ON (o.part, o.subject, o.variant) = ('count', q.subject, 'tiktoken-rs')
CROSS JOIN LATERAL (
    SELECT count(*) AS texts, sum(octet_length(content)) AS bytes FROM bench.text b
    WHERE b.kind || '-' || b.size = q.subject) t
WHERE q.part = 'count' AND q.variant = 'sql'
ORDER BY 1 DESC, 2;

\echo 'First call of tiktoken_count() in a fresh backend that does not preload the library, in ms'
\echo '(client: SELECT of a value of a table, as the client sees it; length: the same with length())'
SELECT f.subject AS encoding,
    round((f.value * 1e3)::numeric, 3) AS first,
    round((s.value * 1e3)::numeric, 3) AS second,
    round((d.value * 1e3)::numeric, 3) AS difference,
    round((l.value * 1e3)::numeric, 3) AS difference_loaded_before,
    round(((d.value - l.value) * 1e3)::numeric, 3) AS loading,
    round((a.value * 1e3)::numeric, 2) AS client_first,
    round((b.value * 1e3)::numeric, 2) AS client_second,
    round((c.value * 1e3)::numeric, 2) AS client_first_length,
    f.rounds AS connections
FROM median f
JOIN median s ON (s.part, s.subject, s.variant) = ('first', f.subject, 'cold_second')
JOIN median d ON (d.part, d.subject, d.variant) = ('first', f.subject, 'cold_difference')
JOIN median l ON (l.part, l.subject, l.variant) = ('first', f.subject, 'loaded_difference')
JOIN median a ON (a.part, a.subject, a.variant) = ('first', f.subject, 'client_first')
JOIN median b ON (b.part, b.subject, b.variant) = ('first', f.subject, 'client_second')
JOIN median c ON (c.part, c.subject, c.variant) = ('first', 'length', 'client_first')
WHERE f.part = 'first' AND f.variant = 'cold_first'
ORDER BY 1;

\echo 'Memory of a backend beyond that of one that called length() instead, in MB'
\echo '(alone: no other backend has the library; beside: one has counted the same)'
SELECT split_part(a.subject, '/', 1) AS what, split_part(a.subject, '/', 3) AS after,
    split_part(a.subject, '/', 2) AS backend,
    round((p.value / 1e6)::numeric, 2) AS private, round((a.value / 1e6)::numeric, 2) AS anonymous
FROM median a
JOIN median p ON (p.part, p.subject, p.variant) = ('memory', a.subject, 'private')
WHERE a.part = 'memory' AND a.variant = 'anonymous'
ORDER BY 1, 2, 3;

\echo 'sum(tiktoken_count()) of 100,000 messages of 300 characters, in ms (jit and parallel workers off)'
SELECT q.subject AS encoding,
    (SELECT round(sum(octet_length(content)) / 1e6, 1) FROM bench.message) AS mb,
    round((o.value * 1e3)::numeric) AS token_core,
    round((q.value * 1e3)::numeric) AS sql,
    round((s.value * 1e3)::numeric) AS scan_alone,
    round((d.value * 1e3)::numeric) AS sql_by_default_settings,
    round(r.value::numeric, 2) AS "token_core / sql",
    round(n.value::numeric, 2) AS "token_core / (sql - scan)",
    round(e.value::numeric, 2) AS "token_core / by_default"
FROM median q
JOIN median o ON (o.part, o.subject, o.variant) = ('messages', q.subject, 'outside')
JOIN median s ON (s.part, s.subject, s.variant) = ('messages', q.subject, 'scan')
JOIN median d ON (d.part, d.subject, d.variant) = ('messages', q.subject, 'defaults')
JOIN median r ON (r.part, r.subject, r.variant) = ('messages', q.subject, 'ratio')
JOIN median n ON (n.part, n.subject, n.variant) = ('messages', q.subject, 'ratio_net')
JOIN median e ON (e.part, e.subject, e.variant) = ('messages', q.subject, 'ratio_defaults')
WHERE q.part = 'messages' AND q.variant = 'sql'
ORDER BY 1;

\echo 'Reserve + settle: pairs per second, and as a ratio to the same written by hand'
\echo '(by_hand: BEGIN, UPDATE, INSERT, COMMIT, twice; joined: both in one statement, twice; bare: the'
\echo 'statements that write the books, on their tables, without any rule)'
SELECT split_part(b.subject, '-', 1) AS users, split_part(b.subject, '-', 2)::integer AS clients,
    round(b.value) AS books, round(m.value) AS books_with_model,
    round(h.value) AS by_hand, round(j.value) AS joined, round(f.value) AS bare,
    round((b.value / h.value)::numeric, 2) AS "books / by_hand",
    round((m.value / h.value)::numeric, 2) AS "with_model / by_hand",
    round((b.value / j.value)::numeric, 2) AS "books / joined",
    round((f.value / h.value)::numeric, 2) AS "bare / by_hand"
FROM median b
LEFT JOIN median m ON (m.part, m.subject, m.variant) = ('pair', b.subject, 'books_model')
JOIN median h ON (h.part, h.subject, h.variant) = ('pair', b.subject, 'by_hand')
JOIN median j ON (j.part, j.subject, j.variant) = ('pair', b.subject, 'by_hand_joined')
LEFT JOIN median f ON (f.part, f.subject, f.variant) = ('pair', b.subject, 'bare')
WHERE b.part = 'pair' AND b.variant = 'books'
ORDER BY 1 DESC, 2;

\echo 'Reserve + settle of one user at its quota in 32 slots, against one row and spread users'
SELECT split_part(s.subject, '-', 2)::integer AS clients, round(s.value) AS slots,
    round(h.value) AS one_row, round(u.value) AS spread,
    round((s.value / u.value)::numeric, 2) AS "slots / spread"
FROM median s
JOIN median h ON (h.part, h.subject, h.variant)
    = ('pair', replace(s.subject, 'split', 'hot'), 'books')
JOIN median u ON (u.part, u.subject, u.variant)
    = ('pair', replace(s.subject, 'split', 'user'), 'books')
WHERE s.part = 'pair' AND s.subject LIKE 'split-%' AND s.variant = 'books'
ORDER BY 1;

\echo 'Reserve + settle by one client as the books grow, in ms a pair'
\echo '(synchronous_commit off; ledger: rows in it, and half as many reservations; users: with a quota'
\echo 'and a period each)'
SELECT split_part(m.subject, '/', 1) AS what, split_part(m.subject, '/', 2) AS size,
    CASE m.subject WHEN 'ledger/empty' THEN 0 WHEN 'users/few' THEN 10 ELSE r.value END AS rows,
    round((1000 / m.value)::numeric, 2) AS ms
FROM median m
JOIN median r ON (r.part, r.subject, r.variant)
    = ('scale', split_part(m.subject, '/', 1), 'rows')
WHERE m.part = 'scale' AND m.variant = 'books'
ORDER BY 1, 3;

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

\echo 'fit_messages() to half of the tokens, and of what fits already against count_messages(), in ms'
\echo '(whole / count: fitting what fits already, as a ratio to counting it)'
SELECT f.size AS messages, f.recent, f.middle_out, f.importance, f.summary,
    round((w.value * 1e3)::numeric, 1) AS whole, round((c.value * 1e3)::numeric, 1) AS count,
    round((w.value / c.value)::numeric, 2) AS "whole / count",
    s.value = 1 AS same_bytes
FROM (
    SELECT split_part(subject, '/', 2)::integer AS size,
        max(ms) FILTER (WHERE subject ~ '^recent/') AS recent,
        max(ms) FILTER (WHERE subject ~ '^middle_out/') AS middle_out,
        max(ms) FILTER (WHERE subject ~ '^importance/') AS importance,
        max(ms) FILTER (WHERE subject ~ '^summary/') AS summary
    FROM median, LATERAL round((value * 1e3)::numeric, 1) ms
    WHERE part = 'fit_half' AND variant = 'fit'
    GROUP BY 1
) f
JOIN median w ON (w.part, w.subject, w.variant) = ('fit_whole', f.size::text, 'fit')
JOIN median c ON (c.part, c.subject, c.variant) = ('fit_whole', f.size::text, 'count')
JOIN (SELECT subject, min(value) AS value FROM bench.measure
      WHERE (part, variant) = ('fit_whole', 'same') GROUP BY subject) s ON s.subject = f.size::text
ORDER BY 1;

\echo 'Fitting 1,000 messages of text, 1 MB, to half of their tokens, gpt-4o'
\echo '(client: JSON text in and out; client_objects: Python objects; server: by its own clock)'
SELECT f.variant AS who, f.rounds, round((f.value * 1e3)::numeric, 1) AS ms,
    round((f.value / c.value)::numeric, 1) AS "time / client",
    k.value AS kept, t.value AS tokens
FROM median f
JOIN median c ON (c.part, c.subject, c.variant) = ('fit_peers', f.subject, 'client')
LEFT JOIN median k
    ON (k.part, k.subject, k.variant) = ('fit_peers', f.subject, f.variant || '_kept')
LEFT JOIN median t
    ON (t.part, t.subject, t.variant) = ('fit_peers', f.subject, f.variant || '_tokens')
WHERE f.part = 'fit_peers' AND f.variant !~ '_(kept|tokens)$'
ORDER BY f.value;
