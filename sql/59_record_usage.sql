CREATE TYPE token_mgmt._unreserved AS (
    user_id text,
    prompt_tokens integer,
    completion_tokens integer,
    model text,
    cached_tokens integer,
    cache_write_tokens integer,
    reasoning_tokens integer,
    content text,
    completion_content text,
    cost numeric,
    priority text,
    api_key text,
    team text,
    session_id text,
    agent text,
    endpoint text,
    request_id text,
    breakdown jsonb,
    metadata jsonb,
    tenant text,
    options jsonb
);
COMMENT ON TYPE token_mgmt._unreserved IS 'The arguments of record_usage under their own names';

CREATE FUNCTION token_mgmt._check_unreserved(a token_mgmt._unreserved)
    RETURNS token_mgmt._request
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    twice text := CASE
        WHEN a.prompt_tokens IS NOT NULL AND a.content IS NOT NULL
            THEN 'prompt_tokens and content'
        WHEN a.completion_tokens IS NOT NULL AND a.completion_content IS NOT NULL
            THEN 'completion_tokens and completion_content' END;
BEGIN
    PERFORM token_mgmt._check_object('options', a.options, '{}');
    IF twice IS NOT NULL THEN
        PERFORM token_mgmt._raise('22023', format('%s must not both be given', twice), NULL,
            'Pass the count that the API reported, or the text to count where it reported none.');
    END IF;
    IF coalesce(a.prompt_tokens::text, a.completion_tokens::text, a.content, a.completion_content,
        a.endpoint) IS NULL
    THEN
        PERFORM token_mgmt._raise('22004', 'tokens, content and endpoint must not all be null',
            NULL, 'Pass what was used, or name the endpoint of a call without tokens.');
    END IF;
    PERFORM token_mgmt._check_amount('cost', a.cost, 'cost');
    a.content := NULL;
    a.completion_content := NULL;
    RETURN token_mgmt._check_request(
        jsonb_populate_record(NULL::token_mgmt._request, to_jsonb(a)));
END
$$;
COMMENT ON FUNCTION token_mgmt._check_unreserved(token_mgmt._unreserved) IS
    'The call as a request that meets quotas. Errors: 22004, 22023';
REVOKE ALL ON FUNCTION token_mgmt._check_unreserved(token_mgmt._unreserved) FROM PUBLIC;

CREATE FUNCTION token_mgmt._unreserved_usage(a token_mgmt._unreserved) RETURNS token_mgmt._usage
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    u token_mgmt._usage;
    texts text[] := ARRAY[a.content, a.completion_content];
    counts bigint[];
BEGIN
    FOR i IN 1..2 LOOP
        counts[i] := CASE WHEN texts[i] IS NULL THEN NULL WHEN a.model IS NULL
            THEN @extschema@.tiktoken_count('o200k_base', texts[i], false)
            ELSE @extschema@.count_tokens(a.model, texts[i]) END;
    END LOOP;
    u := (token_mgmt._new_id(), coalesce(a.prompt_tokens, counts[1], 0),
        coalesce(a.completion_tokens, counts[2], 0), coalesce(a.cached_tokens, 0),
        coalesce(a.cache_write_tokens, 0), coalesce(a.reasoning_tokens, 0), a.breakdown,
        a.metadata, '{}', coalesce(counts[1], counts[2]) IS NOT NULL)::token_mgmt._usage;
    PERFORM token_mgmt._check_usage(u);
    RETURN u;
END
$$;
COMMENT ON FUNCTION token_mgmt._unreserved_usage(token_mgmt._unreserved) IS
    'What the call used, texts counted as its model does (o200k_base without one), under a new id. '
    'Errors: 22023, 42704, 42725, 54000';
REVOKE ALL ON FUNCTION token_mgmt._unreserved_usage(token_mgmt._unreserved) FROM PUBLIC;

CREATE FUNCTION token_mgmt._unreserved_units(w token_mgmt._wanted, e token_mgmt.usage_entry)
    RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF w.metric = 'cost' AND e.cost IS NULL THEN
        PERFORM token_mgmt._raise('22023', CASE WHEN e.model IS NULL
                THEN 'a quota of cost needs a model or a cost'
                ELSE format('model "%s" has no price', e.model) END,
            format('A quota in USD applies to %s "%s", which a call of unknown cost would pass by.',
                replace(w.scope, '_', ' '), w.scope_value),
            'Pass cost, or name a model with a price.');
    END IF;
    RETURN CASE w.metric WHEN 'requests' THEN 1 WHEN 'cost' THEN e.cost
        ELSE e.total_tokens - e.cached_tokens * (1 - w.cached_weight) END;
