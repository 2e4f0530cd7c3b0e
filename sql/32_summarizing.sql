CREATE FUNCTION token_mgmt._extract(content text, max_tokens bigint, counter text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', '_extract_wrapper';
COMMENT ON FUNCTION token_mgmt._extract(text, bigint, text) IS
    'At most max_tokens tokens of the content''s most telling sentences; counter is JSON';

CREATE FUNCTION token_mgmt._split_messages(messages text, max_tokens bigint, counter text)
    RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', '_split_messages_wrapper';
COMMENT ON FUNCTION token_mgmt._split_messages(text, bigint, text) IS
    'JSON array of the parts of a conversation: first and last position, tokens; counter is JSON';

CREATE FUNCTION @extschema@.extractive_summary(content text, model text, max_tokens integer)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF content IS NULL OR model IS NULL OR max_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN content IS NULL THEN 'content' WHEN model IS NULL THEN 'model'
                ELSE 'max_tokens' END), NULL, NULL);
    END IF;
    IF max_tokens < 0 THEN
        PERFORM token_mgmt._raise('22023', 'max_tokens must be at least 0',
            format('It is %s.', max_tokens), 'Give the number of tokens.');
    END IF;
    RETURN token_mgmt._extract(content, max_tokens,
        token_mgmt._counter(token_mgmt._resolve_model(model))::text);
END
$$;
COMMENT ON FUNCTION @extschema@.extractive_summary(text, text, integer) IS
    'The content''s most telling sentences, as they stand and in their order: at most max_tokens '
    'tokens by the upper bound of count_text(). Content that fits comes back whole; where not even '
    'one sentence fits, the best is cut at a word; empty if nothing fits. Not STRICT: a NULL '
    'argument is 22004. Errors: 22004, 22023, 42704, 42725, 54000';

CREATE TYPE token_mgmt.message_chunk AS (
    chunk_no integer,
    messages jsonb,
    tokens integer,
    first_index integer,
    last_index integer
);
COMMENT ON TYPE token_mgmt.message_chunk IS
    'A part of a conversation. chunk_no counts from 1, tokens are those of the part as a request '
    'of its own, first_index and last_index are positions in the conversation, from 0';

CREATE FUNCTION @extschema@.chunk_messages(messages jsonb, model text, max_tokens integer)
    RETURNS SETOF token_mgmt.message_chunk
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 20
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts jsonb;
    large record;
BEGIN
    IF messages IS NULL OR model IS NULL OR max_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN messages IS NULL THEN 'messages' WHEN model IS NULL THEN 'model'
                ELSE 'max_tokens' END), NULL, NULL);
    END IF;
    IF max_tokens < 1 THEN
        PERFORM token_mgmt._raise('22023', 'max_tokens must be at least 1',
            format('It is %s.', max_tokens), 'Give the number of tokens.');
    END IF;
    parts := token_mgmt._split_messages(messages::text, max_tokens,
        token_mgmt._counter(token_mgmt._resolve_model(model))::text);
    SELECT count(*) AS number, max((p ->> 'tokens')::bigint) AS most INTO large
    FROM jsonb_array_elements(parts) p WHERE (p ->> 'tokens')::bigint > max_tokens;
    IF large.number > 0 THEN
        RAISE WARNING USING MESSAGE = 'chunks of messages exceed max_tokens',
            DETAIL = format('%s of %s chunks are larger than %s tokens; the largest has %s.',
                large.number, jsonb_array_length(parts), max_tokens, large.most),
            HINT = 'A message, or a tool call with its results, is never divided. Cut long texts '
                || 'with tiktoken_truncate(), or raise max_tokens.';
    END IF;
    RETURN QUERY
    SELECT p.chunk_no::integer, p.part -> 'messages', (p.part ->> 'tokens')::integer,
        (p.part ->> 'first')::integer, (p.part ->> 'last')::integer
    FROM jsonb_array_elements(parts) WITH ORDINALITY p (part, chunk_no)
    ORDER BY p.chunk_no;
END
$$;
COMMENT ON FUNCTION @extschema@.chunk_messages(jsonb, text, integer) IS
    'A long conversation (of any shape that fit_messages() takes) as parts of at most max_tokens '
    'tokens by the upper bound of count_messages(), to be processed one by one. Turns stay '
    'whole; one that is larger becomes several parts of whole exchanges; an exchange or message '
    'that is larger is a part of its own, with a WARNING. Not STRICT: a NULL argument '
    'is 22004. Errors: 22004, 22023, 22P02, 42704, 42725, 54000';
