CREATE FUNCTION token_mgmt._usage_count(usage jsonb, path text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    details text := split_part(path, '.', 1);
    found_value jsonb := usage #> string_to_array(path, '.');
    tokens numeric;
BEGIN
    IF details <> path AND jsonb_typeof(usage -> details) NOT IN ('object', 'null') THEN
        PERFORM token_mgmt._raise('22P02', format('%s of the usage is not a JSON object', details),
            format('Found a JSON %s.', jsonb_typeof(usage -> details)),
            'Pass the usage object as the API sent it.');
    END IF;
    IF found_value IS NULL OR found_value = 'null' THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(found_value) = 'number' THEN
        tokens := found_value::text;
    END IF;
    IF tokens IS NULL OR tokens <> trunc(tokens) THEN
        PERFORM token_mgmt._raise('22P02', format('%s of the usage is not a whole number', path),
            CASE WHEN tokens IS NULL THEN format('Found a JSON %s.', jsonb_typeof(found_value))
                ELSE format('Found %s.', left(tokens::text, 40)) END,
            'Pass the usage object as the API sent it.');
    END IF;
    IF tokens < 0 OR tokens > 1000000000 THEN
        PERFORM token_mgmt._raise('22023', format('%s is out of range', path),
            format('Found %s.', left(tokens::text, 40)), 'Use 0 to 1000000000 tokens.');
    END IF;
    RETURN tokens;
END
$$;
COMMENT ON FUNCTION token_mgmt._usage_count(jsonb, text) IS
    'The count at this dotted path; NULL where there is none. Errors: 22023, 22P02';
REVOKE ALL ON FUNCTION token_mgmt._usage_count(jsonb, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._usage_object(response jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    usage jsonb := response;
BEGIN
    IF response ? 'usage' AND response ? 'usageMetadata' THEN
        PERFORM token_mgmt._raise('22023', 'response has two usage objects',
            'Found usage and usageMetadata.', 'Pass the one that the API sent.');
    END IF;
    IF jsonb_typeof(response) = 'object' AND response ?| '{usage,usageMetadata}' THEN
        usage := coalesce(response -> 'usage', response -> 'usageMetadata');
    END IF;
    IF jsonb_typeof(usage) <> 'object' THEN
        PERFORM token_mgmt._raise('22P02', 'usage is not a JSON object',
            format('Found a JSON %s.', jsonb_typeof(usage)),
            'Pass the usage object of the API''s response. A stream has it in its last event, if '
            'asked for; without one use settle_partial().');
    END IF;
    RETURN usage;
END
$$;
COMMENT ON FUNCTION token_mgmt._usage_object(jsonb) IS
    'The usage object, or that of the response that contains it. Errors: 22023, 22P02';
REVOKE ALL ON FUNCTION token_mgmt._usage_object(jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._usage_shape(usage jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shapes text[] := array_remove(ARRAY[
        CASE WHEN usage ?| '{prompt_tokens,completion_tokens,prompt_tokens_details,'
            'completion_tokens_details}' THEN 'OpenAI chat' END,
        CASE WHEN usage ?| '{input_tokens_details,output_tokens_details}'
            THEN 'OpenAI Responses' END,
        CASE WHEN usage ?| '{input_token_details,output_token_details}'
            THEN 'OpenAI Realtime' END,
        CASE WHEN usage ?| '{cache_read_input_tokens,cache_creation_input_tokens,cache_creation,'
            'iterations}' THEN 'Anthropic' END,
        CASE WHEN usage ?| '{promptTokenCount,candidatesTokenCount,totalTokenCount,'
            'thoughtsTokenCount,cachedContentTokenCount,toolUsePromptTokenCount}'
            THEN 'Gemini' END], NULL);
BEGIN
    IF usage ?| '{input_tokens,output_tokens}'
        AND NOT shapes && '{OpenAI Responses,OpenAI Realtime,Anthropic}'
    THEN
        -- Without a word on caches both mean the same by these two.
        shapes := shapes || 'OpenAI Responses'::text;
    END IF;
    IF cardinality(shapes) > 1 THEN
        PERFORM token_mgmt._raise('22023', 'usage object is ambiguous',
            format('It has keys of %s, which mean different things by them.',
                array_to_string(shapes, ' and ')),
            'Pass the usage object as the API sent it, or use settle_tokens().');
    ELSIF shapes = '{}' THEN
        -- The keys only: a whole response may hold a conversation.
        PERFORM token_mgmt._raise('22P02', 'usage object is of an unknown shape', coalesce(
            (SELECT 'Its keys are ' || string_agg(left(k, 40), ', ' ORDER BY i) || '.'
             FROM jsonb_object_keys(usage) WITH ORDINALITY u (k, i) WHERE i <= 12),
            'It is empty.'),
            'OpenAI''s, Anthropic''s and Gemini''s are known; for others use settle_tokens().');
    END IF;
    RETURN shapes[1];
END
$$;
COMMENT ON FUNCTION token_mgmt._usage_shape(jsonb) IS
    'Whose usage object this is, by its keys. Errors: 22023, 22P02';
REVOKE ALL ON FUNCTION token_mgmt._usage_shape(jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._usage_from(usage jsonb) RETURNS token_mgmt._usage
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    u token_mgmt._usage;
    folded token_mgmt._usage;
    shape text := token_mgmt._usage_shape(usage);
    -- prompt, completion, total, cached, written, reasoning, tool prompt, cached as DeepSeek has
    -- it; the last only has to be readable
    keys text[] := CASE shape
        WHEN 'OpenAI chat' THEN '{prompt_tokens,completion_tokens,total_tokens,'
            'prompt_tokens_details.cached_tokens,prompt_tokens_details.cache_write_tokens,'
            'completion_tokens_details.reasoning_tokens,-,prompt_cache_hit_tokens}'
        WHEN 'OpenAI Responses' THEN '{input_tokens,output_tokens,total_tokens,'
            'input_tokens_details.cached_tokens,input_tokens_details.cache_write_tokens,'
            'output_tokens_details.reasoning_tokens,-}'
        WHEN 'OpenAI Realtime' THEN '{input_tokens,output_tokens,total_tokens,'
            'input_token_details.cached_tokens,-,-,-}'
        WHEN 'Anthropic' THEN '{input_tokens,output_tokens,-,'
            'cache_read_input_tokens,cache_creation_input_tokens,-,-,-,'
            'cache_creation.ephemeral_5m_input_tokens}'
        ELSE '{promptTokenCount,candidatesTokenCount,totalTokenCount,'
            'cachedContentTokenCount,-,thoughtsTokenCount,toolUsePromptTokenCount}' END;
    counts integer[] := ARRAY(
        SELECT token_mgmt._usage_count(usage, k) FROM unnest(keys) WITH ORDINALITY u (k, i)
        ORDER BY i);
    prompt bigint := counts[1];
    completion bigint := counts[2];
    total bigint := counts[3];
    missing text;
BEGIN
    IF counts[4] <> counts[8] THEN
        PERFORM token_mgmt._raise('22023', 'usage object contradicts itself',
            format('It says %s cached tokens in %s and %s in %s.', counts[4], keys[4], counts[8],
                keys[8]),
            'Find out what its numbers mean, and use settle_tokens().');
    END IF;
    u.cached_tokens := coalesce(counts[4], counts[8], 0);
    u.cache_write_tokens := coalesce(counts[5], 0);
    u.reasoning_tokens := coalesce(counts[6], 0);
    IF shape = 'Gemini' THEN
        prompt := prompt + coalesce(counts[7], 0);
        -- Gemini sends no zeros.
        completion := coalesce(completion, CASE WHEN total IS NOT NULL THEN 0 END)
            + u.reasoning_tokens;
    ELSIF shape = 'Anthropic' THEN
        prompt := prompt + u.cached_tokens + u.cache_write_tokens;
    ELSIF completion IS NULL AND prompt = total THEN
        -- Embeddings have none.
        completion := 0;
    END IF;
    missing := CASE WHEN prompt IS NULL THEN keys[1] WHEN completion IS NULL THEN keys[2]
        WHEN usage ? 'cache_creation' AND usage -> 'cache_creation' <> 'null'
            AND counts[5] IS NULL THEN keys[5] END;
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22P02', format('usage object has no %s', missing),
            format('It is of the shape of %s.', shape),
            'Pass the usage object as the API sent it, or use settle_tokens().');
    END IF;
    IF total <> prompt + completion THEN
        PERFORM token_mgmt._raise('22023', 'usage object contradicts itself', format(
            'It says %s tokens in all, and %s prompt + %s completion = %s as %s counts them.',
            total, prompt, completion, prompt + completion, shape),
            'Find out what its numbers mean, and use settle_tokens().');
    END IF;
    IF jsonb_typeof(usage -> 'iterations') <> 'null' THEN
        folded := token_mgmt._folded_usage(usage -> 'iterations');
        prompt := prompt + folded.prompt_tokens;
        completion := completion + folded.completion_tokens;
        u.cached_tokens := u.cached_tokens + folded.cached_tokens;
        u.cache_write_tokens := u.cache_write_tokens + folded.cache_write_tokens;
    END IF;
    PERFORM token_mgmt._check_count(keys[1], prompt), token_mgmt._check_count(keys[2], completion);
    u.prompt_tokens := prompt;
    u.completion_tokens := completion;
    RETURN u;
END
$$;
COMMENT ON FUNCTION token_mgmt._usage_from(jsonb) IS
    'The counts of a usage object as settle_tokens() takes them: prompt_tokens with what was '
    'cached, completion_tokens with reasoning. Errors: 22023, 22P02';
REVOKE ALL ON FUNCTION token_mgmt._usage_from(jsonb) FROM PUBLIC;

-- Anthropic bills these beside what the rest of the usage object says. Looked up where it is
-- called: the two functions call each other.
CREATE FUNCTION token_mgmt._folded_usage(iterations jsonb) RETURNS token_mgmt._usage
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sums token_mgmt._usage;
    one token_mgmt._usage;
    entry jsonb;
BEGIN
    sums.prompt_tokens := 0;
    sums.completion_tokens := 0;
    sums.cached_tokens := 0;
    sums.cache_write_tokens := 0;
    IF jsonb_typeof(iterations) <> 'array' THEN
        PERFORM token_mgmt._raise('22P02', 'iterations of the usage is not a JSON array',
            format('Found a JSON %s.', jsonb_typeof(iterations)),
            'Pass the usage object as the API sent it.');
    END IF;
    FOR entry IN SELECT e FROM jsonb_array_elements(iterations) e LOOP
        IF entry ->> 'type' = 'compaction' THEN
            one := token_mgmt._usage_from(entry);
            PERFORM token_mgmt._check_count('iterations',
                sums.prompt_tokens::bigint + one.prompt_tokens),
                token_mgmt._check_count('iterations',
                    sums.completion_tokens::bigint + one.completion_tokens);
            sums.prompt_tokens := sums.prompt_tokens + one.prompt_tokens;
            sums.completion_tokens := sums.completion_tokens + one.completion_tokens;
            sums.cached_tokens := sums.cached_tokens + one.cached_tokens;
            sums.cache_write_tokens := sums.cache_write_tokens + one.cache_write_tokens;
        ELSIF entry ->> 'type' IS DISTINCT FROM 'message' THEN
            PERFORM token_mgmt._raise('22023', 'usage object has an iteration of an unknown type',
                format('Found %s; message and compaction are known.',
                    coalesce('"' || left(entry ->> 'type', 40) || '"', 'none')),
                'It may be billed at the price of another model: record it with record_usage(), '
                'and settle the usage object without it.');
        END IF;
    END LOOP;
    RETURN sums;
END
$$;
COMMENT ON FUNCTION token_mgmt._folded_usage(jsonb) IS
    'What compaction cost beside the answer, by the iterations of Anthropic''s usage object. '
    'Errors: 22023, 22P02';
REVOKE ALL ON FUNCTION token_mgmt._folded_usage(jsonb) FROM PUBLIC;

CREATE FUNCTION @extschema@.settle_usage(
    reservation_id uuid, usage jsonb, metadata jsonb DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    u token_mgmt._usage;
BEGIN
    IF usage IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'usage must not be null', NULL,
            'Pass the API''s usage object, or release_tokens() when the call failed.');
    END IF;
    u := token_mgmt._usage_from(token_mgmt._usage_object(usage));
    u.reservation_id := settle_usage.reservation_id;
    u.metadata := settle_usage.metadata;
    u.options := settle_usage.options;
    u.is_estimated := false;
    RETURN token_mgmt._settle(u);
END
$$;
COMMENT ON FUNCTION @extschema@.settle_usage(uuid, jsonb, jsonb, jsonb) IS
    'settle_tokens() by the usage object of OpenAI (chat, Responses, Realtime), Anthropic or '
    'Gemini, alone or within its response, told apart by their keys. What cannot be read is an '
    'error, never zero. Errors: TM002 to TM004, P0002, 22004, 22023, 22P02';
REVOKE ALL ON FUNCTION @extschema@.settle_usage(uuid, jsonb, jsonb, jsonb) FROM PUBLIC;
