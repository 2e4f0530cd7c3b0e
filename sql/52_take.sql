CREATE TYPE token_mgmt._taken AS (
    allocations token_mgmt.allocation[],
    completion_tokens integer,
    tokens_remaining numeric,
    notes text[],
    taken_at timestamptz,
    answered token_mgmt.reservation_grant,
    is_crowded boolean
);
COMMENT ON TYPE token_mgmt._taken IS
    'What an attempt has taken from quotas, and when; answered: a denial instead, or the grant of '
    'an earlier call of the same request id; is_crowded: nothing, since others have every slot';

CREATE FUNCTION token_mgmt._soft_note(w token_mgmt._wanted) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('soft limit of %s "%s" is passed: %s of %s %s remain in the %s',
        replace(w.scope, '_', ' '), w.scope_value, trim_scale(w.free), trim_scale(w.amount),
        CASE w.metric WHEN 'cost' THEN 'USD' ELSE w.metric END, w.period)
$$;
COMMENT ON FUNCTION token_mgmt._soft_note(token_mgmt._wanted) IS
    'The warning of a soft quota that has less than nothing free';

-- In PL/pgSQL, which keeps their plans.
CREATE FUNCTION token_mgmt._has_other_quotas(
    tenant text, identities text[], wanted token_mgmt._wanted[]
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM token_mgmt._wanted_quotas(tenant, identities, clock_timestamp()) q
        FULL JOIN unnest(wanted) w ON w.quota_id = q.quota_id
        WHERE w.version IS DISTINCT FROM q.version);
END
$$;
COMMENT ON FUNCTION token_mgmt._has_other_quotas(text, text[], token_mgmt._wanted[]) IS
    'Whether a quota was set, changed, dropped, or lost its increase while rows were waited for';
REVOKE ALL ON FUNCTION token_mgmt._has_other_quotas(text, text[], token_mgmt._wanted[]) FROM PUBLIC;

CREATE FUNCTION token_mgmt._has_other_limit(
    tenant text, identities text[], allocations token_mgmt.allocation[], at timestamptz
) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM token_mgmt._wanted_quotas(tenant, identities, at) q
        FULL JOIN unnest(allocations) a ON a.quota_id = q.quota_id
        WHERE a.quota_id IS NULL OR q.quota_id IS NULL
            OR q.version IS DISTINCT FROM q.found_version);
END
$$;
COMMENT ON FUNCTION token_mgmt._has_other_limit(
    text, text[], token_mgmt.allocation[], timestamptz
) IS 'As _has_other_quotas(), of what was taken from periods that had their quotas'' versions';
REVOKE ALL ON FUNCTION token_mgmt._has_other_limit(
    text, text[], token_mgmt.allocation[], timestamptz
) FROM PUBLIC;

-- What nearly every request meets: periods that are open, with room for all it asks for. Each is
-- checked and taken by one UPDATE. Whatever else is met, NULL leaves to _take_locked(), after the
-- caller has undone what was taken.
CREATE FUNCTION token_mgmt._take_at_once(
    r token_mgmt._request, price token_mgmt.price, is_crowded boolean
) RETURNS token_mgmt._taken
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    w token_mgmt._wanted;
    t token_mgmt._taken;
    at timestamptz := clock_timestamp();
    until timestamptz;
    was timestamptz;
    units numeric;
    first_slot smallint;
    in_slot smallint;
    room numeric;
    others_free numeric;
    others_at timestamptz;
    remaining numeric;
    waited text[];
    has_waited boolean := false;
    refilled_at timestamptz;
    allocations token_mgmt.allocation[];
