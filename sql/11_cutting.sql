-- Texts cut to so many tokens. What is cut is counted alone, as tiktoken_count() counts it with the
-- same special_tokens; unlike there, content is ordinary text unless that is switched on.

CREATE FUNCTION @extschema@.tiktoken_truncate(
    encoding text,
    content text,
    max_tokens integer,
    keep text DEFAULT 'start',
    special_tokens boolean DEFAULT false
)
    RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'tiktoken_truncate_wrapper';
COMMENT ON FUNCTION @extschema@.tiktoken_truncate(text, text, integer, text, boolean) IS
    'The content if it has at most max_tokens tokens, else its start, its end, or both with a '
    'marker between them that says how many tokens went (keep); never more than max_tokens. Cuts '
    'at a paragraph, sentence or line if one ends in the last quarter, else at a word, never '
    'within a grapheme. Where the marker has no room, the start is kept. Errors: 42704 unknown '
    'encoding, 22023 other keep or negative max_tokens, 54000 content over '
    'token_mgmt.max_content_bytes';

CREATE TYPE token_mgmt.text_chunk AS (
    chunk_no integer,
    content text,
    tokens integer,
    start_offset integer
);
COMMENT ON TYPE token_mgmt.text_chunk IS
    'A part of a text. chunk_no counts from 1, tokens are those of the part alone, start_offset is '
    'the number of characters before it: content is substr(whole, start_offset + 1, '
    'length(content))';

CREATE FUNCTION @extschema@.tiktoken_chunks(
    encoding text,
    content text,
    max_tokens integer,
    overlap integer DEFAULT 0,
    special_tokens boolean DEFAULT false
)
    RETURNS SETOF token_mgmt.text_chunk
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2000 ROWS 20
    AS 'MODULE_PATHNAME', 'tiktoken_chunks_wrapper';
COMMENT ON FUNCTION @extschema@.tiktoken_chunks(text, text, integer, integer, boolean) IS
    'Parts of at most max_tokens tokens that together are the content, in order. Each ends behind '
    'a paragraph if one ends in its last quarter, else a sentence or line, else a word, and starts '
    'with up to overlap tokens of the part before. A grapheme is cut only where it alone is too '
    'large. Errors: 42704 unknown encoding, 22023 max_tokens below 1 or too small for a character, '
    'overlap negative or not below max_tokens, 54000 content over token_mgmt.max_content_bytes';
