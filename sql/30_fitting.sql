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
    advice jsonb,
    removed jsonb
);
COMMENT ON TYPE token_mgmt.fitted IS
    'A request that fits: messages, their tokens, the completion tokens left to ask for, what was '
    'dropped or truncated (messages), and a receipt; status granted, fitted, reduced or denied; '
    'removed says what sanitising took out beforehand, as sanitize_messages() does';

CREATE FUNCTION token_mgmt._count_messages(messages jsonb, tools jsonb, counter text) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', '_count_messages_wrapper';
COMMENT ON FUNCTION token_mgmt._count_messages(jsonb, jsonb, text) IS
    'message_count as JSON; counter is the text of _counter(). Not STRICT: tools may be NULL';

CREATE FUNCTION token_mgmt._fit(messages jsonb, tools jsonb, request text) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', '_fit_wrapper';
COMMENT ON FUNCTION token_mgmt._fit(jsonb, jsonb, text) IS
    'Fits messages as the request says, which is what _fit_settings() gives; the result as JSON. '
    'Not STRICT: tools may be NULL';

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
        messages, tools, token_mgmt._counter(token_mgmt._resolve_model(model))::text));
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
        WHEN 'user_input' THEN
            reason := 'user input is over its budget';
            detail := format('The agent allows it %s tokens; it has %s, %s too many.',
                prompt_limit, prompt, prompt - prompt_limit);
        WHEN 'system_section' THEN
            reason := 'system section is over its budget';
            detail := format('The agent allows it %s tokens; it has %s, %s too many.',
                prompt_limit, prompt, prompt - prompt_limit);
        WHEN 'max_prompt' THEN
            detail := format('At most %s prompt tokens are allowed; %s were given, %s too many.',
                prompt_limit, prompt, prompt - prompt_limit);
        ELSE
            detail := format(
                'The window is %s tokens: %s prompt + %s completion = %s, %s too many.',
                model.context_window, prompt, completion, prompt + completion,
                prompt + completion - model.context_window);
    END CASE;
    IF cause IN ('user_input', 'system_section') THEN
        advice := jsonb_build_object('detail', detail, 'cause', cause, 'prompt_tokens', prompt,
            'limit', prompt_limit, 'hint', CASE cause
                WHEN 'user_input' THEN 'Shorten the last user message, or raise the agent''s '
                    'max_user_tokens with token_mgmt.set_agent().'
                ELSE 'Shorten the system messages, or raise the agent''s max_system_tokens with '
                    'token_mgmt.set_agent().' END);
        RETURN;
    END IF;
    IF max_completion > 0 AND max_completion < completion THEN
        ways := ways || format('ask for at most %s completion tokens', max_completion);
    END IF;
    IF model.modality = 'embedding' THEN
        ways := ARRAY['split the input'];
    ELSIF is_fitted THEN
        ways := ways || ('shorten the system messages or the last user turn, which are kept (the '
            'option cut lets its tool results be cut)')::text;
    ELSIF cause <> 'max_output' THEN
        ways := ways || 'shorten the prompt with fit_messages()'::text;
    END IF;
    IF model.source = 'agent' THEN
        ways := ways || 'raise the agent''s max_context_tokens'::text;
    ELSIF model.modality <> 'embedding' THEN
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
    'Reason, detail and hint of a TM006 denial; cause is window, max_input, max_output, '
    'max_prompt, or user_input or system_section, of which prompt and prompt_limit then speak';

CREATE FUNCTION token_mgmt._limited(model token_mgmt.model, agent jsonb) RETURNS token_mgmt.model
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF agent IS NULL THEN
        RETURN model;
    END IF;
    IF (agent ->> 'max_context')::integer < coalesce(model.context_window, 2147483647) THEN
        model.context_window := (agent ->> 'max_context')::integer;
        -- By which a denial knows that no other model helps.
        model.source := 'agent';
    END IF;
    model.context_window := greatest(
        model.context_window - coalesce((agent ->> 'safety')::integer, 0), 0);
    model.max_output_tokens := least(model.max_output_tokens, (agent ->> 'completion')::integer);
    RETURN model;
END
$$;
COMMENT ON FUNCTION token_mgmt._limited(token_mgmt.model, jsonb) IS
    'The model as far as an agent may use it, its window less the agent''s safety; agent is what '
    '_agent_settings() says, or NULL';

CREATE FUNCTION token_mgmt._fit_settings(
    model token_mgmt.model, completion_tokens integer, max_prompt_tokens integer, strategy text,
    on_overflow text, min_completion_tokens integer, options jsonb, agent jsonb
) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    blocking text := token_mgmt._setting('block_images');
    -- Numbers put together as text: a jsonb, and its text, would cost six times as much, which is
    -- 1 % of fitting 100 messages.
    settings text := left(token_mgmt._counter(model)::text, -1)
        || ', "window": ' || coalesce(model.context_window::text, 'null')
        || ', "max_input": ' || coalesce(model.max_input_tokens::text, 'null')
        || ', "max_output": ' || coalesce(model.max_output_tokens::text, 'null')
        || ', "default_completion": ' || token_mgmt._setting('default_completion_tokens');
    system_over jsonb;
    budgets jsonb;
