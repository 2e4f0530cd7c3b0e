CREATE FUNCTION token_mgmt._reserve(r token_mgmt._request) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    m token_mgmt.model;
    given token_mgmt._request;
    hash bytea;
    earlier token_mgmt.reservation;
    asked integer;
    predicted integer;
    fits bigint;
BEGIN
    IF r.prompt_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'prompt_tokens must not be null', NULL,
            'Count the prompt with count_messages(), or use prepare_request().');
    END IF;
    IF r.on_overflow NOT IN ('reduce', 'refuse') THEN
        PERFORM token_mgmt._raise('22023', format('unknown on_overflow "%s"', r.on_overflow),
            'It is reduce or refuse here.', 'To fit messages use prepare_request().');
    END IF;
    r.on_overflow := coalesce(r.on_overflow, 'reduce');
    IF r.request_id IS NOT NULL THEN
        given := r;
    END IF;
    IF r.options <> '{}' THEN
        PERFORM token_mgmt._check_object('options', r.options, '{}');
    END IF;
    r := token_mgmt._check_request(r);
    IF r.request_id IS NOT NULL THEN
        hash := token_mgmt._request_hash(given, r.api_key);
        earlier := token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash);
        IF earlier.reservation_id IS NOT NULL THEN
            RETURN token_mgmt._grant_of(earlier);
        END IF;
    END IF;
    asked := coalesce(r.completion_tokens, r.min_completion_tokens, 0);
    IF r.model IS NOT NULL THEN
        m := token_mgmt._resolve_model(r.model);
        r.model := m.provider || '/' || m.model;
        IF m.modality = 'embedding' AND r.completion_tokens > 0 THEN
            PERFORM token_mgmt._raise('22023',
                format('model "%s" writes no completion', m.model),
                format('It is an embedding model; %s completion tokens were asked for.',
                    r.completion_tokens), 'Leave completion_tokens out.');
        END IF;
        IF r.completion_tokens IS NULL THEN
            predicted := token_mgmt._predicted_completion(r, m);
            asked := greatest(coalesce(predicted, token_mgmt._default_completion(m)),
                r.min_completion_tokens);
        END IF;
        fits := token_mgmt._completion_limit(m, r.prompt_tokens);
        IF r.prompt_tokens > m.max_input_tokens THEN
            RETURN token_mgmt._window_denial(m, 'max_input', r.prompt_tokens, asked, 0, NULL,
                false);
        END IF;
        IF r.completion_tokens IS NULL AND fits > 0 THEN
            asked := least(asked, fits);
        END IF;
        IF asked > fits OR fits < 0 THEN
            IF r.on_overflow = 'refuse' OR fits < greatest(r.min_completion_tokens, 1) THEN
                RETURN token_mgmt._window_denial(m,
                    CASE WHEN asked > m.max_output_tokens AND fits = m.max_output_tokens
                        THEN 'max_output' ELSE 'window' END,
                    r.prompt_tokens, asked, greatest(fits, 0), NULL, false);
            END IF;
            r.completion_tokens := fits;
        ELSE
            r.completion_tokens := asked;
        END IF;
    END IF;
    r.completion_tokens := coalesce(r.completion_tokens, asked);
    RETURN token_mgmt._hold(r, m, hash, CASE WHEN predicted IS NOT NULL
        THEN jsonb_build_object('predicted_tokens', predicted) END, asked);
END
$$;
COMMENT ON FUNCTION token_mgmt._reserve(token_mgmt._request) IS
    'The one body behind every form of reserve_tokens: decides and holds, or answers status denied';
REVOKE ALL ON FUNCTION token_mgmt._reserve(token_mgmt._request) FROM PUBLIC;

CREATE FUNCTION token_mgmt._completion_limit(m token_mgmt.model, prompt_tokens bigint)
    RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF m.window_excludes_output THEN
        RETURN CASE WHEN prompt_tokens > m.context_window THEN m.context_window - prompt_tokens
            ELSE m.max_output_tokens END;
    END IF;
    RETURN least(m.max_output_tokens, m.context_window - prompt_tokens);
END
$$;
COMMENT ON FUNCTION token_mgmt._completion_limit(token_mgmt.model, bigint) IS
    'Completion tokens that the model leaves beside the prompt; negative where the prompt is too '
    'long';

