CREATE TYPE token_mgmt.message_count AS (
    total bigint,
    system bigint,
    history bigint,
    rag bigint,
    tools bigint,
    images bigint,
    overhead bigint,
    method text,
    low bigint,
    high bigint
);
COMMENT ON TYPE token_mgmt.message_count IS
    'Tokens of a whole request, by part; total, low and high are sums, method is formula or '
    'estimate';

CREATE TYPE token_mgmt.fitted AS (
    messages jsonb,
    prompt_tokens integer,
    method text,
    completion_tokens integer,
    dropped integer,
    truncated integer,
    needs_summary boolean,
    warnings text[],
    receipt jsonb,
    status text,
    sqlstate text,
    reason text,
    advice jsonb
);
COMMENT ON TYPE token_mgmt.fitted IS
    'A request that fits: messages, their tokens, the completion tokens left to ask for, what was '
    'dropped or truncated (messages), and a receipt; status granted, fitted, reduced or denied';

CREATE FUNCTION token_mgmt._count_messages(messages text, tools text, counter text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', '_count_messages_wrapper';
COMMENT ON FUNCTION token_mgmt._count_messages(text, text, text) IS
    'JSON of message_count for messages and tools (JSON texts); not STRICT: tools may be NULL';

CREATE FUNCTION token_mgmt._fit(messages text, tools text, request text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', '_fit_wrapper';
COMMENT ON FUNCTION token_mgmt._fit(text, text, text) IS
    'Fits messages as the request (JSON) says; JSON of the result. Not STRICT: tools may be NULL';

CREATE FUNCTION @extschema@.count_messages(model text, messages jsonb, tools jsonb DEFAULT NULL)
    RETURNS token_mgmt.message_count
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF model IS NULL OR messages IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN model IS NULL THEN 'model' ELSE 'messages' END), NULL, NULL);
    END IF;
    RETURN jsonb_populate_record(NULL::token_mgmt.message_count, token_mgmt._count_messages(
        messages::text, tools::text,
        token_mgmt._counter(token_mgmt._resolve_model(model))::text)::jsonb);
END
$$;
COMMENT ON FUNCTION @extschema@.count_messages(text, jsonb, jsonb) IS
    'Tokens of OpenAI chat messages and tool definitions as the API bills them, with the overhead '
    'per message and name and the priming of the reply. Errors: 22004, 22P02, 42704';

CREATE FUNCTION token_mgmt._default_completion(model token_mgmt.model) RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN model.modality = 'embedding' THEN 0
        ELSE least(token_mgmt._setting('default_completion_tokens')::integer,
            greatest(model.context_window / 4, 1), model.max_output_tokens) END
$$;
COMMENT ON FUNCTION token_mgmt._default_completion(token_mgmt.model) IS
    'Completion tokens kept back when a call names none: token_mgmt.default_completion_tokens, at '
    'most a quarter of the window and the model''s maximum output';

