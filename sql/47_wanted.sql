CREATE TYPE token_mgmt._wanted AS (
    quota_id bigint,
    scope text,
    scope_value text,
    metric text,
    kind text,
    period text,
    time_zone text,
    anchor timestamp,
    length interval,
    amount numeric,
    inflow numeric,
    carry_over numeric,
    is_soft boolean,
    cached_weight numeric,
    version bigint,
    removed_until timestamptz,
    created_at timestamptz,
    starts_at timestamptz,
    ends_at timestamptz,
    slots smallint,
    found_version bigint,
    free numeric
);
COMMENT ON TYPE token_mgmt._wanted IS
    'A quota that applies to a request. amount: its limit, an increase included (of a bucket: what '
    'it holds). inflow: of a bucket, each second. starts_at, ends_at, slots, found_version: its '
    'latest period, as an unlocked look found it. free: what is left, once that is known';

CREATE FUNCTION token_mgmt._identities(r token_mgmt._request) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ARRAY[r.user_id, r.api_key, r.team, r.session_id, r.agent, r.model, r.endpoint, r.tenant,
        '*']
$$;
COMMENT ON FUNCTION token_mgmt._identities(token_mgmt._request) IS
    'The values by which the request meets quotas, in the order of scopes that _wanted_quotas() '
    'knows, and *';

-- Inlined where it is called, so neither STRICT nor with a search path of its own. Every look-up
-- is by a whole key, whatever the statistics were when it was planned: a join over the tenant would
-- read every period where these are old.
CREATE FUNCTION token_mgmt._wanted_quotas(tenant text, identities text[], at timestamptz)
    RETURNS SETOF token_mgmt._wanted
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT q.quota_id, q.scope, q.scope_value, q.metric, q.kind, q.period, q.time_zone, q.anchor,
        q.length,
        coalesce(q.burst, q.amount)
            + CASE WHEN q.increase_until > at THEN q.increase ELSE 0 END,
        CASE WHEN q.kind = 'bucket' THEN q.amount / extract(epoch FROM q.length) END,
        q.carry_over, q.is_soft, q.cached_weight,
        q.version + CASE WHEN q.increase_until <= at THEN 1 ELSE 0 END, q.removed_until,
        q.created_at, p.starts_at, p.ends_at, p.slots, p.limit_version, NULL::numeric
    FROM (
        -- An exact value replaces * of the same scope, metric and period.
        SELECT DISTINCT ON (o.scope, o.metric, o.period) o.*, identities[array_position(
                '{user,api_key,team,session,agent,model,endpoint,tenant}', o.scope)] AS scope_value
        FROM token_mgmt.quota o
        WHERE o.tenant = _wanted_quotas.tenant AND o.value = ANY (identities)
            AND (o.value = '*' OR o.value = identities[array_position(
                '{user,api_key,team,session,agent,model,endpoint,tenant}', o.scope)])
        ORDER BY o.scope, o.metric, o.period, o.value = '*'
    ) q
    LEFT JOIN LATERAL (
        SELECT o.starts_at, o.ends_at, o.slots, o.limit_version
        FROM token_mgmt.quota_period o
        WHERE o.tenant = _wanted_quotas.tenant AND o.quota_id = q.quota_id
            AND o.scope_value = q.scope_value AND o.starts_at <= at AND o.slot = 0
        ORDER BY o.starts_at DESC LIMIT 1
    ) p ON true
    WHERE q.scope_value IS NOT NULL
    ORDER BY q.quota_id
$$;
COMMENT ON FUNCTION token_mgmt._wanted_quotas(text, text[], timestamptz) IS
    'Every quota that applies to these identities, in lock order, with its latest period; read '
    'without a lock. Not STRICT: it is inlined';
