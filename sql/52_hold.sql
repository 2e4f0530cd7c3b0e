-- One attempt to hold the request's tokens. Every quota is decided under its lock before any row is
-- written. NULL means that a period ended while its lock was awaited: undo and start over.
CREATE FUNCTION token_mgmt._try_hold(
    r token_mgmt._request, m token_mgmt.model, hash bytea, prepared jsonb, asked_completion integer
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    wanted token_mgmt._wanted[] := token_mgmt._wanted_periods(r, clock_timestamp());
    w token_mgmt._wanted;
    locked token_mgmt.quota_period[];
    p token_mgmt.quota_period;
    share numeric := token_mgmt._priority_share(r.tenant, r.priority);
    completion integer := r.completion_tokens;
    least_available numeric;
    at timestamptz;
    h token_mgmt.reservation;
BEGIN
    -- Missing rows are made before the first lock is taken, so that no one who holds a lock waits
    -- for a row that another session is still inserting.
    FOREACH w IN ARRAY wanted LOOP
        IF NOT w.is_open THEN
            INSERT INTO token_mgmt.quota_period
                (tenant, quota_id, scope_value, starts_at, ends_at, allowance, limit_version)
            VALUES (r.tenant, w.quota_id, w.scope_value, w.starts_at, w.ends_at, w.amount,
                w.version)
            ON CONFLICT ON CONSTRAINT quota_period_pkey DO NOTHING;
        END IF;
    END LOOP;

    LOOP
        -- One by one in lock order, each by its whole key: a join over all of them would be planned
        -- by statistics, and read every period of the tenant where these are old.
        locked := '{}';
        FOR i IN 1..cardinality(wanted) LOOP
            w := wanted[i];
            SELECT q.* INTO p FROM token_mgmt.quota_period q
            WHERE q.tenant = r.tenant AND q.quota_id = w.quota_id
                AND q.scope_value = w.scope_value AND q.starts_at = w.starts_at AND q.slot = 0
            FOR UPDATE;
            IF NOT FOUND THEN
                RETURN NULL; -- it was removed before it was locked: the clock had gone backwards
            END IF;
            locked[i] := p;
        END LOOP;
        at := clock_timestamp();
        least_available := NULL;
        FOR i IN 1..cardinality(wanted) LOOP
            w := wanted[i];
            IF at >= w.ends_at THEN
                RETURN NULL;
            END IF;
            p := locked[i];
            IF p.limit_version < w.version THEN
                p.allowance := w.amount;
                p.limit_version := w.version;
                locked[i] := p;
            END IF;
            w.amount := p.allowance;
            w.used := p.used;
            w.held := p.held;
            wanted[i] := w;
            -- A limit of 0 refuses a request for nothing, too.
            least_available := least(least_available, CASE WHEN p.allowance = 0 THEN -1
                ELSE ceil((p.allowance - p.used - p.held) * share) END);
        END LOOP;
        -- Short of tokens: those of holds past their time are free, worker or not.
        EXIT WHEN least_available IS NULL OR r.prompt_tokens + completion <= least_available
            OR token_mgmt._expire_holds(100, r.tenant, wanted) = 0;
    END LOOP;
    IF r.request_id IS NOT NULL THEN
        -- The first call of this id may have held these very tokens while its retry waited.
        h := token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash);
        IF h.reservation_id IS NOT NULL THEN
            RETURN token_mgmt._grant_of(h);
        END IF;
    END IF;
    IF r.prompt_tokens + completion > least_available THEN
        IF r.on_overflow = 'refuse' OR completion = 0
            OR least_available - r.prompt_tokens < greatest(r.min_completion_tokens, 1)
        THEN
            RETURN token_mgmt._quota_denial(r, wanted, r.completion_tokens, at);
        END IF;
        completion := least_available - r.prompt_tokens;
    END IF;

    h.tenant := r.tenant;
    h.reservation_id := gen_random_uuid();
    h.status := CASE WHEN completion < asked_completion THEN 'reduced' ELSE 'granted' END;
    h.completion_tokens := completion;
    h.tokens_held := r.prompt_tokens + completion;
    h.expires_at := at + r.ttl;
    h.allocations := '{}';
    FOR i IN 1..cardinality(locked) LOOP
        p := locked[i];
        h.tokens_remaining := least(h.tokens_remaining,
            p.allowance - p.used - p.held - h.tokens_held);
        h.allocations[i] := (p.quota_id, p.scope_value, p.starts_at, p.slot,
            h.tokens_held)::token_mgmt.allocation;
    END LOOP;
    IF completion < asked_completion THEN
        h.warnings := ARRAY[format('completion reduced from %s to %s tokens',
            asked_completion, completion)];
    ELSE
        h.warnings := '{}';
    END IF;

    INSERT INTO token_mgmt.reservation (
        tenant, reservation_id, user_id, request_id, request_hash, status, provider, model, price,
        api_key, team, session_id, agent, endpoint, priority, prompt_tokens, completion_tokens,
        tokens_held, tokens_remaining, warnings, allocations, prepared, metadata, reserved_at,
        expires_at)
    VALUES (
        r.tenant, h.reservation_id, r.user_id, r.request_id, hash, h.status, m.provider,
        m.model, token_mgmt._price_at(m.provider, m.model, at), r.api_key, r.team, r.session_id,
        r.agent, r.endpoint, r.priority, r.prompt_tokens, completion, h.tokens_held,
        h.tokens_remaining, h.warnings, h.allocations, prepared, r.metadata, at,
        h.expires_at)
    ON CONFLICT (tenant, user_id, request_id) WHERE request_id IS NOT NULL DO NOTHING;
    IF NOT FOUND THEN
        -- The same request id was being reserved at this moment: answer as a retry.
        RETURN token_mgmt._grant_of(
            token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash));
    END IF;
    FOREACH p IN ARRAY locked LOOP
        UPDATE token_mgmt.quota_period q
        SET held = q.held + h.tokens_held,
            allowance = p.allowance,
            limit_version = p.limit_version
        WHERE q.tenant = p.tenant AND q.quota_id = p.quota_id AND q.scope_value = p.scope_value
            AND q.starts_at = p.starts_at AND q.slot = p.slot;
    END LOOP;
    h.prompt_tokens := r.prompt_tokens;
    RETURN token_mgmt._grant_of(h);