BEGIN
    -- at is that of the caller's snapshot until a row is locked.
    FOR w IN
        SELECT q.* FROM token_mgmt._wanted_quotas(r.tenant, token_mgmt._identities(r), at) q
    LOOP
        was := clock_timestamp();
        IF w.kind = 'sliding' OR w.found_version IS DISTINCT FROM w.version OR w.ends_at <= was
            OR w.amount = 0
        THEN
            RETURN NULL;
        END IF;
        IF w.metric = 'cost' THEN
            units := token_mgmt._units('cost', r.prompt_tokens, r.completion_tokens,
                token_mgmt._held_rates(price, r.model, r.prompt_tokens, r.completion_tokens));
        ELSE
            units := CASE w.metric WHEN 'requests' THEN 1
                ELSE r.prompt_tokens + r.completion_tokens END;
        END IF;
        in_slot := 0;
        IF w.kind = 'bucket' THEN
            -- What flows in while the row is waited for flows in once.
            PERFORM FROM token_mgmt.quota_period p
            WHERE p.tenant = r.tenant AND p.quota_id = w.quota_id
                AND p.scope_value = w.scope_value AND p.starts_at = '-infinity' AND p.slot = 0
            FOR UPDATE;
            has_waited := has_waited OR clock_timestamp() > was + interval '1 millisecond';
            was := clock_timestamp();
            refilled_at := coalesce(refilled_at, was);
            UPDATE token_mgmt.quota_period p
            SET held = p.held + units,
                credited = token_mgmt._credit(p.used + p.held, p.credited, p.credited_at, w.inflow,
                    was),
                credited_at = greatest(p.credited_at, was)
            WHERE p.tenant = r.tenant AND p.quota_id = w.quota_id
                AND p.scope_value = w.scope_value AND p.starts_at = '-infinity' AND p.slot = 0
                AND p.limit_version = w.version
                AND p.used + p.held + units - token_mgmt._credit(p.used + p.held, p.credited,
                    p.credited_at, w.inflow, was) <= w.amount
            RETURNING w.amount - p.used - p.held + p.credited INTO room;
        ELSIF w.slots > 1 THEN
            -- Any slot that nobody has locked and that has the room, from this session's own on. If
            -- there was none, that one is waited for in an attempt of its own: who waits for all of
            -- them stops everybody.
            first_slot := pg_backend_pid() % w.slots;
            IF is_crowded THEN
                PERFORM FROM token_mgmt.quota_period p
                WHERE p.tenant = r.tenant AND p.quota_id = w.quota_id
                    AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at
                    AND p.slot = first_slot
                FOR UPDATE;
            END IF;
            LOOP
                UPDATE token_mgmt.quota_period p SET held = p.held + units
                WHERE p.tenant = r.tenant AND p.quota_id = w.quota_id
                    AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at
                    AND p.slot = (
                        SELECT o.slot FROM token_mgmt.quota_period o
                        WHERE o.tenant = r.tenant AND o.quota_id = w.quota_id
                            AND o.scope_value = w.scope_value AND o.starts_at = w.starts_at
                            AND o.slot >= first_slot
                            AND o.used + o.held - o.credited + units <= o.allowance
                        ORDER BY o.slot LIMIT 1
                        FOR UPDATE SKIP LOCKED)
                    AND p.limit_version = w.version
                    AND p.used + p.held - p.credited + units <= p.allowance
                RETURNING p.slot, p.allowance - p.used - p.held + p.credited, p.others_free,
                    p.others_at
                INTO in_slot, room, others_free, others_at;
                EXIT WHEN room IS NOT NULL OR first_slot = 0;
                first_slot := 0;
            END LOOP;
            IF room IS NULL AND NOT is_crowded THEN
                -- Some may be locked here that turned out to be too small.
                t.is_crowded := true;
                RETURN t;
            END IF;
            IF w.metric = 'tokens' AND (others_at BETWEEN was - interval '0.1 seconds' AND was)
                IS NOT TRUE
            THEN
                UPDATE token_mgmt.quota_period p
                SET others_at = was,
                    others_free = (
                        SELECT sum(o.allowance - o.used - o.held + o.credited)
                        FROM token_mgmt.quota_period o
                        WHERE o.tenant = r.tenant AND o.quota_id = w.quota_id
                            AND o.scope_value = w.scope_value AND o.starts_at = w.starts_at
                            AND o.slot <> in_slot)
                WHERE p.tenant = r.tenant AND p.quota_id = w.quota_id
                    AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at
                    AND p.slot = in_slot
                RETURNING p.others_free INTO others_free;
            END IF;
            room := room + coalesce(others_free, 0);
        ELSE
            UPDATE token_mgmt.quota_period p SET held = p.held + units
            WHERE p.tenant = r.tenant AND p.quota_id = w.quota_id
                AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at AND p.slot = 0
                AND p.slots = 1
                AND p.limit_version = w.version
                AND p.used + p.held - p.credited + units <= p.allowance
            RETURNING p.allowance - p.used - p.held + p.credited INTO room;
        END IF;
        IF room IS NULL THEN
            RETURN NULL;
        END IF;
        at := clock_timestamp();
        IF at > was + interval '1 millisecond' THEN
            has_waited := true;
            IF at > was + interval '5 milliseconds' AND w.kind = 'fixed' THEN
                waited := waited || ARRAY[w.quota_id::text, w.scope_value];
            END IF;
        END IF;
        until := least(until, w.ends_at);
        IF NOT w.is_soft THEN
            remaining := least(remaining, CASE w.metric WHEN 'tokens' THEN room END);
        END IF;
        allocations := allocations || (w.quota_id, w.scope_value, w.starts_at, in_slot, w.metric,
            nullif(w.cached_weight, 1), units)::token_mgmt.allocation;
    END LOOP;
    -- What has flowed into a bucket when tokens are given back to it is reckoned from at.
    IF at >= until OR at > refilled_at + interval '1 millisecond'
        OR has_waited AND token_mgmt._has_other_limit(r.tenant, token_mgmt._identities(r),
            coalesce(allocations, '{}'), at)
    THEN
        RETURN NULL;
    END IF;
    IF waited IS NOT NULL THEN
        INSERT INTO token_mgmt.quota_wait (tenant, quota_id, scope_value, waited_at)
        SELECT r.tenant, waited[i]::bigint, waited[i + 1], at
        FROM generate_series(1, cardinality(waited), 2) i;
    END IF;
    t := (coalesce(allocations, '{}'), r.completion_tokens, remaining, '{}', at, NULL, NULL);
    RETURN t;