REVOKE ALL ON FUNCTION token_mgmt._wanted_quotas(text, text[], timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._span(w token_mgmt._wanted, at timestamptz, latest timestamptz)
    RETURNS token_mgmt._wanted
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    part interval := w.length / 60;
BEGIN
    CASE w.kind
    WHEN 'bucket' THEN
        w.starts_at := '-infinity';
        w.ends_at := 'infinity';
    WHEN 'sliding' THEN
        -- A clock that moves back goes on in the part that was reached, or behind those removed.
        w.starts_at := greatest(latest,
            date_bin(part, greatest(at, w.removed_until), timestamptz '2000-01-01 00:00:00+00'));
        w.ends_at := w.starts_at + part;
    ELSE
        SELECT p.starts_at, p.ends_at INTO w.starts_at, w.ends_at
        FROM token_mgmt._period(w.period, w.time_zone, w.anchor,
            greatest(at, w.removed_until)) p;
    END CASE;
    RETURN w;
END
$$;
COMMENT ON FUNCTION token_mgmt._span(token_mgmt._wanted, timestamptz, timestamptz) IS
    'The quota with its span at the instant: of a sliding window the 60th of it, no earlier than '
    'the latest one there is';
REVOKE ALL ON FUNCTION token_mgmt._span(token_mgmt._wanted, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._balance(tenant text, w token_mgmt._wanted, at timestamptz)
    RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    CASE w.kind
    WHEN 'sliding' THEN
        RETURN w.amount - coalesce((
            SELECT sum(p.used + p.held - p.credited) FROM token_mgmt.quota_period p
            WHERE p.tenant = _balance.tenant AND p.quota_id = w.quota_id
                AND p.scope_value = w.scope_value
                -- The oldest part counts in full until all of it has left.
                AND p.starts_at > w.starts_at - w.length - w.length / 60
                AND p.ends_at > w.starts_at AND p.starts_at <> '-infinity'), 0);
    WHEN 'bucket' THEN
        RETURN w.amount - coalesce((
            SELECT p.used + p.held - token_mgmt._refill(q, p.limit_version, p.used + p.held,
                p.credited, p.credited_at, at)
            FROM token_mgmt.quota_period p
            JOIN token_mgmt.quota q ON q.tenant = p.tenant AND q.quota_id = p.quota_id
            WHERE p.tenant = _balance.tenant AND p.quota_id = w.quota_id
                AND p.scope_value = w.scope_value AND p.starts_at = '-infinity' AND p.slot = 0), 0);
    ELSE
        RETURN coalesce((
            SELECT CASE WHEN max(p.limit_version) FILTER (WHERE p.slot = 0) >= w.version
                THEN sum(p.allowance) ELSE w.amount + sum(p.carried) END
                - sum(p.used + p.held - p.credited)
            FROM token_mgmt.quota_period p
            WHERE p.tenant = _balance.tenant AND p.quota_id = w.quota_id
                AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at),
            w.amount + token_mgmt._carried(tenant, w));
    END CASE;
END
$$;
COMMENT ON FUNCTION token_mgmt._balance(text, token_mgmt._wanted, timestamptz) IS
    'What is free of the quota in its span, as an unlocked look or one under its lock finds it; '
    'negative where more is used than allowed';
REVOKE ALL ON FUNCTION token_mgmt._balance(text, token_mgmt._wanted, timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._credit(
    taken numeric, credited numeric, credited_at timestamptz, inflow numeric, at timestamptz
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(taken, trunc(credited
        + inflow * greatest(extract(epoch FROM at - credited_at), 0)::numeric, 6))
$$;
COMMENT ON FUNCTION token_mgmt._credit(numeric, numeric, timestamptz, numeric, timestamptz) IS
    'What has flowed back into a bucket by then: inflow each second, no more than was taken';

CREATE FUNCTION token_mgmt._inflow(
    q token_mgmt.quota, earlier numeric, since timestamptz, until timestamptz
) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (q.amount * greatest(extract(epoch FROM until - greatest(since, q.rate_since)), 0)
        + coalesce(earlier
            * greatest(extract(epoch FROM least(until, q.rate_since) - since), 0), 0))
        / extract(epoch FROM q.length);
END
$$;
COMMENT ON FUNCTION token_mgmt._inflow(token_mgmt.quota, numeric, timestamptz, timestamptz) IS
    'What flows into a bucket in this time, where its amount was earlier before rate_since';

CREATE FUNCTION token_mgmt._refill(
    q token_mgmt.quota, limit_version bigint, taken numeric, credited numeric,
    credited_at timestamptz, at timestamptz
) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN least(taken, trunc(credited + token_mgmt._inflow(q, CASE
        WHEN q.rate_since IS NULL THEN NULL
        -- By a clock that was set back, what was before rate_since may have come after the change.
        WHEN limit_version >= q.version THEN q.amount
        WHEN at < q.rate_since THEN least(q.slowest, q.amount)
        ELSE q.slowest END, credited_at, at), 6));
END
$$;
COMMENT ON FUNCTION token_mgmt._refill(
    token_mgmt.quota, bigint, numeric, numeric, timestamptz, timestamptz
) IS
    'As _credit(), of a bucket whose rate may have been changed since credited_at';

CREATE FUNCTION token_mgmt._period_before(
    w token_mgmt._wanted, OUT starts_at timestamptz, OUT ends_at timestamptz
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    SELECT p.* INTO starts_at, ends_at
    FROM token_mgmt._period(w.period, w.time_zone, w.anchor,
        w.starts_at - interval '1 microsecond') p;
END
$$;
COMMENT ON FUNCTION token_mgmt._period_before(token_mgmt._wanted) IS
    'The fixed period that ends where that of the quota starts';
REVOKE ALL ON FUNCTION token_mgmt._period_before(token_mgmt._wanted) FROM PUBLIC;

CREATE FUNCTION token_mgmt._carried(tenant text, w token_mgmt._wanted) RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    before_at timestamptz;
    q token_mgmt.quota;
    own numeric;
    free numeric;
BEGIN
    IF w.carry_over = 0 OR w.kind <> 'fixed' OR w.created_at >= w.starts_at THEN
        RETURN 0;
    END IF;
    SELECT b.starts_at INTO before_at FROM token_mgmt._period_before(w) b;
    IF before_at < w.removed_until THEN
        -- Nobody knows any more what was used.
        RETURN 0;
    END IF;
    -- By the quota as it was then, so that it is the same whoever opened which of them, and when.
    q := token_mgmt._quota_at(tenant, w.quota_id, w.starts_at - interval '1 microsecond');
    IF (q.time_zone, q.anchor) IS DISTINCT FROM (w.time_zone, w.anchor) THEN
        -- It was no period of that calendar, or nobody knows any more.
        RETURN 0;
    END IF;
    own := q.amount + CASE WHEN q.increase_until >= w.starts_at THEN q.increase ELSE 0 END;
    IF EXISTS (
        SELECT FROM token_mgmt.quota o
        WHERE o.tenant = _carried.tenant AND o.quota_id = w.quota_id
            AND o.updated_at > clock_timestamp())
    THEN
        -- By a clock that was set back since: the change may have come before the period's end.
        own := least(own, w.amount);
    END IF;
    SELECT own + sum(p.carried - p.used - p.held + p.credited) INTO free
    FROM token_mgmt.quota_period p
    WHERE p.tenant = _carried.tenant AND p.quota_id = w.quota_id
        AND p.scope_value = w.scope_value AND p.starts_at = before_at;
    -- What had been carried into it is spent first, and goes no further.
    RETURN greatest(least(w.carry_over, q.carry_over, own, free), 0);
END
$$;
COMMENT ON FUNCTION token_mgmt._carried(text, token_mgmt._wanted) IS
    'What a period gets of what the one before it left of its own limit at its end: all of that '
    'where nobody used it';
REVOKE ALL ON FUNCTION token_mgmt._carried(text, token_mgmt._wanted) FROM PUBLIC;

-- The one place where periods are made. Whoever opens one that carries over locks the one before,
-- so that nothing is held there any more while it is read.
CREATE FUNCTION token_mgmt._open_period(tenant text, w token_mgmt._wanted) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    before token_mgmt._wanted := w;
    extra numeric := 0;
    parts smallint := 1;
    added integer;
BEGIN
    IF w.kind = 'fixed' THEN
        IF w.carry_over > 0 THEN
            SELECT b.starts_at, b.ends_at, 0 INTO before.starts_at, before.ends_at,
                before.carry_over
            FROM token_mgmt._period_before(w) b;
            -- Made where nobody has: its first user may be at it just now.
            WHILE w.created_at < w.starts_at
                AND before.starts_at >= coalesce(w.removed_until, '-infinity')
                AND token_mgmt._lock_slots(tenant, w.quota_id, w.scope_value, before.starts_at)
                    IS NULL
            LOOP
                PERFORM token_mgmt._open_period(tenant, before);
            END LOOP;
            extra := token_mgmt._carried(tenant, w);
        END IF;
        parts := coalesce((
            SELECT h.slots FROM token_mgmt.hot_quota h
            WHERE h.tenant = _open_period.tenant AND h.quota_id = w.quota_id
                AND h.scope_value = w.scope_value), 1);
    END IF;
    INSERT INTO token_mgmt.quota_period (tenant, quota_id, scope_value, starts_at, slots, ends_at,
        allowance, carried, credited_at, limit_version)
    VALUES (tenant, w.quota_id, w.scope_value, w.starts_at, parts,
        CASE WHEN w.kind <> 'sliding' THEN w.ends_at WHEN w.starts_at = '-infinity' THEN 'infinity'
            ELSE w.starts_at + w.length / 60 + w.length END,
        w.amount + extra, extra, CASE w.kind WHEN 'bucket' THEN clock_timestamp() END, w.version)
    ON CONFLICT ON CONSTRAINT quota_period_pkey DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added > 0 AND parts > 1 THEN
        INSERT INTO token_mgmt.quota_period
            (tenant, quota_id, scope_value, starts_at, slot, ends_at, allowance, limit_version)
        SELECT _open_period.tenant, w.quota_id, w.scope_value, w.starts_at, s, w.ends_at, 0,
            w.version
        FROM generate_series(1, parts - 1) s;
        PERFORM token_mgmt._spread(tenant, w.quota_id, w.scope_value, w.starts_at, w.amount + extra,
            w.metric);
    END IF;
    RETURN added;
END
$$;
COMMENT ON FUNCTION token_mgmt._open_period(text, token_mgmt._wanted) IS
    'Makes the rows of the quota''s span unless they are there; 1 when it made them, else 0';
REVOKE ALL ON FUNCTION token_mgmt._open_period(text, token_mgmt._wanted) FROM PUBLIC;

CREATE FUNCTION token_mgmt._locked_span(tenant text, w token_mgmt._wanted)
    RETURNS token_mgmt._wanted
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    head token_mgmt._wanted := w;
    latest timestamptz;
    at timestamptz;
BEGIN
    IF w.kind = 'sliding' THEN
        -- All who take from the window meet at this row, whichever 60th of it they take from.
        head.starts_at := '-infinity';
        WHILE token_mgmt._lock_slots(tenant, w.quota_id, w.scope_value, '-infinity') IS NULL LOOP
            PERFORM token_mgmt._open_period(tenant, head);
        END LOOP;
        SELECT max(p.starts_at) INTO latest FROM token_mgmt.quota_period p
        WHERE p.tenant = _locked_span.tenant AND p.quota_id = w.quota_id
            AND p.scope_value = w.scope_value AND p.starts_at > '-infinity';
    END IF;
    w := token_mgmt._span(w, clock_timestamp(), latest);
    LOOP
        w.slots := token_mgmt._lock_slots(tenant, w.quota_id, w.scope_value, w.starts_at);
        EXIT WHEN w.slots IS NOT NULL;
        PERFORM token_mgmt._open_period(tenant, w);
    END LOOP;
    IF w.kind = 'bucket' THEN
        at := clock_timestamp();
        UPDATE token_mgmt.quota_period p
        SET credited = token_mgmt._refill(q, p.limit_version, p.used + p.held, p.credited,
                p.credited_at, at),
            credited_at = greatest(p.credited_at, at)
        FROM token_mgmt.quota q
        WHERE p.tenant = _locked_span.tenant AND p.quota_id = w.quota_id
            AND p.scope_value = w.scope_value AND p.starts_at = '-infinity' AND p.slot = 0
            AND q.tenant = p.tenant AND q.quota_id = p.quota_id AND p.credited_at < q.rate_since;
    END IF;
    SELECT p.limit_version INTO w.found_version FROM token_mgmt.quota_period p
    WHERE p.tenant = _locked_span.tenant AND p.quota_id = w.quota_id
        AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at AND p.slot = 0;
    w.free := token_mgmt._balance(tenant, w, clock_timestamp());
    RETURN w;
END
$$;
COMMENT ON FUNCTION token_mgmt._locked_span(text, token_mgmt._wanted) IS
    'Locks the rows of the quota''s current span, making them first if nobody has, credits a '
    'bucket with what flowed in before its rate was changed, and says what is free';
REVOKE ALL ON FUNCTION token_mgmt._locked_span(text, token_mgmt._wanted) FROM PUBLIC;
