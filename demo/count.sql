\echo
\echo '=== 3. Count real text, as tiktoken-rs counts it outside PostgreSQL'
\set ECHO queries
SELECT title, octet_length(content) AS bytes, char_length(content) AS characters,
    tiktoken_count('cl100k_base', content) AS cl100k_base,
    tiktoken_count('o200k_base', content) AS o200k_base
FROM demo.document;
\set ECHO none
\echo tiktoken-rs says :cl100k and :o200k for the chapter, :whole (o200k_base) for the conversation
SELECT demo.expect(
    format('tiktoken_count(''cl100k_base'', chapter) = %s, as tiktoken-rs counts', :cl100k),
    (SELECT tiktoken_count('cl100k_base', content) FROM demo.document WHERE title ~ '^chapter'),
    :cl100k::bigint) \g /dev/null
SELECT demo.expect(
    format('tiktoken_count(''o200k_base'', chapter) = %s, as tiktoken-rs counts', :o200k),
    (SELECT tiktoken_count('o200k_base', content) FROM demo.document WHERE title ~ '^chapter'),
    :o200k::bigint) \g /dev/null
SELECT demo.expect(
    format('tiktoken_count(''o200k_base'', conversation) = %s, as tiktoken-rs counts', :whole),
    (SELECT tiktoken_count('o200k_base', content) FROM demo.document WHERE title ~ '^the whole'),
    :whole::bigint) \g /dev/null
SELECT demo.expect('decoding the encoded chapter gives the chapter',
    (SELECT tiktoken_decode('o200k_base', tiktoken_encode('o200k_base', content)) = content
     FROM demo.document WHERE title ~ '^chapter'), true) \g /dev/null
