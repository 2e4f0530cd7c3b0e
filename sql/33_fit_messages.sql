CREATE FUNCTION token_mgmt._agent_profile(agent text) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF NOT has_function_privilege('token_mgmt._agent_settings(text, text)', 'EXECUTE') THEN
        PERFORM token_mgmt._raise('42501', 'permission denied for the profiles of agents',
            format('Role "%s" may not read them.', current_user),
            'Access is given by token_mgmt.grant_access().');
    END IF;
    RETURN token_mgmt._agent_settings(agent, NULL);
END
$$;
COMMENT ON FUNCTION token_mgmt._agent_profile(text) IS
    'What _agent_settings() says, for callers that may not be allowed to ask (42501)';

CREATE FUNCTION token_mgmt._fit_request(
    messages jsonb, model text, completion_tokens integer, max_prompt_tokens integer, agent text,
    strategy text, on_overflow text, options jsonb
) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    m token_mgmt.model;
    profile jsonb;
BEGIN
    IF messages IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'messages must not be null', NULL,
            'Pass a JSON array of chat messages.');
    END IF;
    -- What is left out costs no query.
    IF completion_tokens IS NOT NULL OR max_prompt_tokens IS NOT NULL OR options <> '{}' THEN
        PERFORM token_mgmt._check_count('completion_tokens', completion_tokens),
            token_mgmt._check_count('max_prompt_tokens', max_prompt_tokens),
            token_mgmt._check_object('options', options, NULL);
        IF options ? 'session_id' THEN
            options := options - 'session_id' || CASE WHEN options ? 'summary' THEN '{}'
                ELSE jsonb_build_object('summary',
                    token_mgmt._session_summary(options ->> 'session_id')) END;
        END IF;
    END IF;
    IF agent IS NOT NULL THEN
        profile := token_mgmt._agent_profile(agent);
    END IF;
    m := token_mgmt._resolve_model(model);
    IF agent IS NOT NULL THEN
        m := token_mgmt._limited(m, profile);
    END IF;
    RETURN token_mgmt._fit_settings(m, completion_tokens, max_prompt_tokens, strategy,
        on_overflow, NULL, options, profile);
END
$$;
COMMENT ON FUNCTION token_mgmt._fit_request(
    jsonb, text, integer, integer, text, text, text, jsonb
) IS
    'The settings that the arguments of fit_messages() stand for. Errors: as there, but no TM006';

CREATE FUNCTION token_mgmt._refitted(
    messages jsonb, model text, completion_tokens integer, max_prompt_tokens integer, tools jsonb,
    agent text, on_overflow text, settings text, answer jsonb
) RETURNS token_mgmt.fitted
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    lowered text;
    result token_mgmt.fitted;
BEGIN
    IF completion_tokens IS NULL THEN
        lowered := token_mgmt._lowered(settings, answer);
        IF lowered IS NOT NULL THEN
            answer := token_mgmt._fit(messages, tools, lowered);
        END IF;
    END IF;
    result := jsonb_populate_record(NULL::token_mgmt.fitted, answer);
    IF result.status = 'denied' THEN
        result.sqlstate := 'TM006';
        SELECT a.reason, a.advice INTO result.reason, result.advice
        FROM token_mgmt._window_advice(
            token_mgmt._limited(token_mgmt._resolve_model(model), token_mgmt._agent_profile(agent)),
            answer ->> 'cause', token_mgmt._denied_tokens(answer, on_overflow),
            (answer ->> 'completion_tokens')::bigint, (answer ->> 'max_completion_tokens')::bigint,
            token_mgmt._denied_limit(answer, max_prompt_tokens),
            coalesce(on_overflow, 'fit') = 'fit') a;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt._refitted(
    jsonb, text, integer, integer, jsonb, text, text, text, jsonb
) IS
    'What becomes of a request to which the core''s answer was a denial: fitted with a lower '
    'default completion, or denied with reason and advice; without messages where they fit as '
    'they are';

-- That both functions say the same, rather than call a third, saves 2 % where 100 messages fit.
CREATE FUNCTION @extschema@.try_fit_messages(
    messages jsonb, model text, completion_tokens integer DEFAULT NULL,
    max_prompt_tokens integer DEFAULT NULL, tools jsonb DEFAULT NULL, agent text DEFAULT NULL,
    strategy text DEFAULT 'recent', on_overflow text DEFAULT 'fit', options jsonb DEFAULT '{}'
) RETURNS token_mgmt.fitted
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settings text;
    answer jsonb;
    result token_mgmt.fitted;