BEGIN
    -- What nobody asked for costs no time.
    IF num_nonnulls(completion_tokens, max_prompt_tokens, min_completion_tokens, agent) = 0
        AND (strategy = 'recent' AND on_overflow = 'fit' AND options = '{}') IS NOT FALSE
        AND blocking = 'off'
    THEN
        RETURN settings || ', "omit_unchanged": true}';
    END IF;
    system_over := coalesce(nullif(options -> 'system_over', 'null'), agent -> 'system_over');
    IF system_over NOT IN ('"borrow"', '"refuse"') THEN
        PERFORM token_mgmt._raise('22023', 'option "system_over" is neither borrow nor refuse',
            NULL, 'Give "borrow" or "refuse".');
    END IF;
    options := coalesce(options - 'system_over', '{}');
    -- What is removed: by the setting, by the agent, by the call, the later over the earlier.
    IF agent IS NOT NULL THEN
        options := jsonb_strip_nulls(jsonb_build_object('block_images', agent -> 'block_images',
            'keep_images', agent -> 'keep_images', 'redact', nullif(agent -> 'redact', '[]')))
            || options;
        budgets := (agent -> 'sections') || jsonb_build_object(
            'precedence', agent -> 'precedence', 'history_grows', agent -> 'history_grows',
            'refuse_system', system_over = '"refuse"');
    END IF;
    IF blocking <> 'off' THEN
        options := jsonb_build_object('block_images', blocking) || options;
    END IF;
    RETURN settings || ', ' || substr(jsonb_build_object(
        'completion', coalesce(completion_tokens, (agent ->> 'completion')::integer),
        'max_prompt', max_prompt_tokens, 'min_completion', min_completion_tokens,
        'strategy', strategy, 'on_overflow', on_overflow,
        'budgets', budgets, 'options', options, 'omit_unchanged', true)::text, 2);
END
$$;
COMMENT ON FUNCTION token_mgmt._fit_settings(
    token_mgmt.model, integer, integer, text, text, integer, jsonb, jsonb
) IS
    'All that fitting depends on beside messages and tools, as the text of a JSON object, for the '
    'core and for replays; agent is what _agent_settings() says, or NULL';

CREATE FUNCTION token_mgmt._denied_tokens(answer jsonb, on_overflow text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN answer ->> 'cause' IN ('user_input', 'system_section')
            THEN (answer ->> 'limit')::bigint + (answer ->> 'excess')::bigint
        WHEN coalesce(on_overflow, 'fit') = 'fit' THEN (answer ->> 'needed_tokens')::bigint
        ELSE (answer ->> 'prompt_tokens')::bigint END
$$;
COMMENT ON FUNCTION token_mgmt._denied_tokens(jsonb, text) IS
    'The tokens that a denial of the fitting core speaks of: of the section that is too large, '
    'else the fewest that fitting can reach, else those of the prompt';

CREATE FUNCTION token_mgmt._denied_limit(answer jsonb, max_prompt_tokens integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN answer ->> 'cause' IN ('user_input', 'system_section')
        THEN (answer ->> 'limit')::bigint ELSE max_prompt_tokens END
$$;
COMMENT ON FUNCTION token_mgmt._denied_limit(jsonb, integer) IS
    'The limit beside _denied_tokens(): of the section that is too large, else the caller''s';

-- Nobody asked for the default completion: it gives way before a request is denied.
CREATE FUNCTION token_mgmt._lowered(settings text, answer jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    rest integer;
BEGIN
    IF answer ->> 'status' <> 'denied' THEN
        RETURN NULL;
    END IF;
    rest := answer ->> 'max_completion_tokens';
    RETURN CASE WHEN rest >= greatest((settings::jsonb ->> 'min_completion')::integer, 1)
        THEN (settings::jsonb || jsonb_build_object('completion', rest))::text END;
END
$$;
COMMENT ON FUNCTION token_mgmt._lowered(text, jsonb) IS
    'The settings with the completion that a denied answer has room for; NULL if it was not '
    'denied or has none';

CREATE FUNCTION token_mgmt._fit_by(
    messages jsonb, tools jsonb, INOUT settings text, is_default boolean, OUT answer jsonb
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    lowered text;
BEGIN
    answer := token_mgmt._fit(messages, tools, settings);
    IF is_default THEN
        lowered := token_mgmt._lowered(settings, answer);
    END IF;
    IF lowered IS NOT NULL THEN
        settings := lowered;
        answer := token_mgmt._fit(messages, tools, settings);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._fit_by(jsonb, jsonb, text, boolean) IS
    'The fitting core''s answer as JSON (see crates/token_core for its keys; it has no messages '
    'where they fit as they are), and the settings that it was reached with; is_default says that '
    'the caller named no completion';