END
$$;
COMMENT ON FUNCTION token_mgmt._try_hold(
    token_mgmt._request, token_mgmt.model, bytea, jsonb, integer
) IS
    'Grants or denies (status denied) the request against every quota that applies; NULL: start '
    'over';
REVOKE ALL ON FUNCTION token_mgmt._try_hold(
    token_mgmt._request, token_mgmt.model, bytea, jsonb, integer
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._hold(
    r token_mgmt._request, m token_mgmt.model, hash bytea, prepared jsonb, asked_completion integer
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    g token_mgmt.reservation_grant;
    started_at timestamptz := clock_timestamp();
    pause double precision := 0.01;
    left_over interval;
BEGIN
    LOOP
        -- A subtransaction, since what an attempt locked must be let go before the rows of the next
        -- period are locked, and before a waiter sleeps.
        BEGIN
            g := token_mgmt._try_hold(r, m, hash, prepared, asked_completion);
            IF g.status <> 'denied' THEN
                RETURN g;
            END IF;
            -- Not TM000, which would stand for the whole class and swallow TM005 and the like.
            RAISE EXCEPTION USING ERRCODE = 'TM999';
        EXCEPTION WHEN SQLSTATE 'TM999' THEN
            NULL;
        END;
        IF g.status IS NOT NULL THEN
            left_over := started_at + coalesce(r.max_wait, '0') - clock_timestamp();
            IF left_over <= interval '0' THEN
                RETURN g;
            END IF;
            PERFORM pg_sleep(least(pause, extract(epoch FROM left_over)));
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
