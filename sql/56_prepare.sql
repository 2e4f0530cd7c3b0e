CREATE TYPE token_mgmt.prepared AS (
    reservation_id uuid,
    status text,
    messages jsonb,
    prompt_tokens integer,
    method text,
    completion_tokens integer,
    tokens_held integer,
    tokens_remaining bigint,
    dropped integer,
    truncated integer,
    needs_summary boolean,
    warnings text[],
    receipt jsonb,
    expires_at timestamptz,
    sqlstate text,
    reason text,
    retry_after interval,
    advice jsonb,
    removed jsonb
);
COMMENT ON TYPE token_mgmt.prepared IS
    'A request that fits and is held: send messages with completion_tokens as the API''s limit. '
    'status is granted, reduced or fitted; from try_prepare_request also denied, with sqlstate, '
    'reason, retry_after and advice';

CREATE FUNCTION token_mgmt._most_prompt(
    wanted token_mgmt._wanted[], share numeric, rates token_mgmt._rates, completion integer
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(greatest(CASE w.metric
        WHEN 'tokens' THEN token_mgmt._available(w, share) - completion
        WHEN 'cost' THEN floor((token_mgmt._available(w, share)
            - completion * coalesce(rates.output, 0)) / nullif(rates.input, 0)) END, 0))
    FROM unnest(wanted) w WHERE NOT w.is_soft AND w.metric <> 'requests'
$$;
COMMENT ON FUNCTION token_mgmt._most_prompt(
    token_mgmt._wanted[], numeric, token_mgmt._rates, integer
) IS 'The longest prompt that the quotas have room for beside this completion; NULL: any';

CREATE FUNCTION token_mgmt._prepared(
    g token_mgmt.reservation_grant, answer jsonb, messages jsonb
) RETURNS token_mgmt.prepared
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p token_mgmt.prepared;
BEGIN
    p := jsonb_populate_record(NULL::token_mgmt.prepared, CASE g.status WHEN 'denied'
        THEN '{"warnings": []}' ELSE answer END);
    IF g.status <> 'denied' AND NOT answer ? 'messages' THEN
        p.messages := messages;
    END IF;
    p.reservation_id := g.reservation_id;
    p.status := CASE WHEN g.status <> 'denied' AND answer ->> 'status' = 'fitted' THEN 'fitted'
        ELSE g.status END;
    p.prompt_tokens := g.prompt_tokens;
    p.completion_tokens := g.completion_tokens;
    p.tokens_held := g.tokens_held;
    p.tokens_remaining := g.tokens_remaining;
    p.expires_at := g.expires_at;
    p.sqlstate := g.sqlstate;
    p.reason := g.reason;
    p.retry_after := g.retry_after;
    p.advice := g.advice;
    p.warnings := ARRAY(SELECT DISTINCT t FROM unnest(p.warnings || g.warnings) t);
    RETURN p;
END
$$;
COMMENT ON FUNCTION token_mgmt._prepared(token_mgmt.reservation_grant, jsonb, jsonb) IS
    'Puts a grant or denial and the fitting core''s answer to these messages into one result';

-- One fit within what the quotas have left, and the attempt to hold it. What is free is read before
-- the fit and decided after it.
CREATE FUNCTION token_mgmt._fit_and_hold(
    r token_mgmt._request, m token_mgmt.model, profile jsonb, hash bytea,
    OUT g token_mgmt.reservation_grant, OUT answer jsonb, OUT prepared jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    h token_mgmt._request := r;
    at timestamptz := clock_timestamp();
    wanted token_mgmt._wanted[] := '{}';
    settings text;
    is_default boolean := r.completion_tokens IS NULL;
    asked integer := coalesce(r.completion_tokens, (profile ->> 'completion')::integer,
        greatest(coalesce(token_mgmt._predicted_completion(r, m),
            token_mgmt._default_completion(m)), r.min_completion_tokens));
    least_completion integer := greatest(r.min_completion_tokens, 1);
    completion integer := asked;
    share numeric;
    rates token_mgmt._rates;
    cap numeric;
    budget integer;
BEGIN
    h.messages := NULL;
    h.tools := NULL;
    h.max_wait := NULL;
    IF r.on_overflow = 'fit' THEN
        wanted := token_mgmt._seen_quotas(r, at);
        share := token_mgmt._priority_share(r.tenant, r.priority);
        IF EXISTS (SELECT FROM unnest(wanted) w WHERE w.metric = 'cost') THEN
            -- At the rates of a prompt that fills the window.
            rates := token_mgmt._held_rates(token_mgmt._price_at(m.provider, m.model, at), r.model,
                least(m.context_window, m.max_input_tokens, 1000000000), asked);
        END IF;
    END IF;
    LOOP
        budget := r.max_prompt_tokens;
        cap := token_mgmt._most_prompt(wanted, share, rates, completion);
        IF cap IS NOT NULL THEN
            budget := least(budget, cap, 1000000000);
        END IF;
        SELECT f.answer, f.settings INTO answer, settings
        FROM token_mgmt._fit_by(r.messages, r.tools, token_mgmt._fit_settings(m, completion, budget,
            r.strategy, r.on_overflow, r.min_completion_tokens, r.options, profile), is_default) f;
        -- Where messages cannot shrink to what a quota has left, the completion gives way.
        EXIT WHEN answer ->> 'status' <> 'denied' OR answer ->> 'cause' <> 'max_prompt'
            OR budget IS NOT DISTINCT FROM r.max_prompt_tokens OR completion <= least_completion;
        completion := least_completion;
    END LOOP;

    IF answer ->> 'status' = 'denied' THEN
        h.prompt_tokens := token_mgmt._denied_tokens(answer, r.on_overflow);
        IF answer ->> 'cause' = 'max_prompt' AND budget IS DISTINCT FROM r.max_prompt_tokens THEN
            g := token_mgmt._quota_denial(h, wanted, rates, asked, at);
        ELSE
            g := token_mgmt._window_denial(m, answer ->> 'cause', h.prompt_tokens,
                (answer ->> 'completion_tokens')::bigint,
                (answer ->> 'max_completion_tokens')::bigint,
                token_mgmt._denied_limit(answer, r.max_prompt_tokens),
                r.on_overflow = 'fit');
        END IF;
        RETURN;
    END IF;
    h.prompt_tokens := answer ->> 'prompt_tokens';
    h.completion_tokens := CASE WHEN completion = asked
        THEN least(asked, (answer ->> 'completion_tokens')::integer)
        ELSE least(asked, token_mgmt._completion_limit(m, h.prompt_tokens), (
            SELECT min(token_mgmt._most_completion(w, share, h.prompt_tokens, rates))
            FROM unnest(wanted) w)) END;
    prepared := (answer - 'messages') || jsonb_build_object('settings', settings::jsonb)
        || CASE WHEN r.session IS NULL THEN '{}'
            ELSE jsonb_build_object('session', r.session) END;
    g := token_mgmt._hold(h, m, hash, prepared,
        CASE WHEN is_default THEN h.completion_tokens ELSE asked END);
END
$$;
COMMENT ON FUNCTION token_mgmt._fit_and_hold(
    token_mgmt._request, token_mgmt.model, jsonb, bytea
) IS
    'The grant or denial (g), the fitting core''s answer, and what of it is kept with the hold';
REVOKE ALL ON FUNCTION token_mgmt._fit_and_hold(
    token_mgmt._request, token_mgmt.model, jsonb, bytea
)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._prepare(r token_mgmt._request) RETURNS token_mgmt.prepared
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m token_mgmt.model;
    profile jsonb;
    given token_mgmt._request;
    hash bytea;
    earlier token_mgmt.reservation;
    g token_mgmt.reservation_grant;
    answer jsonb;
    fitted record;
    attempt integer := 0;
    started_at timestamptz := clock_timestamp();
    pause double precision;
    slept double precision := 0;
    from_session boolean := r.messages IS NULL AND r.session_id IS NOT NULL;
    missing text := CASE WHEN r.model IS NULL THEN 'model'
        WHEN r.messages IS NULL AND r.session_id IS NULL THEN 'messages' END;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', missing || ' must not be null', NULL,
            CASE missing WHEN 'messages' THEN 'Pass messages, or the session_id of a session that '
                'add_message() has filled.' END);
    END IF;
    r.on_overflow := coalesce(r.on_overflow, 'fit');
    r.strategy := coalesce(r.strategy, 'recent');
    given := r;
    PERFORM token_mgmt._check_object('options', r.options, NULL);
    r := token_mgmt._check_request(r);
    profile := token_mgmt._agent_profile(r);
    m := token_mgmt._limited(token_mgmt._resolve_model(r.model), profile);
    r.model := m.provider || '/' || m.model;
    IF r.request_id IS NOT NULL THEN
        hash := token_mgmt._request_hash(given, r.api_key);
        earlier := token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash);
        IF earlier.reservation_id IS NOT NULL THEN
            IF from_session THEN
                r := token_mgmt._messages_of(r, m, earlier.prepared);
            END IF;
            -- Fitted anew by the stored settings: the same messages, whatever the model is by now.
            RETURN token_mgmt._prepared(token_mgmt._grant_of(earlier), token_mgmt._fit(
                r.messages, r.tools, (earlier.prepared -> 'settings')::text), r.messages);
        END IF;
    END IF;

    IF from_session THEN
        r := token_mgmt._messages_of(r, m, NULL);
    END IF;
    LOOP
        attempt := attempt + 1;
        SELECT f.* INTO fitted FROM token_mgmt._fit_and_hold(r, m, profile, hash) f;
        g := fitted.g;
        answer := fitted.answer;
        EXIT WHEN g.status <> 'denied' OR g.sqlstate <> 'TM001';
        pause := least(0.01 * 2 ^ least(attempt, 5),
            token_mgmt._left_to_wait(r.max_wait, started_at, slept));
        IF pause > 0 THEN
            PERFORM pg_sleep(pause);
            slept := slept + pause;
        ELSE
            -- Others may have been faster between reading and holding: fit again, a few times.
            EXIT WHEN attempt >= 5 OR r.on_overflow <> 'fit' OR answer ->> 'status' = 'denied';
        END IF;
    END LOOP;
    IF g.status <> 'denied' AND r.request_id IS NOT NULL THEN
        -- The grant may be that of a call of the same id which was on its way: then so is the fit.
        SELECT s.* INTO earlier FROM token_mgmt.reservation s
        WHERE s.tenant = r.tenant AND s.reservation_id = g.reservation_id;
        IF earlier.prepared IS DISTINCT FROM fitted.prepared THEN
            IF from_session THEN
                r := token_mgmt._messages_of(r, m, earlier.prepared);
            END IF;
            answer := token_mgmt._fit(r.messages, r.tools,
                (earlier.prepared -> 'settings')::text);
        END IF;
    END IF;
    RETURN token_mgmt._prepared(g, answer, r.messages);
