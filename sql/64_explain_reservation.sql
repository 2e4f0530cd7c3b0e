CREATE TYPE token_mgmt.reservation_explanation AS (
    scope text,
    value text,
    metric text,
    period text,
    kind text,
    amount numeric,
    used numeric,
    held numeric,
    free numeric,
    available numeric,
    requested numeric,
    fits boolean,
    fits_at timestamptz,
    holders jsonb
);
COMMENT ON TYPE token_mgmt.reservation_explanation IS
    'What one quota, or the window of the model (scope window), says to a request, in units of its '
    'metric. amount is the limit = used + held + free; available is what the request''s priority '
    'leaves of free; holders are the largest open holds, five at most. Of a quota that the '
    'caller may not see, amount, used, held, free and holders are left out. fits_at is when the '
    'request would fit if nobody else took from it: now where it fits, NULL where it never will';

CREATE FUNCTION token_mgmt._window_explanation(m token_mgmt.model, prompt bigint, asked bigint)
    RETURNS token_mgmt.reservation_explanation
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    x token_mgmt.reservation_explanation;
    most bigint := CASE WHEN prompt > m.max_input_tokens THEN -1
        ELSE token_mgmt._completion_limit(m, prompt) END;
BEGIN
    x.scope := 'window';
    x.value := m.provider || '/' || m.model;
    x.metric := 'tokens';
    x.kind := 'window';
    x.amount := m.context_window;
    x.used := 0;
    x.held := 0;
    x.free := x.amount;
    x.available := CASE WHEN most < 0 THEN 0 ELSE prompt + most END;
    x.requested := prompt + asked;
    x.fits := coalesce(asked <= most, true);
    x.fits_at := CASE WHEN x.fits THEN clock_timestamp() END;
    x.holders := '[]';
    RETURN x;
END
$$;
COMMENT ON FUNCTION token_mgmt._window_explanation(token_mgmt.model, bigint, bigint) IS
    'The row of a model''s window; available is 0 for a prompt that is too long alone';
REVOKE ALL ON FUNCTION token_mgmt._window_explanation(token_mgmt.model, bigint, bigint)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._holders(tenant text, w token_mgmt._wanted, at timestamptz)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- Who may not see a user is told how much is held, not by whom.
    SELECT coalesce(jsonb_agg(CASE
            WHEN token_mgmt._has_access(_holders.tenant, h.user_id, 'reader')
                THEN jsonb_build_object('reservation_id', h.reservation_id, 'user_id', h.user_id)
            ELSE '{}' END
            || jsonb_build_object('amount', h.amount, 'expires_at', h.expires_at)
        ORDER BY h.amount DESC, h.expires_at, h.reservation_id), '[]')
    FROM (
        SELECT r.reservation_id, r.user_id, a.amount, r.expires_at
        FROM token_mgmt.reservation r CROSS JOIN LATERAL unnest(r.allocations) a
        WHERE r.state = 'held' AND r.expires_at > at AND r.tenant = _holders.tenant
            AND a.quota_id = w.quota_id AND a.scope_value = w.scope_value
            AND CASE w.kind WHEN 'sliding' THEN a.starts_at > w.starts_at - w.length - w.length / 60
                ELSE a.starts_at = w.starts_at END
        ORDER BY a.amount DESC, r.expires_at, r.reservation_id LIMIT 5
    ) h
$$;
COMMENT ON FUNCTION token_mgmt._holders(text, token_mgmt._wanted, timestamptz) IS
    'The five largest holds in a quota''s current period';
