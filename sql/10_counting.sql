-- Exact counting. COST is in units of cpu_operator_cost: encoding 1 KB takes as long as some
-- thousand operators, and a planner that knows it spreads large tables over parallel workers.

CREATE FUNCTION @extschema@.tiktoken_count(
    encoding text, content text, special_tokens boolean DEFAULT true
)
    RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'tiktoken_count_wrapper';
COMMENT ON FUNCTION @extschema@.tiktoken_count(text, text, boolean) IS
    'Tokens of a text, exactly as OpenAI''s tiktoken counts it. encoding is the name of an '
    'encoding or of a model that tiktoken knows; special_tokens says whether names such as '
    '<|endoftext|> in the text stand for that one token. Errors: 42704 unknown encoding, 54000 '
    'content over token_mgmt.max_content_bytes';

CREATE FUNCTION @extschema@.tiktoken_encode(
    encoding text, content text, special_tokens boolean DEFAULT true
)
    RETURNS bigint[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'tiktoken_encode_wrapper';
COMMENT ON FUNCTION @extschema@.tiktoken_encode(text, text, boolean) IS
    'Token ids of a text, exactly as OpenAI''s tiktoken gives them. Arguments and errors as '
    'tiktoken_count()';

CREATE FUNCTION @extschema@.tiktoken_decode(encoding text, tokens bigint[]) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'tiktoken_decode_wrapper';
COMMENT ON FUNCTION @extschema@.tiktoken_decode(text, bigint[]) IS
    'Text that token ids stand for, special tokens included. A token can be a part of a character: '
    'bytes that are not UTF-8 become U+FFFD, as with tiktoken''s decode(). Errors: 42704 unknown '
    'encoding, 22023 unknown id, 22004 null id, 22021 ids that stand for a zero byte, 54000 text '
    'over token_mgmt.max_content_bytes';

CREATE TYPE token_mgmt.encoding_info AS (
    encoding text,
    vocabulary_size integer,
    special_tokens integer,
    vendor text,
    models text[]
);
COMMENT ON TYPE token_mgmt.encoding_info IS
    'An encoding that is built in. vocabulary_size is one more than its highest token id, '
    'special_tokens how many ids are special tokens, models some well-known models that use it';

CREATE FUNCTION @extschema@.tiktoken_encodings() RETURNS SETOF token_mgmt.encoding_info
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 13
    AS 'MODULE_PATHNAME', 'tiktoken_encodings_wrapper';
COMMENT ON FUNCTION @extschema@.tiktoken_encodings() IS
    'All encodings that are built in, oldest first';

CREATE FUNCTION token_mgmt._encoding_exists(name text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_encoding_exists_wrapper';
COMMENT ON FUNCTION token_mgmt._encoding_exists(text) IS
    'Whether tiktoken_count() takes this name, an encoding''s or a model''s';
