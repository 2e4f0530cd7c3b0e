CREATE TYPE token_mgmt.fitting_model AS (
    provider text,
    model text,
    context_window integer,
    max_input_tokens integer,
    max_output_tokens integer,
    max_completion_tokens integer,
    cost numeric
);
COMMENT ON TYPE token_mgmt.fitting_model IS
    'A model that takes a request. max_completion_tokens is the most that can be asked for beside '
    'the prompt (NULL: not known), cost what prompt and completion cost in USD at today''s price';

CREATE FUNCTION @extschema@.models_that_fit(
    prompt_tokens integer, completion_tokens integer DEFAULT NULL
) RETURNS SETOF token_mgmt.fitting_model
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 200
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF prompt_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'prompt_tokens must not be null', NULL,
            'Count the prompt with count_tokens() or count_messages().');
    END IF;
    IF least(prompt_tokens, completion_tokens) < 0 THEN
        PERFORM token_mgmt._raise('22023', 'token counts must not be negative', format(
            'Found %s prompt and %s completion tokens.', prompt_tokens,
            coalesce(completion_tokens, 0)), 'Pass 0 where there are none.');
    END IF;
    RETURN QUERY
        SELECT (f.m).provider, (f.m).model, (f.m).context_window, (f.m).max_input_tokens,
            (f.m).max_output_tokens,
            CASE WHEN (f.m).window_excludes_output THEN (f.m).max_output_tokens
            ELSE least((f.m).max_output_tokens, (f.m).context_window - prompt_tokens) END,
            f.cost
        FROM token_mgmt._models_that_fit(prompt_tokens, completion_tokens) f
        ORDER BY f.cost, length((f.m).model), (f.m).model, (f.m).provider;
END
$$;
COMMENT ON FUNCTION @extschema@.models_that_fit(integer, integer) IS
    'Every chat model that takes a prompt of so many tokens and a completion of so many (NULL: '
    'none), is priced and not deprecated, the cheapest first. Not STRICT: a NULL prompt_tokens is '
    '22004. Errors: 22004, 22023';
