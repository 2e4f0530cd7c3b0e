CREATE FUNCTION token_mgmt._left_to_wait(
    max_wait interval, started_at timestamptz, slept double precision
) RETURNS double precision
    LANGUAGE sql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT extract(epoch FROM coalesce(max_wait, '0'))
        - greatest(extract(epoch FROM clock_timestamp() - started_at), slept)
$$;
COMMENT ON FUNCTION token_mgmt._left_to_wait(interval, timestamptz, double precision) IS
    'Seconds that are left of max_wait (NULL: none), 0 or less when it is over; whatever happens '
    'to the clock, no more than what has not been slept';
REVOKE ALL ON FUNCTION token_mgmt._left_to_wait(interval, timestamptz, double precision)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._hold(
    r token_mgmt._request, m token_mgmt.model, hash bytea, prepared jsonb, asked_completion integer
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    t token_mgmt._taken;
    g token_mgmt.reservation_grant;
    price token_mgmt.price;
    started_at timestamptz := clock_timestamp();
    at_once boolean := r.priority IS NULL;
    is_crowded boolean := false;
    pause double precision := 0.01;
    slept double precision := 0;
    provider text;
    model text;
BEGIN
    IF r.model IS NOT NULL THEN
        provider := m.provider;
        model := m.model;
        price := token_mgmt._price_at(provider, model, started_at);
    END IF;
    LOOP
        -- A subtransaction, since what an attempt locked must be let go before the rows of the next
        -- period are locked, and before a waiter sleeps.
        BEGIN
            t := CASE WHEN at_once THEN token_mgmt._take_at_once(r, price, is_crowded)
                ELSE token_mgmt._take_locked(r, price, hash) END;
            IF (t.answered).status <> 'denied' THEN
                RETURN t.answered;
            ELSIF t.taken_at IS NOT NULL THEN
                IF t.completion_tokens < asked_completion THEN
                    t.notes := format('completion reduced from %s to %s tokens',
                        asked_completion, t.completion_tokens) || t.notes;
                END IF;
                INSERT INTO token_mgmt.reservation AS s (
                    tenant, reservation_id, user_id, request_id, request_hash, status, provider,
                    model, price, api_key, team, session_id, agent, endpoint, priority,
                    prompt_tokens, completion_tokens, tokens_held, tokens_remaining, warnings,
                    allocations, prepared, metadata, reserved_at, expires_at)
                VALUES (
                    r.tenant, token_mgmt._new_id(), r.user_id, r.request_id, hash,
                    CASE WHEN t.completion_tokens < asked_completion THEN 'reduced'
                        ELSE 'granted' END,
                    provider, model, price, r.api_key, r.team, r.session_id, r.agent,
                    r.endpoint, r.priority, r.prompt_tokens, t.completion_tokens,
                    r.prompt_tokens + t.completion_tokens, floor(t.tokens_remaining), t.notes,
                    t.allocations, prepared, r.metadata, t.taken_at, t.taken_at + r.ttl)
                ON CONFLICT (tenant, user_id, request_id) WHERE request_id IS NOT NULL DO NOTHING
                RETURNING s.reservation_id, s.status, s.prompt_tokens, s.completion_tokens,
                    s.tokens_held, s.tokens_remaining, s.warnings, s.expires_at,
                    NULL, NULL, NULL, NULL,
                    (s.prepared ->> 'predicted_tokens')::integer
                INTO g;
                IF FOUND THEN
                    RETURN g;
                END IF;
                -- The same request id was being reserved at this moment: the next attempt meets it.
            END IF;
            -- Not TM000, which would stand for the whole class and swallow TM005 and the like.
            RAISE EXCEPTION USING ERRCODE = 'TM999';
        EXCEPTION WHEN SQLSTATE 'TM999' THEN
            NULL;
        END;
        at_once := t.is_crowded IS TRUE AND NOT is_crowded;
        is_crowded := at_once;
        IF (t.answered).status IS NOT NULL THEN
            pause := least(pause, token_mgmt._left_to_wait(r.max_wait, started_at, slept));
            IF pause <= 0 THEN
                RETURN t.answered;
            END IF;
            PERFORM pg_sleep(pause);
            slept := slept + pause;
            pause := least(pause * 2, 0.25);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._hold(
    token_mgmt._request, token_mgmt.model, bytea, jsonb, integer
) IS
    'Attempts to hold until granted, denied, or denied for max_wait; a denial leaves nothing '
    'behind';
REVOKE ALL ON FUNCTION token_mgmt._hold(
    token_mgmt._request, token_mgmt.model, bytea, jsonb, integer
) FROM PUBLIC;