-- One denial for reserve, prepare and fit, so that the numbers and the way out are always the same.
CREATE FUNCTION token_mgmt._window_advice(
    model token_mgmt.model, cause text, prompt bigint, completion bigint, max_completion bigint,
    prompt_limit bigint, is_fitted boolean, OUT reason text, OUT advice jsonb
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    ways text[] := '{}';
    other text;
BEGIN
    reason := format('request does not fit the context window of model "%s"', model.model);
    CASE cause
        WHEN 'max_input' THEN
            detail := format(
                'The model takes at most %s prompt tokens; %s were given, %s too many.',
                model.max_input_tokens, prompt, prompt - model.max_input_tokens);
        WHEN 'max_output' THEN
            detail := format('The model writes at most %s tokens; %s were asked for, %s too many.',
                model.max_output_tokens, completion, completion - model.max_output_tokens);
        WHEN 'max_prompt' THEN
            detail := format('At most %s prompt tokens are allowed; %s were given, %s too many.',
                prompt_limit, prompt, prompt - prompt_limit);
        ELSE
            detail := format(
                'The window is %s tokens: %s prompt + %s completion = %s, %s too many.',
                model.context_window, prompt, completion, prompt + completion,
                prompt + completion - model.context_window);
    END CASE;
    IF max_completion > 0 AND max_completion < completion THEN
        ways := ways || format('ask for at most %s completion tokens', max_completion);
    END IF;
    IF model.modality = 'embedding' THEN
        ways := ARRAY['split the input'];
    ELSIF is_fitted THEN
        ways := ways || 'shorten the system messages or the last user turn, which are kept'::text;
    ELSIF cause <> 'max_output' THEN
        ways := ways || 'shorten the prompt with fit_messages()'::text;
    END IF;
    IF model.modality <> 'embedding' THEN
        other := token_mgmt._cheapest_model_that_fits(prompt, completion, model.provider);
    END IF;
    IF other IS NOT NULL AND cause <> 'max_prompt' THEN
        ways := ways || format('use model "%s" (cheapest that fits)', other);
    END IF;
    IF ways = '{}' THEN
        ways := ARRAY['split the request'];
    END IF;
    advice := jsonb_build_object(
        'detail', detail,
        'hint', upper(left(ways[1], 1)) || substr(ways[1], 2) || CASE cardinality(ways)
            WHEN 1 THEN '' WHEN 2 THEN ', or ' || ways[2]
            ELSE ', ' || ways[2] || ', or ' || ways[3] END || '.',
        'cause', cause, 'prompt_tokens', prompt, 'completion_tokens', completion,
        'context_window', model.context_window, 'max_completion_tokens', max_completion,
        'model_that_fits', other);
END
$$;
COMMENT ON FUNCTION token_mgmt._window_advice(
    token_mgmt.model, text, bigint, bigint, bigint, bigint, boolean
) IS
    'Reason, detail and hint of a TM006 denial; cause is window, max_input, max_output or '
    'max_prompt';

CREATE FUNCTION token_mgmt._fit_settings(
    model token_mgmt.model, completion_tokens integer, max_prompt_tokens integer, strategy text,
    on_overflow text, min_completion_tokens integer, options jsonb
) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN token_mgmt._counter(model) || jsonb_build_object(
        'window', model.context_window, 'max_input', model.max_input_tokens,
        'max_output', model.max_output_tokens, 'completion', completion_tokens,
        'default_completion', token_mgmt._setting('default_completion_tokens')::integer,
        'max_prompt', max_prompt_tokens, 'safety', 0,
        'on_overflow', coalesce(on_overflow, 'fit'), 'strategy', coalesce(strategy, 'recent'),
        'min_completion', min_completion_tokens, 'options', coalesce(options, '{}'));
END
$$;
COMMENT ON FUNCTION token_mgmt._fit_settings(
    token_mgmt.model, integer, integer, text, text, integer, jsonb
) IS 'All that fitting depends on beside messages and tools, for the core and for replays';

-- Nobody asked for the default completion: it gives way before a request is denied.
CREATE FUNCTION token_mgmt._fit_by(
    messages jsonb, tools jsonb, INOUT settings jsonb, is_default boolean, OUT answer jsonb
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rest integer;
BEGIN
    answer := token_mgmt._fit(messages::text, tools::text, settings::text);
    IF is_default AND answer ->> 'status' = 'denied' THEN
        rest := answer ->> 'max_completion_tokens';
        IF rest >= greatest((settings ->> 'min_completion')::integer, 1) THEN
            settings := settings || jsonb_build_object('completion', rest);
            answer := token_mgmt._fit(messages::text, tools::text, settings::text);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._fit_by(jsonb, jsonb, jsonb, boolean) IS
    'The fitting core''s answer as JSON (see crates/token_core for its keys), and the settings '
    'that it was reached with; is_default says that the caller named no completion';

CREATE FUNCTION @extschema@.try_fit_messages(
    messages jsonb, model text, completion_tokens integer DEFAULT NULL,
    max_prompt_tokens integer DEFAULT NULL, tools jsonb DEFAULT NULL, agent text DEFAULT NULL,
    strategy text DEFAULT 'recent', on_overflow text DEFAULT 'fit', options jsonb DEFAULT '{}'
) RETURNS token_mgmt.fitted
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m token_mgmt.model;
    answer jsonb;
    result token_mgmt.fitted;
BEGIN
    IF messages IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'messages must not be null', NULL,
            'Pass a JSON array of chat messages.');
    END IF;
    PERFORM token_mgmt._check_count('completion_tokens', completion_tokens),
        token_mgmt._check_count('max_prompt_tokens', max_prompt_tokens),
        token_mgmt._check_object('options', options, NULL);
    m := token_mgmt._resolve_model(model);
    SELECT f.answer INTO answer
    FROM token_mgmt._fit_by(messages, tools, token_mgmt._fit_settings(m, completion_tokens,
        max_prompt_tokens, strategy, on_overflow, NULL, options), completion_tokens IS NULL) f;
    result := jsonb_populate_record(NULL::token_mgmt.fitted, answer);
    IF result.status = 'denied' THEN
        result.sqlstate := 'TM006';
        SELECT a.reason, a.advice INTO result.reason, result.advice
        FROM token_mgmt._window_advice(m, answer ->> 'cause',
            (answer ->> CASE coalesce(on_overflow, 'fit') WHEN 'fit' THEN 'needed_tokens'
                ELSE 'prompt_tokens' END)
                ::bigint,
            (answer ->> 'completion_tokens')::bigint, (answer ->> 'max_completion_tokens')::bigint,
            max_prompt_tokens, coalesce(on_overflow, 'fit') = 'fit') a;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.try_fit_messages(
    jsonb, text, integer, integer, jsonb, text, text, text, jsonb
) IS
    'fit_messages that returns a TM006 denial (status denied, sqlstate, reason, advice) instead '
    'of raising it';

CREATE FUNCTION @extschema@.fit_messages(
    messages jsonb, model text, completion_tokens integer DEFAULT NULL,
    max_prompt_tokens integer DEFAULT NULL, tools jsonb DEFAULT NULL, agent text DEFAULT NULL,
    strategy text DEFAULT 'recent', on_overflow text DEFAULT 'fit', options jsonb DEFAULT '{}'
) RETURNS token_mgmt.fitted
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result token_mgmt.fitted;
BEGIN
    result := @extschema@.try_fit_messages(messages, model, completion_tokens, max_prompt_tokens,
        tools, agent, strategy, on_overflow, options);
    IF result.status = 'denied' THEN
        PERFORM token_mgmt._raise(result.sqlstate, result.reason, result.advice ->> 'detail',
            result.advice ->> 'hint');
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.fit_messages(
    jsonb, text, integer, integer, jsonb, text, text, text, jsonb
) IS
    'Makes OpenAI chat messages fit the model''s context window beside completion_tokens (NULL: '
    'the default is kept back). on_overflow: fit drops and cuts the oldest, reduce lowers the '
    'completion, refuse raises. Errors: TM006, 22004, 22023, 22P02, 42704';