END
$$;
COMMENT ON FUNCTION token_mgmt._take_at_once(token_mgmt._request, token_mgmt.price, boolean) IS
    'Holds where every period is open and has room for all that is asked; NULL where it takes a '
    'closer look';
REVOKE ALL ON FUNCTION token_mgmt._take_at_once(token_mgmt._request, token_mgmt.price, boolean)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._take(
    tenant text, w token_mgmt._wanted, units numeric, at timestamptz
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    IF w.kind = 'fixed' THEN
        PERFORM token_mgmt._spread(tenant, w.quota_id, w.scope_value, w.starts_at, w.free - units,
            w.metric, units, w.version);
        RETURN;
    END IF;
    UPDATE token_mgmt.quota_period p
    SET held = p.held + units,
        limit_version = greatest(p.limit_version, w.version),
        credited = CASE w.kind WHEN 'bucket' THEN token_mgmt._credit(p.used + p.held, p.credited,
            p.credited_at, w.inflow, at) ELSE p.credited END,
        credited_at = CASE w.kind WHEN 'bucket' THEN greatest(p.credited_at, at)
            ELSE p.credited_at END
    WHERE p.tenant = _take.tenant AND p.quota_id = w.quota_id AND p.scope_value = w.scope_value
        AND p.starts_at = w.starts_at AND p.slot = 0;
    IF w.kind = 'sliding' THEN
        -- Written, so that a transaction whose snapshot has not seen it is refused (40001).
        UPDATE token_mgmt.quota_period p SET credited_at = greatest(p.credited_at, at)
        WHERE p.tenant = _take.tenant AND p.quota_id = w.quota_id
            AND p.scope_value = w.scope_value AND p.starts_at = '-infinity' AND p.slot = 0;
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._take(text, token_mgmt._wanted, numeric, timestamptz) IS
    'Holds units in slot 0 of the quota''s locked span';
REVOKE ALL ON FUNCTION token_mgmt._take(text, token_mgmt._wanted, numeric, timestamptz)
    FROM PUBLIC;

-- One attempt to hold the request's tokens. Every quota is decided under its lock before any row is
-- written. NULL means that a period ended, or a quota was changed, while locks were awaited: undo
-- and start over.
CREATE FUNCTION token_mgmt._take_locked(
    r token_mgmt._request, price token_mgmt.price, hash bytea
) RETURNS token_mgmt._taken
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    identities text[] := token_mgmt._identities(r);
    at timestamptz := clock_timestamp();
    wanted token_mgmt._wanted[] :=
        ARRAY(SELECT q FROM token_mgmt._wanted_quotas(r.tenant, identities, at) q);
    w token_mgmt._wanted;
    share numeric := token_mgmt._priority_share(r.tenant, r.priority);
    rates token_mgmt._rates;
    completion integer := r.completion_tokens;
    has_expired boolean := false;
    most numeric;
    units numeric;
    remaining numeric;
    notes text[] := '{}';
    allocations token_mgmt.allocation[] := '{}';
    h token_mgmt.reservation;
    t token_mgmt._taken;
BEGIN
    IF EXISTS (SELECT FROM unnest(wanted) q WHERE q.metric = 'cost') THEN
        rates := token_mgmt._held_rates(price, r.model, r.prompt_tokens, r.completion_tokens);
    END IF;
    FOR i IN 1..cardinality(wanted) LOOP
        at := clock_timestamp();
        w := token_mgmt._locked_span(r.tenant, wanted[i]);
        wanted[i] := w;
        IF w.kind = 'fixed' AND clock_timestamp() > at + interval '5 milliseconds' THEN
            INSERT INTO token_mgmt.quota_wait (tenant, quota_id, scope_value, waited_at)
            VALUES (r.tenant, w.quota_id, w.scope_value, at);
        END IF;
    END LOOP;
    IF token_mgmt._has_other_quotas(r.tenant, identities, wanted) THEN
        RETURN NULL;
    END IF;
    LOOP
        at := clock_timestamp();
        most := NULL;
        FOR i IN 1..cardinality(wanted) LOOP
            w := wanted[i];
            IF at >= w.ends_at THEN
                RETURN NULL;
            END IF;
            IF w.kind <> 'fixed' OR has_expired THEN
                -- While others were waited for, a bucket was filled on, a window was given back to.
                -- In the spans that are locked: those of a moment later would be locked out of
                -- order.
                w.free := token_mgmt._balance(r.tenant, w, at);
                wanted[i] := w;
            END IF;
            most := least(most, token_mgmt._most_completion(w, share, r.prompt_tokens, rates));
        END LOOP;
        -- Short of tokens: those of holds past their time are free, worker or not.
        EXIT WHEN most IS NULL OR completion <= most
            OR token_mgmt._expire_holds(100, r.tenant, wanted) = 0;
        has_expired := true;
    END LOOP;
    IF r.request_id IS NOT NULL THEN
        -- The first call of this id may have held these very tokens while its retry waited.
        h := token_mgmt._replayed(r.tenant, r.user_id, r.request_id, hash);
        IF h.reservation_id IS NOT NULL THEN
            t.answered := token_mgmt._grant_of(h);
            RETURN t;
        END IF;
    END IF;
    IF completion > most THEN
        IF r.on_overflow = 'refuse' OR completion = 0
            OR most < greatest(r.min_completion_tokens, 1)
        THEN
            t.answered := token_mgmt._quota_denial(r, wanted, rates, r.completion_tokens, at);
            RETURN t;
        END IF;
        completion := most;
    END IF;

    FOREACH w IN ARRAY wanted LOOP
        units := token_mgmt._units(w.metric, r.prompt_tokens, completion, rates);
        PERFORM token_mgmt._take(r.tenant, w, units, at);
        w.free := w.free - units;
        IF w.is_soft AND w.free < 0 THEN
            notes := notes || token_mgmt._soft_note(w);
        ELSIF w.metric = 'tokens' AND NOT w.is_soft THEN
            remaining := least(remaining, w.free);
        END IF;
        allocations := allocations || (w.quota_id, w.scope_value, w.starts_at, 0, w.metric,
            nullif(w.cached_weight, 1), units)::token_mgmt.allocation;
    END LOOP;
    t := (allocations, completion, remaining, notes, at, NULL, NULL);
    RETURN t;
END
$$;
COMMENT ON FUNCTION token_mgmt._take_locked(token_mgmt._request, token_mgmt.price, bytea) IS
    'Holds or denies the request against every quota that applies; NULL: start over';
REVOKE ALL ON FUNCTION token_mgmt._take_locked(token_mgmt._request, token_mgmt.price, bytea)
    FROM PUBLIC;
