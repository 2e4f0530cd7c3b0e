-- JSON that jsonb refuses: zeros and halves of surrogate pairs.
SELECT parse_messages(content) FROM (VALUES
    ('[{"role": "user", "content": "a\u0000b\ud83dc\ude00d\ude00\ud83d"}]'),
    ('[{"role": "user", "content": "\ud83d\ude00 \\u0000 \\\u0000 \u00e9", "\u0000": 1.50}]'),
    ('{"untouched": [1.2300e+40, 12345678901234567890.10, "\ud83d\ude00", "\\ud83d"]}')
) t (content);
SELECT length(parse_messages('"' || repeat('\ud83d', 1000000) || '"')::text);
SELECT parse_messages(NULL) IS NULL AS is_null;
SELECT total FROM count_messages('gpt-4o',
    parse_messages('[{"role": "user", "content": "Hello\u0000!"}]'));

-- What is no JSON is refused by jsonb, in the words of this version of PostgreSQL.
SELECT sqlstate FROM show_error($$SELECT parse_messages('[{"role": "user", "content": "cut o')$$);
SELECT sqlstate FROM show_error($$SELECT parse_messages('"\u00"')$$);
BEGIN;
SET LOCAL token_mgmt.max_content_bytes = '64kB';
SELECT * FROM show_error($$SELECT parse_messages('"' || repeat('a', 70000) || '"')$$);
ROLLBACK;
