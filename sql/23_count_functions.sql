CREATE TYPE token_mgmt.text_count AS (
    tokens bigint,
    method text,
    low bigint,
    high bigint
);
COMMENT ON TYPE token_mgmt.text_count IS
    'Tokens of one text. method is exact or estimate; the true number lies between low and high';

-- The rules, and where they are published, are in crates/token_core/src/chat/image/rule.rs. LIKE,
-- as a server process keeps only 32 regular expressions compiled.
CREATE FUNCTION token_mgmt._image_rule(model text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    name text := CASE WHEN model LIKE '%/%' THEN regexp_replace(model, '^.*/', '') ELSE model END;
BEGIN
    RETURN CASE
        WHEN name LIKE 'gpt-4o-mini%' THEN 'openai_tiles_4o_mini'
        WHEN name LIKE 'gpt-4.1-mini%' THEN 'openai_patches_4_1_mini'
        WHEN name LIKE 'gpt-4.1-nano%' THEN 'openai_patches_4_1_nano'
        WHEN name LIKE ANY ('{gpt-4o%,gpt-4.1%,gpt-4.5%,gpt-4-turbo%}') THEN 'openai_tiles'
        WHEN name LIKE ANY ('{gpt-5-mini%,gpt-5.4-mini%}') THEN 'openai_patches_5_mini'
        WHEN name LIKE ANY ('{gpt-5-nano%,gpt-5.4-nano%}') THEN 'openai_patches_5_nano'
        WHEN name LIKE ANY ('{gpt-5-codex%,gpt-5.1-codex%,gpt-5.2%,gpt-5.3%}')
            THEN 'openai_patches_5_2'
        WHEN name LIKE 'gpt-5.4%' THEN 'openai_patches_5_4'
        WHEN name LIKE 'gpt-5.5%' THEN 'openai_patches_5_5'
        WHEN name LIKE ANY ('{gpt-5.6%,gpt-6%}') THEN 'openai_patches_6'
        WHEN name LIKE ANY ('{gpt-5,gpt-5-%,gpt-5.1%}') THEN 'openai_tiles_5'
        WHEN name LIKE 'o4-mini%' THEN 'openai_patches_o4_mini'
        WHEN name LIKE ANY ('{o1,o1-%,o3,o3-%}') THEN 'openai_tiles_o'
        WHEN name LIKE 'computer-use-preview%' THEN 'openai_tiles_computer'
        WHEN name ~ '^claude-(3-|[a-z]+-4(-[0-6])?(-20[0-9]{6})?$)' THEN 'claude'
        WHEN name LIKE 'claude-%' THEN 'claude_large'
        WHEN name LIKE ANY ('{gemini-1.5%,gemini-2%}') THEN 'gemini_2'
        WHEN name LIKE 'gemini-3%' THEN 'gemini_3'
        ELSE 'unknown' END;
END
$$;
COMMENT ON FUNCTION token_mgmt._image_rule(text) IS
    'Rule by which the model of this name counts images, whoever offers it; unknown is the widest';

-- family: the maker's public vocabulary, but perhaps that of another generation of its models.
-- 0.75 and 1.35 are deliberately wide: they are to hold for every vocabulary that is not built in
-- and for vendors that publish none (1.35 is what the newest Claude models are known to need).
CREATE FUNCTION token_mgmt._counter(model token_mgmt.model) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    images text := token_mgmt._image_rule(model.model);
BEGIN
    IF NOT token_mgmt._encoding_exists(model.encoding) THEN
        RETURN jsonb_build_object('encoding', 'o200k_base', 'basis', 'estimate',
            'low_factor', 0.75, 'high_factor', 1.35, 'images', images);
    END IF;
    RETURN jsonb_build_object('encoding', model.encoding, 'basis', model.encoding_basis,
        'images', images)
        || CASE model.encoding_basis
            WHEN 'estimate' THEN '{"low_factor": 0.75, "high_factor": 1.35}'::jsonb
            WHEN 'family' THEN '{"low_factor": 0.85, "high_factor": 1.2}'::jsonb
            ELSE '{"low_factor": 1, "high_factor": 1}' END;
END
$$;
COMMENT ON FUNCTION token_mgmt._counter(token_mgmt.model) IS
    'How to count for this model: encoding (built in), basis, low_factor and high_factor of its '
    'text, and the rule for images. A vocabulary that is not built in is stood in for by '
    'o200k_base, as an estimate';

CREATE FUNCTION @extschema@.count_text(model text, content text) RETURNS token_mgmt.text_count
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counter jsonb := token_mgmt._counter(token_mgmt._resolve_model(model));
    result token_mgmt.text_count;
BEGIN
    IF content IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'content must not be null', NULL,
            'Pass an empty string where there is no text.');
    END IF;
    result.tokens := @extschema@.tiktoken_count(counter ->> 'encoding', content, false);
    result.method := CASE counter ->> 'basis' WHEN 'exact' THEN 'exact' ELSE 'estimate' END;
    result.low := floor(result.tokens * (counter ->> 'low_factor')::numeric);
    result.high := ceil(result.tokens * (counter ->> 'high_factor')::numeric);
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.count_text(text, text) IS
    'Tokens of a text as this model counts it, with the bounds between which the true number lies. '
    'Special tokens in it are ordinary text. Not STRICT: a NULL model or content is 22004. Errors: '
    '22004, 42704, 42725, 54000';

CREATE FUNCTION @extschema@.count_tokens(model text, content text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (@extschema@.count_text(model, content)).tokens;
END
$$;
COMMENT ON FUNCTION @extschema@.count_tokens(text, text) IS
    'Tokens of a text as this model counts it: the tokens of count_text(). Errors: as there';