BEGIN
    settings := token_mgmt._fit_request(messages, model, completion_tokens, max_prompt_tokens,
        agent, strategy, on_overflow, options);
    answer := token_mgmt._fit(messages, tools, settings);
    IF answer ->> 'status' <> 'denied' THEN
        result := jsonb_populate_record(NULL::token_mgmt.fitted, answer);
    ELSE
        result := token_mgmt._refitted(messages, model, completion_tokens, max_prompt_tokens,
            tools, agent, on_overflow, settings, answer);
    END IF;
    IF result.messages IS NULL AND result.status <> 'denied' THEN
        result.messages := messages;
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
    settings text;
    answer jsonb;
    result token_mgmt.fitted;
BEGIN
    settings := token_mgmt._fit_request(messages, model, completion_tokens, max_prompt_tokens,
        agent, strategy, on_overflow, options);
    answer := token_mgmt._fit(messages, tools, settings);
    IF answer ->> 'status' <> 'denied' THEN
        result := jsonb_populate_record(NULL::token_mgmt.fitted, answer);
    ELSE
        result := token_mgmt._refitted(messages, model, completion_tokens, max_prompt_tokens,
            tools, agent, on_overflow, settings, answer);
        IF result.status = 'denied' THEN
            PERFORM token_mgmt._raise(result.sqlstate, result.reason, result.advice ->> 'detail',
                result.advice ->> 'hint');
        END IF;
    END IF;
    IF result.messages IS NULL THEN
        result.messages := messages;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.fit_messages(
    jsonb, text, integer, integer, jsonb, text, text, text, jsonb
) IS
    'Makes a conversation (OpenAI messages, Anthropic {system, messages}, or input items of the '
    'Responses API; the same shape comes back) fit the model''s context window beside '
    'completion_tokens (NULL: the default is kept back). agent: a profile with budgets of '
    'sections. strategy: recent, middle_out, importance or summary. on_overflow: fit drops what '
    'ranks last, reduce lowers the completion, refuse raises. Errors: TM006, 22004, 22023, 22P02, '
    '42704';

CREATE TYPE token_mgmt.fit_section AS (
    section text,
    budget integer,
    used integer,
    kept integer,
    dropped integer
);
COMMENT ON TYPE token_mgmt.fit_section IS
    'A section of a prompt: its budget (tokens; NULL: none of its own), the tokens that it uses '
    'once fitted, framing included, and how many messages stay and go';

CREATE FUNCTION @extschema@.explain_fit(
    messages jsonb, model text, completion_tokens integer DEFAULT NULL,
    max_prompt_tokens integer DEFAULT NULL, tools jsonb DEFAULT NULL, agent text DEFAULT NULL,
    strategy text DEFAULT 'recent', on_overflow text DEFAULT 'fit', options jsonb DEFAULT '{}'
) RETURNS SETOF token_mgmt.fit_section
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 6
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT s.*
    FROM token_mgmt._fit_by(messages, tools, token_mgmt._fit_request(messages, model,
            completion_tokens, max_prompt_tokens, agent, strategy, on_overflow, options),
            completion_tokens IS NULL) f,
        LATERAL jsonb_populate_recordset(NULL::token_mgmt.fit_section, f.answer -> 'sections') s;
END
$$;
COMMENT ON FUNCTION @extschema@.explain_fit(
    jsonb, text, integer, integer, jsonb, text, text, text, jsonb
) IS
    'What fit_messages() with these arguments makes of each section, without the messages. Where '
    'it would be refused, what is there before anything goes. Errors: 22004, 22023, 22P02, 42704';

CREATE FUNCTION token_mgmt._check_messages(messages text, provider text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', '_check_messages_wrapper';
COMMENT ON FUNCTION token_mgmt._check_messages(text, text) IS
    'JSON of the problems of messages (a JSON text); not STRICT: provider may be NULL';

CREATE TYPE token_mgmt.message_problem AS (
    index integer,
    kind text,
    found text
);
COMMENT ON TYPE token_mgmt.message_problem IS
    'What a provider would refuse. index counts messages from 0 and is NULL for Anthropic''s '
    'system and for the list; kind is shape (of it alone), pairing (of calls and their results) or '
    'order';

CREATE FUNCTION @extschema@.check_messages(messages jsonb, provider text DEFAULT NULL)
    RETURNS SETOF token_mgmt.message_problem
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 1
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF messages IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'messages must not be null', NULL,
            'Pass a JSON array of chat messages.');
    END IF;
    RETURN QUERY
    SELECT p.* FROM jsonb_populate_recordset(NULL::token_mgmt.message_problem,
        token_mgmt._check_messages(messages::text, provider)::jsonb) p;
END
$$;
COMMENT ON FUNCTION @extschema@.check_messages(jsonb, text) IS
    'What the API of a provider (openai, anthropic or responses; NULL: the one whose shape the '
    'messages have) would refuse in them; no row if it would take them. Errors: 22004, 22023 '
    'unknown provider, 22P02 no messages at all';
