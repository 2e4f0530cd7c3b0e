-- tiktoken_*: what they answer, what they refuse, and how they are declared.
\pset null '(null)'
SELECT encoding, vocabulary_size, special_tokens, vendor, models FROM tiktoken_encodings();

-- Published results (OpenAI's cookbook).
SELECT tiktoken_count('cl100k_base', 'Your input text here');
SELECT name, tiktoken_encode(name, 'tiktoken is great!') AS ids,
    tiktoken_count(name, 'tiktoken is great!') AS tokens
FROM unnest(ARRAY['r50k_base', 'p50k_base', 'p50k_edit', 'cl100k_base', 'o200k_base',
    'o200k_harmony', 'gpt2', 'gpt-4', 'gpt-4o-2024-08-06', 'ft:gpt-4o:org:name:id', 'gpt-oss-20b'])
    AS name;
-- Every argument by name, and the way back. Not aligned: to psql 16 the emoji are narrower.
\a
SELECT tiktoken_count(encoding => 'o200k_base', content => 'naïve 中文 👩‍💻', special_tokens => false),
    tiktoken_encode(encoding => 'o200k_base', content => 'naïve 中文 👩‍💻', special_tokens => false),
    tiktoken_decode(encoding => 'o200k_base',
        tokens => tiktoken_encode('o200k_base', 'naïve 中文 👩‍💻'));
\a
-- Special tokens stand for themselves unless switched off.
SELECT special, tiktoken_count('cl100k_base', 'a<|endoftext|>b', special) AS tokens,
    tiktoken_encode('cl100k_base', 'a<|endoftext|>b', special) AS ids
FROM (VALUES (true), (false)) AS v (special);
SELECT tiktoken_count('cl100k_base', 'a<|endoftext|>b') AS by_default,
    tiktoken_encode('cl100k_base', 'a<|endoftext|>b') AS ids,
    tiktoken_decode('cl100k_base', ARRAY[64, 100257, 65]) AS decoded;
-- Nothing in, nothing out; NULL in, NULL out.
SELECT tiktoken_count('r50k_base', '') AS none, tiktoken_encode('r50k_base', '') AS ids,
    tiktoken_decode('r50k_base', '{}') = '' AS decoded;
SELECT tiktoken_count(NULL, 'a') AS a, tiktoken_count('r50k_base', NULL) AS b,
    tiktoken_count('r50k_base', 'a', NULL) AS c, tiktoken_encode('r50k_base', NULL) AS d,
    tiktoken_decode('r50k_base', NULL) AS e, token_mgmt._encoding_exists(NULL) AS f;
-- Half a character is U+FFFD; both halves are the character.
SELECT tiktoken_decode('cl100k_base', ARRAY[15722]) AS whole,
    tiktoken_decode('cl100k_base', ARRAY[9468, 239]) AS cut,
    tiktoken_decode('cl100k_base', tiktoken_encode('cl100k_base', '🐏')) AS joined;
-- Stored, toasted, in a generated column and in an index.
CREATE TABLE counted (
    content text,
    tokens bigint GENERATED ALWAYS AS (tiktoken_count('cl100k_base', content)) STORED
);
CREATE INDEX ON counted (tiktoken_count('o200k_base', content));
INSERT INTO counted (content) SELECT string_agg(g::text, ' ') FROM generate_series(1, 20000) g;
INSERT INTO counted (content) SELECT repeat('token ', 20000);
SELECT length(content) AS characters, tokens, cardinality(tiktoken_encode('cl100k_base', content))
    AS encoded, tiktoken_decode('cl100k_base', tiktoken_encode('cl100k_base', content)) = content
    AS came_back
FROM counted ORDER BY 1;
DROP TABLE counted;
-- A hostile megabyte is a matter of milliseconds, and comes back whole.
SELECT left(unit, 1) = ' ' AS space, tiktoken_count('cl100k_base', text) AS tokens,
    tiktoken_decode('cl100k_base', tiktoken_encode('cl100k_base', text)) = text AS came_back
FROM (VALUES ('a'), ('ab'), (' '), (E'\n')) AS v (unit), repeat(unit, 1000000 / length(unit)) AS text;

SELECT name, token_mgmt._encoding_exists(name)
FROM unnest(ARRAY['cl100k_base', 'gpt-4o', 'gpt2', 'CL100K_BASE', 'claude', '']) AS name;

-- Errors.
SELECT * FROM show_error($$SELECT tiktoken_count('cl100k', 'a')$$);
SELECT * FROM show_error($$SELECT tiktoken_encode('gtp-4o', 'a')$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('', '{1}')$$);
SELECT * FROM show_error($$SELECT tiktoken_count(repeat('never ', 100000), 'a')$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('cl100k_base', '{1,NULL}')$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('cl100k_base', '{1,-1}')$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('cl100k_base', '{100261}')$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('cl100k_base', '{4294967296}')$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('cl100k_base', '{188}')$$);
SET token_mgmt.max_content_bytes = '1kB';
SELECT tiktoken_count('cl100k_base', repeat('a', 1024));
SELECT * FROM show_error($$SELECT tiktoken_count('cl100k_base', repeat('a', 1025))$$);
SELECT * FROM show_error($$SELECT tiktoken_encode('cl100k_base', repeat('é', 513))$$);
SELECT * FROM show_error($$SELECT tiktoken_decode('cl100k_base', array_fill(64, ARRAY[1025])::bigint[])$$);
RESET token_mgmt.max_content_bytes;
-- A long count is ended by a timeout, and the backend goes on.
\set VERBOSITY sqlstate
SET statement_timeout = '200ms';
SELECT tiktoken_count('cl100k_base', repeat('a', 40000000));
RESET statement_timeout;
SELECT tiktoken_count('cl100k_base', 'still here');

-- Databases in other encodings: text is converted, or refused as PostgreSQL does it.
CREATE DATABASE counting_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE counting_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
SELECT current_database() AS own_database \gset
\c counting_latin1
SET client_min_messages = warning;
CREATE EXTENSION token_mgmt;
RESET client_min_messages;
SELECT tiktoken_count('o200k_base', chr(233) || 't' || chr(233)) AS tokens,
    tiktoken_decode('o200k_base', tiktoken_encode('o200k_base', chr(233) || 't' || chr(233)))
        = chr(233) || 't' || chr(233) AS came_back;
SELECT tiktoken_decode('cl100k_base', '{16325,97,61786}');
SELECT tiktoken_decode('cl100k_base', ARRAY[222]);
\c counting_ascii
SET client_min_messages = warning;
CREATE EXTENSION token_mgmt;
RESET client_min_messages;
SELECT tiktoken_count('o200k_base', E'\xc3\xa9t\xc3\xa9') AS tokens,
    tiktoken_decode('o200k_base', tiktoken_encode('o200k_base', E'\xc3\xa9t\xc3\xa9'))
        = E'\xc3\xa9t\xc3\xa9' AS came_back;
SELECT tiktoken_count('o200k_base', E'\xe9t\xe9');
SELECT tiktoken_count(E'\xe9t\xe9', 'a');
\c :own_database
DROP DATABASE counting_latin1 WITH (FORCE);
DROP DATABASE counting_ascii WITH (FORCE);