END
$$;
COMMENT ON FUNCTION token_mgmt._prepare(token_mgmt._request) IS
    'The one body behind every form of prepare_request: fits, then holds what was fitted';
REVOKE ALL ON FUNCTION token_mgmt._prepare(token_mgmt._request) FROM PUBLIC;

CREATE FUNCTION @extschema@.try_prepare_request(
    user_id text, model text, messages jsonb DEFAULT NULL, completion_tokens integer DEFAULT NULL,
    max_prompt_tokens integer DEFAULT NULL, tools jsonb DEFAULT NULL,
    strategy text DEFAULT 'recent', on_overflow text DEFAULT 'fit', priority text DEFAULT NULL,
    api_key text DEFAULT NULL, team text DEFAULT NULL, session_id text DEFAULT NULL,
    agent text DEFAULT NULL, endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    min_completion_tokens integer DEFAULT NULL, ttl interval DEFAULT NULL,
    max_wait interval DEFAULT NULL, metadata jsonb DEFAULT NULL, tenant text DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.prepared
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN token_mgmt._prepare((user_id, NULL, completion_tokens, model, priority, api_key,
        team, session_id, agent, endpoint, request_id, min_completion_tokens, on_overflow, ttl,
        max_wait, metadata, tenant, options, messages, tools, max_prompt_tokens, strategy,
        NULL)::token_mgmt._request);
END
$$;
COMMENT ON FUNCTION @extschema@.try_prepare_request(
    text, text, jsonb, integer, integer, jsonb, text, text, text, text, text, text, text, text,
    text, integer, interval, interval, jsonb, text, jsonb
) IS
    'prepare_request that returns a TM001 or TM006 denial (status denied, sqlstate, reason, '
    'retry_after, advice) instead of raising it; every other error is raised';

CREATE FUNCTION @extschema@.prepare_request(
    user_id text, model text, messages jsonb DEFAULT NULL, completion_tokens integer DEFAULT NULL,
    max_prompt_tokens integer DEFAULT NULL, tools jsonb DEFAULT NULL,
    strategy text DEFAULT 'recent', on_overflow text DEFAULT 'fit', priority text DEFAULT NULL,
    api_key text DEFAULT NULL, team text DEFAULT NULL, session_id text DEFAULT NULL,
    agent text DEFAULT NULL, endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    min_completion_tokens integer DEFAULT NULL, ttl interval DEFAULT NULL,
    max_wait interval DEFAULT NULL, metadata jsonb DEFAULT NULL, tenant text DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.prepared
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    p token_mgmt.prepared;
BEGIN
    p := token_mgmt._prepare((user_id, NULL, completion_tokens, model, priority, api_key,
        team, session_id, agent, endpoint, request_id, min_completion_tokens, on_overflow, ttl,
        max_wait, metadata, tenant, options, messages, tools, max_prompt_tokens, strategy,
        NULL)::token_mgmt._request);
    IF p.status = 'denied' THEN
        PERFORM token_mgmt._raise_denial(p.sqlstate, p.reason, p.advice);
    END IF;
    RETURN p;
END
$$;
COMMENT ON FUNCTION @extschema@.prepare_request(
    text, text, jsonb, integer, integer, jsonb, text, text, text, text, text, text, text, text,
    text, integer, interval, interval, jsonb, text, jsonb
) IS
    'Makes a request fit the model''s window and what its quotas have left, and holds it: fit and '
    'reserve in one call and one transaction. on_overflow: fit drops and cuts the oldest '
    'messages, reduce lowers the completion, refuse raises. Errors: TM001, TM003 to TM006, 22004, '
    '22023, 22P02, 42704';
REVOKE ALL ON FUNCTION @extschema@.try_prepare_request(
    text, text, jsonb, integer, integer, jsonb, text, text, text, text, text, text, text, text,
    text, integer, interval, interval, jsonb, text, jsonb
), @extschema@.prepare_request(
    text, text, jsonb, integer, integer, jsonb, text, text, text, text, text, text, text, text,
    text, integer, interval, interval, jsonb, text, jsonb
) FROM PUBLIC;
