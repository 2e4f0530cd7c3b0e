CREATE TYPE token_mgmt.rag_context AS (
    content text,
    tokens integer,
    documents integer,
    dropped integer,
    receipt jsonb
);
COMMENT ON TYPE token_mgmt.rag_context IS
    'Documents that fit into a prompt: their text, its tokens (the upper bound of count_text()), '
    'how many are in it and how many were dropped, and for each document in order of rank its '
    'index in the input, id, action (kept, cut, dropped), rule and tokens';

CREATE TYPE token_mgmt._document AS (
    index integer,
    id text,
    score numeric,
    content text
);
COMMENT ON TYPE token_mgmt._document IS 'A document of rag_context(); index counts from 0';

CREATE FUNCTION token_mgmt._ranked_documents(documents jsonb) RETURNS SETOF token_mgmt._document
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 20
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bad text;
BEGIN
    IF jsonb_typeof(documents) <> 'array' THEN
        PERFORM token_mgmt._raise('22P02', 'malformed documents',
            format('Found a JSON %s where an array is needed.', jsonb_typeof(documents)),
            'Pass an array of texts, or of objects with id, content and score.');
    END IF;
    SELECT CASE
        WHEN jsonb_typeof(d.document) NOT IN ('object', 'string')
            THEN format('The document at index %s is a JSON %s.', d.no - 1,
                jsonb_typeof(d.document))
        WHEN jsonb_typeof(d.document -> 'content') IS DISTINCT FROM 'string'
            THEN format('The content of the document at index %s is %s.', d.no - 1,
                coalesce('a JSON ' || jsonb_typeof(d.document -> 'content'), 'missing'))
        WHEN jsonb_typeof(d.document -> 'score') NOT IN ('number', 'null')
            THEN format('The score of the document at index %s is a JSON %s.', d.no - 1,
                jsonb_typeof(d.document -> 'score'))
        ELSE format('The id of the document at index %s is a JSON %s.', d.no - 1,
                jsonb_typeof(d.document -> 'id')) END INTO bad
    FROM jsonb_array_elements(documents) WITH ORDINALITY d (document, no)
    WHERE jsonb_typeof(d.document) <> 'string'
        AND (jsonb_typeof(d.document) <> 'object'
            OR jsonb_typeof(d.document -> 'content') IS DISTINCT FROM 'string'
            OR jsonb_typeof(d.document -> 'score') NOT IN ('number', 'null')
            OR jsonb_typeof(d.document -> 'id') NOT IN ('string', 'number', 'null'))
    ORDER BY d.no LIMIT 1;
    IF FOUND THEN
        PERFORM token_mgmt._raise('22P02', 'malformed documents', bad,
            'Pass an array of texts, or of objects with id, content and score.');
    END IF;
    RETURN QUERY
    WITH document AS (
        SELECT (d.no - 1)::integer AS index, d.document ->> 'id' AS id,
            (d.document ->> 'score')::numeric AS score,
            CASE jsonb_typeof(d.document) WHEN 'string' THEN d.document #>> '{}'
                ELSE d.document ->> 'content' END AS content
        FROM jsonb_array_elements(documents) WITH ORDINALITY d (document, no)
    ), scored AS (
        SELECT d.*, bool_and(d.score IS NOT NULL) OVER () AS all_scored FROM document d
    )
    SELECT d.index, d.id, d.score, d.content FROM scored d
    ORDER BY CASE WHEN d.all_scored THEN d.score END DESC, d.index;
END
$$;
COMMENT ON FUNCTION token_mgmt._ranked_documents(jsonb) IS
    'Documents by score, if all have one, else as they come. Not STRICT, as no caller passes NULL. '
    'Errors: 22P02';

CREATE FUNCTION token_mgmt._fresh_documents(
    documents jsonb, OUT rank integer, OUT place integer, OUT index integer, OUT id text,
    OUT content text, OUT rule text
) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH ranked AS (
        SELECT d.*, row_number() OVER ()::integer AS rank
        FROM token_mgmt._ranked_documents(documents) d
    ), judged AS (
        SELECT r.*, CASE WHEN r.content = '' THEN 'empty' WHEN r.rank > min(r.rank)
            OVER (PARTITION BY sha256(convert_to(r.content, 'UTF8'))) THEN 'duplicate' END AS rule
        FROM ranked r
    )
    SELECT j.rank, CASE WHEN j.rule IS NULL THEN (count(*) FILTER (WHERE j.rule IS NULL)
        OVER (ORDER BY j.rank))::integer END, j.index, j.id, j.content, j.rule
    FROM judged j ORDER BY j.rank
$$;
COMMENT ON FUNCTION token_mgmt._fresh_documents(jsonb) IS
    'Documents by rank; place is that among those that are neither empty nor the repetition of an '
    'earlier one (rule). Not STRICT, as no caller passes NULL. Errors: 22P02';

CREATE FUNCTION token_mgmt._rag_options(options jsonb, OUT separator text, OUT header text,
    OUT cut boolean)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bad text;