END
$$;
COMMENT ON FUNCTION token_mgmt._unreserved_units(token_mgmt._wanted, token_mgmt.usage_entry) IS
    'What the call is charged in the quota. Errors: 22023 where its cost is not known';
REVOKE ALL ON FUNCTION token_mgmt._unreserved_units(token_mgmt._wanted, token_mgmt.usage_entry)
    FROM PUBLIC;

-- One attempt. NULL means that a period ended, or a quota was changed, while locks were awaited, or
-- that the request id is being used at this moment: undo and start over.
CREATE FUNCTION token_mgmt._try_record(
    r token_mgmt._request, m token_mgmt.model, u token_mgmt._usage, cost numeric, hash bytea
) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    identities text[] := token_mgmt._identities(r);
    wanted token_mgmt._wanted[] :=
        ARRAY(SELECT q FROM token_mgmt._wanted_quotas(r.tenant, identities, at) q);
    w token_mgmt._wanted;
    earlier token_mgmt.reservation;
    s token_mgmt.reservation;
    e token_mgmt.usage_entry;
    charges numeric[] := '{}';
    is_over boolean := false;
BEGIN
    FOR i IN 1..cardinality(wanted) LOOP
        wanted[i] := token_mgmt._locked_span(r.tenant, wanted[i]);
    END LOOP;
    at := clock_timestamp();
    IF EXISTS (SELECT FROM unnest(wanted) q WHERE q.ends_at <= at)
        OR token_mgmt._has_other_quotas(r.tenant, identities, wanted)
    THEN
        RETURN NULL;
    END IF;
    IF r.request_id IS NOT NULL THEN
        earlier := token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash);
        IF earlier.reservation_id IS NOT NULL THEN
            RETURN earlier.entry;
        END IF;
    END IF;
    s.tenant := r.tenant;
    s.reservation_id := u.reservation_id;
    s.user_id := r.user_id;
    s.provider := m.provider;
    s.model := m.model;
    IF r.model IS NOT NULL THEN
        s.price := token_mgmt._price_at(m.provider, m.model, at);
    END IF;
    s.allocations := '{}';
    s.tokens_held := u.prompt_tokens + u.completion_tokens;
    e := token_mgmt._entry(s, u, 'usage');
    e.cost := trim_scale(coalesce(cost, e.cost));
    e.recorded_at := at;
    e.flags := e.flags || 'unreserved'::text;
    FOR i IN 1..cardinality(wanted) LOOP
        w := wanted[i];
        charges[i] := token_mgmt._unreserved_units(w, e);
        -- Held for this moment only, so that slots and buckets are minded where they always are.
        PERFORM token_mgmt._take(r.tenant, w, charges[i], at);
        is_over := is_over OR charges[i] > greatest(w.free, 0) AND NOT w.is_soft;
        s.allocations := s.allocations || (w.quota_id, w.scope_value, w.starts_at, 0, w.metric,
            nullif(w.cached_weight, 1), charges[i])::token_mgmt.allocation;
    END LOOP;
    IF is_over THEN
        e.flags := e.flags || 'overrun'::text;
    END IF;
    s.state := 'held';
    s.reserved_at := at;
    PERFORM token_mgmt._charge(s, charges);
    INSERT INTO token_mgmt.reservation (
        tenant, reservation_id, user_id, request_id, request_hash, state, status, provider, model,
        price, api_key, team, session_id, agent, endpoint, priority, prompt_tokens,
        completion_tokens, tokens_held, allocations, reserved_at, expires_at, ended_at, entry)
    VALUES (
        s.tenant, s.reservation_id, s.user_id, r.request_id, hash, 'settled', 'recorded',
        s.provider, s.model, s.price, r.api_key, r.team, r.session_id, r.agent, r.endpoint,
        r.priority, e.prompt_tokens, e.completion_tokens, s.tokens_held,
        s.allocations, at, at, at, e)
    ON CONFLICT (tenant, user_id, request_id) WHERE request_id IS NOT NULL DO NOTHING
    RETURNING * INTO s;
    IF s.reservation_id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM token_mgmt._write_ledger(s, u, e, charges);
    RETURN e;
END
$$;
COMMENT ON FUNCTION token_mgmt._try_record(
    token_mgmt._request, token_mgmt.model, token_mgmt._usage, numeric, bytea
) IS
    'Charges a call to every quota that applies and writes it as a reservation that is settled; '
    'NULL: start over';