REVOKE ALL ON FUNCTION token_mgmt._holders(text, token_mgmt._wanted, timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._quota_explanation(
    r token_mgmt._request, w token_mgmt._wanted, rates token_mgmt._rates, at timestamptz
) RETURNS token_mgmt.reservation_explanation
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    x token_mgmt.reservation_explanation;
    share numeric := token_mgmt._priority_share(r.tenant, r.priority);
BEGIN
    x.scope := w.scope;
    x.value := w.scope_value;
    x.metric := w.metric;
    x.period := w.period;
    x.kind := w.kind;
    -- Holds past their time count as free, as for whoever reserves.
    SELECT f.amount, f.used, f.held INTO x.amount, x.used, x.held
    FROM token_mgmt._figures(r.tenant, w, token_mgmt._overdue(r.tenant, w, at)) f;
    x.free := w.free;
    x.available := greatest(token_mgmt._available(w, share), 0);
    x.requested := token_mgmt._units(w.metric, r.prompt_tokens, r.completion_tokens, rates);
    x.fits := coalesce(r.completion_tokens
        <= token_mgmt._most_completion(w, share, r.prompt_tokens, rates), true);
    x.fits_at := CASE WHEN x.fits THEN at ELSE nullif(token_mgmt._frees_at(r.tenant, w,
        token_mgmt._needed(w, x.requested, share), at), 'infinity') END;
    x.holders := token_mgmt._holders(r.tenant, w, at);
    -- Of what others use, too, who sees one user is told what the request may hold, as
    -- quota_status has no row of it.
    IF w.scope <> 'user' AND token_mgmt._seen_users(r.tenant) IS NOT NULL THEN
        x.amount := NULL;
        x.used := NULL;
        x.held := NULL;
        x.free := NULL;
        x.holders := '[]';
    END IF;
    RETURN x;
END
$$;
COMMENT ON FUNCTION token_mgmt._quota_explanation(
    token_mgmt._request, token_mgmt._wanted, token_mgmt._rates, timestamptz
) IS 'The row of one quota, as _seen_quotas() found it';
REVOKE ALL ON FUNCTION token_mgmt._quota_explanation(
    token_mgmt._request, token_mgmt._wanted, token_mgmt._rates, timestamptz
) FROM PUBLIC;

CREATE FUNCTION @extschema@.explain_reservation(
    user_id text, prompt_tokens integer, completion_tokens integer DEFAULT NULL,
    model text DEFAULT NULL, priority text DEFAULT NULL, api_key text DEFAULT NULL,
    team text DEFAULT NULL, session_id text DEFAULT NULL, agent text DEFAULT NULL,
    endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    min_completion_tokens integer DEFAULT NULL, on_overflow text DEFAULT 'reduce',
    ttl interval DEFAULT NULL, max_wait interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS SETOF token_mgmt.reservation_explanation
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r token_mgmt._request := token_mgmt._check_request((user_id, prompt_tokens, completion_tokens,
        model, priority, api_key, team, session_id, agent, endpoint, request_id,
        min_completion_tokens, on_overflow, ttl, max_wait, metadata, tenant, options, NULL, NULL,
        NULL, NULL, NULL)::token_mgmt._request);
    m token_mgmt.model;
    at timestamptz := clock_timestamp();
    fits bigint;
    wanted token_mgmt._wanted[];
    rates token_mgmt._rates;
BEGIN
    IF r.prompt_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'prompt_tokens must not be null', NULL,
            'Count the prompt with count_messages().');
    END IF;
    PERFORM token_mgmt._check_object('options', r.options, '{}');
    IF r.model IS NOT NULL THEN
        m := token_mgmt._resolve_model(r.model);
        r.model := m.provider || '/' || m.model;
        IF r.completion_tokens IS NULL THEN
            fits := token_mgmt._completion_limit(m, r.prompt_tokens);
            r.completion_tokens := greatest(coalesce(token_mgmt._predicted_completion(r, m),
                token_mgmt._default_completion(m)), r.min_completion_tokens);
            IF fits > 0 THEN
                r.completion_tokens := least(r.completion_tokens, fits);
            END IF;
        END IF;
    END IF;
    r.completion_tokens := coalesce(r.completion_tokens, r.min_completion_tokens, 0);
    wanted := token_mgmt._seen_quotas(r, at);
    IF EXISTS (SELECT FROM unnest(wanted) w WHERE w.metric = 'cost') THEN
        rates := token_mgmt._held_rates(CASE WHEN r.model IS NOT NULL
            THEN token_mgmt._price_at(m.provider, m.model, at) END, r.model, r.prompt_tokens,
            r.completion_tokens);
    END IF;
    FOR i IN 1..cardinality(wanted) LOOP
        RETURN NEXT token_mgmt._quota_explanation(r, wanted[i], rates, at);
    END LOOP;
    IF r.model IS NOT NULL THEN
        RETURN NEXT token_mgmt._window_explanation(m, r.prompt_tokens, r.completion_tokens);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.explain_reservation(
    text, integer, integer, text, text, text, text, text, text, text, text, integer, text, interval,
    interval, jsonb, text, jsonb
) IS
    'What reserve_tokens() with these arguments would meet: a row for each quota that applies and '
    'one for the model''s window, with what is left, who holds it and when the request would fit. '
    'Reads only, also on a standby. Errors: 22004, 22023, 42704';
REVOKE ALL ON FUNCTION @extschema@.explain_reservation(
    text, integer, integer, text, text, text, text, text, text, text, text, integer, text, interval,
    interval, jsonb, text, jsonb
) FROM PUBLIC;