CREATE FUNCTION @extschema@.try_reserve_tokens(
    user_id text, prompt_tokens integer, completion_tokens integer DEFAULT NULL,
    model text DEFAULT NULL, priority text DEFAULT NULL, api_key text DEFAULT NULL,
    team text DEFAULT NULL, session_id text DEFAULT NULL, agent text DEFAULT NULL,
    endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    min_completion_tokens integer DEFAULT NULL, on_overflow text DEFAULT 'reduce',
    ttl interval DEFAULT NULL, max_wait interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN token_mgmt._reserve((user_id, prompt_tokens, completion_tokens, model, priority, api_key,
        team, session_id, agent, endpoint, request_id, min_completion_tokens, on_overflow, ttl,
        max_wait, metadata, tenant, options, NULL, NULL, NULL, NULL, NULL)::token_mgmt._request);
END
$$;
COMMENT ON FUNCTION @extschema@.try_reserve_tokens(
    text, integer, integer, text, text, text, text, text, text, text, text, integer, text, interval,
    interval, jsonb, text, jsonb
) IS 'reserve_tokens that returns a TM001 or TM006 denial (status denied, sqlstate, reason, '
    'retry_after, advice) instead of raising it; every other error is raised';

CREATE FUNCTION @extschema@.reserve_tokens(
    user_id text, prompt_tokens integer, completion_tokens integer DEFAULT NULL,
    model text DEFAULT NULL, priority text DEFAULT NULL, api_key text DEFAULT NULL,
    team text DEFAULT NULL, session_id text DEFAULT NULL, agent text DEFAULT NULL,
    endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    min_completion_tokens integer DEFAULT NULL, on_overflow text DEFAULT 'reduce',
    ttl interval DEFAULT NULL, max_wait interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    g token_mgmt.reservation_grant;
BEGIN
    g := token_mgmt._reserve((user_id, prompt_tokens, completion_tokens, model, priority, api_key,
        team, session_id, agent, endpoint, request_id, min_completion_tokens, on_overflow, ttl,
        max_wait, metadata, tenant, options, NULL, NULL, NULL, NULL, NULL)::token_mgmt._request);
    IF g.status = 'denied' THEN
        PERFORM token_mgmt._raise_denial(g.sqlstate, g.reason, g.advice);
    END IF;
    RETURN g;
END
$$;
COMMENT ON FUNCTION @extschema@.reserve_tokens(
    text, integer, integer, text, text, text, text, text, text, text, text, integer, text, interval,
    interval, jsonb, text, jsonb
) IS
    'Holds prompt and completion tokens in every quota that applies, before the call. '
    'completion_tokens NULL: with a model what its last completions for this user predict, else a '
    'default, none without a model; on_overflow reduce lowers it, not below '
    'min_completion_tokens. Errors: TM001, TM003 to TM006, 22004, 22023, 42704';
REVOKE ALL ON FUNCTION @extschema@.try_reserve_tokens(
    text, integer, integer, text, text, text, text, text, text, text, text, integer, text, interval,
    interval, jsonb, text, jsonb
), @extschema@.reserve_tokens(
    text, integer, integer, text, text, text, text, text, text, text, text, integer, text, interval,
    interval, jsonb, text, jsonb
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._request_from(request jsonb, known text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    IF request IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'request must not be null', NULL,
            'Pass a JSON object such as {"user_id": "alice", "prompt_tokens": 1200}.');
    END IF;
    PERFORM token_mgmt._check_object('request', request, known);
    RETURN request;
END
$$;
COMMENT ON FUNCTION token_mgmt._request_from(jsonb, text[]) IS
    'Refuses (22023) keys that are no arguments of the call';

CREATE PROCEDURE @extschema@.reserve_tokens(INOUT request jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    g token_mgmt.reservation_grant;
BEGIN
    g := token_mgmt._reserve(jsonb_populate_record(NULL::token_mgmt._request,
        token_mgmt._request_from(request, ARRAY['user_id', 'prompt_tokens', 'completion_tokens',
            'model', 'priority', 'api_key', 'team', 'session_id', 'agent', 'endpoint', 'request_id',
            'min_completion_tokens', 'on_overflow', 'ttl', 'max_wait', 'metadata', 'tenant',
            'options'])));
    IF g.status = 'denied' THEN
        PERFORM token_mgmt._raise_denial(g.sqlstate, g.reason, g.advice);
    END IF;
    request := jsonb_strip_nulls(to_jsonb(g));
END
$$;
COMMENT ON PROCEDURE @extschema@.reserve_tokens(jsonb) IS
    'CALL form of reserve_tokens: its arguments as one JSON object in, the grant as JSON out';
REVOKE ALL ON PROCEDURE @extschema@.reserve_tokens(jsonb) FROM PUBLIC;