REVOKE ALL ON FUNCTION token_mgmt._try_record(
    token_mgmt._request, token_mgmt.model, token_mgmt._usage, numeric, bytea
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._record(a token_mgmt._unreserved) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r token_mgmt._request := token_mgmt._check_unreserved(a);
    m token_mgmt.model;
    u token_mgmt._usage;
    e token_mgmt.usage_entry;
    hash bytea;
    earlier token_mgmt.reservation;
BEGIN
    IF r.model IS NOT NULL THEN
        m := token_mgmt._resolve_model(r.model);
        r.model := m.provider || '/' || m.model;
    END IF;
    u := token_mgmt._unreserved_usage(a);
    IF r.request_id IS NOT NULL THEN
        -- As _request_hash(): what was rotated in between is the same key.
        a.api_key := r.api_key;
        hash := sha256(convert_to(a::text, 'UTF8'));
        earlier := token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash);
        IF earlier.reservation_id IS NOT NULL THEN
            RETURN earlier.entry;
        END IF;
    END IF;
    LOOP
        -- As _hold(): what an attempt locked is let go before the next one locks.
        BEGIN
            e := token_mgmt._try_record(r, m, u, a.cost, hash);
            IF e.entry_id IS NOT NULL THEN
                RETURN e;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'TM999';
        EXCEPTION WHEN SQLSTATE 'TM999' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._record(token_mgmt._unreserved) IS
    'The body of record_usage';
REVOKE ALL ON FUNCTION token_mgmt._record(token_mgmt._unreserved) FROM PUBLIC;

CREATE FUNCTION @extschema@.record_usage(
    user_id text, prompt_tokens integer DEFAULT NULL, completion_tokens integer DEFAULT NULL,
    model text DEFAULT NULL, cached_tokens integer DEFAULT 0, cache_write_tokens integer DEFAULT 0,
    reasoning_tokens integer DEFAULT 0, content text DEFAULT NULL,
    completion_content text DEFAULT NULL, cost numeric DEFAULT NULL, priority text DEFAULT NULL,
    api_key text DEFAULT NULL, team text DEFAULT NULL, session_id text DEFAULT NULL,
    agent text DEFAULT NULL, endpoint text DEFAULT NULL, request_id text DEFAULT NULL,
    breakdown jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL, tenant text DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN token_mgmt._record((user_id, prompt_tokens, completion_tokens, model, cached_tokens,
        cache_write_tokens, reasoning_tokens, content, completion_content, cost, priority, api_key,
        team, session_id, agent, endpoint, request_id, breakdown, metadata, tenant, options
        )::token_mgmt._unreserved);
END
$$;
COMMENT ON FUNCTION @extschema@.record_usage(
    text, integer, integer, text, integer, integer, integer, text, text, numeric, text, text, text,
    text, text, text, text, jsonb, jsonb, text, jsonb
) IS
    'Charges a call that was never reserved to every quota that applies now and writes the ledger; '
    'it is never refused for a quota, but flagged unreserved, and overrun where a limit is passed. '
    'content and completion_content are counted where no counts are given (flag estimated). cost '
    'in USD for APIs with a price of their own. The same request_id returns the same entry. '
    'Errors: TM005, 22004, 22023, 42704, 54000';
REVOKE ALL ON FUNCTION @extschema@.record_usage(
    text, integer, integer, text, integer, integer, integer, text, text, numeric, text, text, text,
    text, text, text, text, jsonb, jsonb, text, jsonb
) FROM PUBLIC;

-- What is left out is as the function has it, so that a retry in the other form is the same call.
CREATE PROCEDURE @extschema@.record_usage(INOUT request jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    request := jsonb_strip_nulls(to_jsonb(token_mgmt._record(jsonb_populate_record(
        NULL::token_mgmt._unreserved, jsonb '{"cached_tokens": 0, "cache_write_tokens": 0, '
            '"reasoning_tokens": 0, "options": {}}'
        || token_mgmt._request_from(request, ARRAY['user_id', 'prompt_tokens',
            'completion_tokens', 'model', 'cached_tokens', 'cache_write_tokens',
            'reasoning_tokens', 'content', 'completion_content', 'cost', 'priority', 'api_key',
            'team', 'session_id', 'agent', 'endpoint', 'request_id', 'breakdown', 'metadata',
            'tenant', 'options'])))));
END
$$;
COMMENT ON PROCEDURE @extschema@.record_usage(jsonb) IS
    'CALL form of record_usage: its arguments as one JSON object in, the entry as JSON out';
REVOKE ALL ON PROCEDURE @extschema@.record_usage(jsonb) FROM PUBLIC;