BEGIN
    PERFORM token_mgmt._check_object('options', options, '{separator,header,cut}');
    SELECT o.key INTO bad FROM jsonb_each(coalesce(options, '{}')) o
    WHERE jsonb_typeof(o.value) <> CASE o.key WHEN 'cut' THEN 'boolean' ELSE 'string' END
    ORDER BY o.key LIMIT 1;
    IF FOUND THEN
        PERFORM token_mgmt._raise('22023', format('option %s is out of range', bad),
            format('Found a JSON %s.', jsonb_typeof(options -> bad)), CASE bad
            WHEN 'cut' THEN 'Give true or false.' ELSE 'Give a text.' END);
    END IF;
    separator := coalesce(options ->> 'separator', E'\n\n');
    header := coalesce(options ->> 'header', '');
    cut := coalesce((options ->> 'cut')::boolean, false);
END
$$;
COMMENT ON FUNCTION token_mgmt._rag_options(jsonb) IS
    'The options of rag_context() with their defaults. Not STRICT: NULL is {}. Errors: 22023';

CREATE FUNCTION @extschema@.rag_context(
    documents jsonb, model text, max_tokens integer, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.rag_context
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counter jsonb := token_mgmt._counter(token_mgmt._resolve_model(model));
    encoding text := counter ->> 'encoding';
    factor numeric := counter ->> 'high_factor';
    o record := token_mgmt._rag_options(options);
    budget bigint;
    used bigint := 0;
    over bigint;
    rest bigint;
    is_full boolean := false;
    d record;
    heading text;
    body text;
    headings text[] := '{}';
    bodies text[] := '{}';
    counts bigint[] := '{}';
    is_cut boolean := false;
    result token_mgmt.rag_context;
BEGIN
    IF documents IS NULL OR max_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN documents IS NULL THEN 'documents' ELSE 'max_tokens' END), NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_count('max_tokens', max_tokens);
    budget := floor(max_tokens / factor);
    -- Empty ones and repetitions never take part; what does is counted alone, once.
    FOR d IN SELECT * FROM token_mgmt._fresh_documents(documents) f WHERE f.rule IS NULL LOOP
        heading := CASE WHEN counts = '{}' THEN '' ELSE o.separator END
            || replace(o.header, '%s', coalesce(d.id, (d.index + 1)::text));
        rest := @extschema@.tiktoken_count(encoding, heading || d.content, false);
        is_full := used + rest > budget;
        IF is_full AND NOT o.cut THEN
            EXIT;
        END IF;
        headings := array_append(headings, heading);
        bodies := array_append(bodies, d.content);
        counts := array_append(counts, rest);
        used := used + rest;
        EXIT WHEN is_full;
    END LOOP;
    -- Where texts meet, tokens can come out otherwise than alone: the whole is what counts.
    LOOP
        SELECT coalesce(string_agg(h || b, '' ORDER BY i), '') INTO result.content
        FROM unnest(headings, bodies) WITH ORDINALITY u (h, b, i);
        used := @extschema@.tiktoken_count(encoding, result.content, false);
        over := used - budget;
        EXIT WHEN over <= 0;
        IF o.cut THEN
            is_cut := true;
            body := bodies[cardinality(bodies)];
            rest := @extschema@.tiktoken_count(encoding, body, false) - over;
            body := CASE WHEN rest > 0
                THEN @extschema@.tiktoken_truncate(encoding, body, rest::integer) ELSE '' END;
            bodies[cardinality(bodies)] := body;
            CONTINUE WHEN body <> '';
            -- Nothing of it is left, and the one before was whole.
            is_cut := false;
            over := 1;
        END IF;
        LOOP
            over := over - counts[cardinality(counts)];
            headings := trim_array(headings, 1);
            bodies := trim_array(bodies, 1);
            counts := trim_array(counts, 1);
            EXIT WHEN over <= 0 OR counts = '{}';
        END LOOP;
    END LOOP;
    result.tokens := ceil(used * factor);
    result.documents := cardinality(bodies);
    IF is_cut THEN
        counts[result.documents] := @extschema@.tiktoken_count(encoding,
            headings[result.documents] || bodies[result.documents], false);
    END IF;
    SELECT coalesce(jsonb_agg(jsonb_build_object('index', f.index, 'id', f.id,
            'action', CASE WHEN f.place > result.documents OR f.rule IS NOT NULL THEN 'dropped'
                WHEN f.place = result.documents AND is_cut THEN 'cut' ELSE 'kept' END,
            'rule', coalesce(f.rule, CASE WHEN f.place > result.documents
                OR f.place = result.documents AND is_cut THEN 'budget' ELSE 'fits' END),
            'tokens', CASE WHEN f.place > result.documents OR f.rule IS NOT NULL THEN 0
                ELSE ceil(counts[f.place] * factor) END)
            ORDER BY f.rank), '[]'),
        count(*) - result.documents
    INTO result.receipt, result.dropped
    FROM token_mgmt._fresh_documents(documents) f;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.rag_context(jsonb, text, integer, jsonb) IS
    'Whole documents in order of rank (by score if all have one) until max_tokens are reached, as '
    'one text. options: separator (an empty line), header (a text before each document, %s is its '
    'id), cut (true: the last one is cut at a boundary). Not STRICT: NULL is 22004. Errors: 22004, '
    '22023, 22P02, 42704';
