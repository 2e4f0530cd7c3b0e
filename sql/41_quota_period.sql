-- No CHECK constraints on the tables that every call writes: PostgreSQL reads each of them anew for
-- each statement, which was half of what a reservation's INSERT cost (17 us without, 36 with four).
-- audit() looks for what they would have refused.
CREATE TABLE token_mgmt.quota_period (
    tenant text NOT NULL,
    quota_id bigint NOT NULL,
    scope_value text NOT NULL,
    starts_at timestamptz NOT NULL,
    slot smallint NOT NULL DEFAULT 0,
    slots smallint NOT NULL DEFAULT 1,
    others_free numeric,
    others_at timestamptz,
    ends_at timestamptz NOT NULL,
    allowance numeric NOT NULL,
    carried numeric NOT NULL DEFAULT 0,
    used numeric NOT NULL DEFAULT 0,
    held numeric NOT NULL DEFAULT 0,
    credited numeric NOT NULL DEFAULT 0,
    credited_at timestamptz,
    reset_at timestamptz,
    limit_version bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    CONSTRAINT quota_period_pkey PRIMARY KEY (tenant, quota_id, scope_value, starts_at, slot)
) WITH (fillfactor = 50); -- room for HOT updates: each reserve and each settle writes this row
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota_period', '');
COMMENT ON TABLE token_mgmt.quota_period IS
    'One row for each period of a quota and value that was opened: a reset is the next row, never '
    'an update of this one. Whoever comes first opens it, the worker included. A sliding window '
    'has a row for each 60th of it, and one at -infinity that its writers lock; a bucket has one '
    'at -infinity';
COMMENT ON COLUMN token_mgmt.quota_period.scope_value IS
    'The user, team and so on whose balance this is';
COMMENT ON COLUMN token_mgmt.quota_period.slot IS 'Part of a split period; 0 where it is whole';
COMMENT ON COLUMN token_mgmt.quota_period.slots IS
    'In slot 0: into how many the period is split, for writers who would wait for each other';
COMMENT ON COLUMN token_mgmt.quota_period.others_free IS
    'In a slot: what was free in the other ones at others_at, for tokens_remaining alone, which '
    'would have to read them all each time';
COMMENT ON COLUMN token_mgmt.quota_period.ends_at IS
    'Where the next period starts; when a 60th has left its sliding window';
COMMENT ON COLUMN token_mgmt.quota_period.allowance IS
    'This slot''s part of the limit, in units of the metric; the parts add up to it';
COMMENT ON COLUMN token_mgmt.quota_period.carried IS
    'In slot 0: what the period before left, as a part of the limit';
COMMENT ON COLUMN token_mgmt.quota_period.used IS 'Settled, charged to this period for ever';
COMMENT ON COLUMN token_mgmt.quota_period.held IS 'Held by open reservations';
COMMENT ON COLUMN token_mgmt.quota_period.credited IS
    'What of used and held does not count any more: a bucket has been refilled by it, or '
    'reset_quota() was called. At most allowance - used - held + credited is free';
COMMENT ON COLUMN token_mgmt.quota_period.credited_at IS 'When a bucket was refilled last';
COMMENT ON COLUMN token_mgmt.quota_period.reset_at IS
    'When reset_quota() was called last; each time another instant, whatever the clock says';
COMMENT ON COLUMN token_mgmt.quota_period.limit_version IS
    'Quota version the allowance was taken from';
REVOKE ALL ON token_mgmt.quota_period FROM PUBLIC;
-- Serves the worker's question which periods have ended and are not closed yet, and its walk over
-- all open ones in search of passed thresholds.
CREATE INDEX quota_period_open_idx ON token_mgmt.quota_period
    (ends_at, tenant, quota_id, scope_value, slot) WHERE closed_at IS NULL;
-- Serves the removal of closed short periods that nothing can touch any more.
CREATE INDEX quota_period_closed_idx ON token_mgmt.quota_period (closed_at)
    WHERE closed_at IS NOT NULL;

CREATE TYPE token_mgmt.allocation AS (
    quota_id bigint,
    scope_value text,
    starts_at timestamptz,
    slot smallint,
    metric text,
    cached_weight numeric,
    amount numeric
);
COMMENT ON TYPE token_mgmt.allocation IS
    'A part of a reservation or ledger entry: the period row that it is held in or charged to, and '
    'how much in units of the metric';

CREATE FUNCTION token_mgmt._period(
    period text, time_zone text, anchor timestamp, at timestamptz,
    OUT starts_at timestamptz, OUT ends_at timestamptz
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step interval;
    months integer;
    days integer;
    local_at timestamp := at AT TIME ZONE time_zone;
    -- Hours begin as they do at the turn of the year: a zone's hours may have moved since 2000.
    base timestamp := coalesce(anchor, CASE WHEN period IN ('second', 'minute', 'hour')
            THEN date_trunc('year', local_at)
        WHEN period = 'week' THEN timestamp '2000-01-03' ELSE timestamp '2000-01-01' END);
    n integer;
BEGIN
    IF period = 'total' THEN
        starts_at := '-infinity';
        ends_at := 'infinity';
    END IF;
    IF period = 'total' OR local_at IS NULL OR NOT isfinite(at) OR period IS NULL THEN
        RETURN;
    ELSIF period IS NULL OR time_zone IS NULL OR at IS NULL THEN
        -- Not STRICT, since the anchor may be NULL; the loops below would have no end.
        RETURN;
    END IF;
    step := CASE WHEN period IN ('second', 'minute', 'hour', 'day', 'week', 'month', 'year')
        THEN ('1 ' || period)::interval ELSE period::interval END;
    months := extract(year FROM step) * 12 + extract(month FROM step);
    days := extract(day FROM step);
    IF months = 0 AND days = 0 THEN
        -- As much time as has passed since, whatever the clocks did: hours of the clock would
        -- overlap where it goes back by half of one.
        starts_at := base AT TIME ZONE time_zone;
        starts_at := starts_at + make_interval(secs =>
            floor(extract(epoch FROM at - starts_at) / extract(epoch FROM step))
            * extract(epoch FROM step));
        ends_at := starts_at + step;
        RETURN;
    END IF;
    -- Counted from the anchor each time, so that the 31st is the last day of every month.
    n := CASE WHEN months > 0 THEN floor(
            ((extract(year FROM local_at) - extract(year FROM base)) * 12
            + extract(month FROM local_at) - extract(month FROM base)) / months)
        ELSE floor((local_at::date - base::date) / days::numeric) END;
    -- At most a step too far or too short; where the clock passes a start twice, the second counts.
    LOOP
        starts_at := (base + make_interval(months => n * months, days => n * days))
            AT TIME ZONE time_zone;
        EXIT WHEN starts_at <= at;
        n := n - 1;
    END LOOP;
    LOOP
        n := n + 1;
        ends_at := (base + make_interval(months => n * months, days => n * days))
            AT TIME ZONE time_zone;
        EXIT WHEN ends_at > at;
        starts_at := ends_at;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._period(text, text, timestamp, timestamptz) IS
    'The period that contains the instant, in the zone and counted from the anchor (NULL: the '
    'calendar''s): starts_at <= at < ends_at, and each ends where the next starts. Hours and '
    'shorter have a fixed length, days 23 to 25 hours';

CREATE FUNCTION token_mgmt._local_time(what text, value text) RETURNS timestamp
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result timestamp := value;
BEGIN
    -- A text that has a zone takes no other.
    IF isfinite(result) THEN
        PERFORM (value || ' UTC')::timestamp;
    END IF;
    RETURN result;
EXCEPTION WHEN invalid_datetime_format THEN
    PERFORM token_mgmt._raise('22023', format('%s has a time zone of its own', what),
        format('Found "%s"; %s is a local time in the time zone of the quota.',
            left(value, 63), what),
        'Leave the zone out, and pass the quota''s as time_zone.');
END
$$;
COMMENT ON FUNCTION token_mgmt._local_time(text, text) IS
    'This text as a timestamp, of which PostgreSQL would ignore the time zone. Not STRICT: NULL is '
    'NULL. Errors: 22007, 22008, 22009, 22023';
REVOKE ALL ON FUNCTION token_mgmt._local_time(text, text) FROM PUBLIC;

-- What is free in a period is spread over its slots, so that each can serve on its own. All slots
-- are locked.
CREATE FUNCTION token_mgmt._spread(
    tenant text, quota_id bigint, scope_value text, starts_at timestamptz, free numeric,
    metric text, to_hold numeric DEFAULT 0, version bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    split numeric := (
        SELECT count(*) FROM token_mgmt.quota_period o
        WHERE o.tenant = _spread.tenant AND o.quota_id = _spread.quota_id
            AND o.scope_value = _spread.scope_value AND o.starts_at = _spread.starts_at);
    part numeric := greatest(trunc(free / split, CASE metric WHEN 'cost' THEN 6 ELSE 0 END), 0);
BEGIN
    UPDATE token_mgmt.quota_period p
    SET held = p.held + CASE p.slot WHEN 0 THEN to_hold ELSE 0 END,
        -- Where more is taken than allowed, what comes back to one slot is not free: no slot may
        -- grant on its own until all have been looked at together.
        limit_version = CASE WHEN free < 0 AND split > 1 THEN 0
            ELSE greatest(version, p.limit_version) END,
        allowance = p.used + p.held - p.credited + CASE p.slot
            WHEN 0 THEN to_hold + free - (split - 1) * part ELSE part END,
        others_at = NULL
    WHERE p.tenant = _spread.tenant AND p.quota_id = _spread.quota_id
        AND p.scope_value = _spread.scope_value AND p.starts_at = _spread.starts_at;
END
$$;
COMMENT ON FUNCTION token_mgmt._spread(
    text, bigint, text, timestamptz, numeric, text, numeric, bigint
) IS
    'Holds to_hold in slot 0 and gives each slot of a period an even part of what is then free; a '
    'debt is slot 0''s';
REVOKE ALL ON FUNCTION token_mgmt._spread(
    text, bigint, text, timestamptz, numeric, text, numeric, bigint
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._lock_slots(
    tenant text, quota_id bigint, scope_value text, starts_at timestamptz
) RETURNS smallint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    split smallint;
BEGIN
    SELECT p.slots INTO split FROM token_mgmt.quota_period p
    WHERE p.tenant = _lock_slots.tenant AND p.quota_id = _lock_slots.quota_id
        AND p.scope_value = _lock_slots.scope_value AND p.starts_at = _lock_slots.starts_at
        AND p.slot = 0
    FOR UPDATE;
    IF split > 1 THEN
        -- A statement of its own: slots may have been made while slot 0 was waited for, and are
        -- made under its lock only.
        PERFORM FROM token_mgmt.quota_period p
        WHERE p.tenant = _lock_slots.tenant AND p.quota_id = _lock_slots.quota_id
            AND p.scope_value = _lock_slots.scope_value AND p.starts_at = _lock_slots.starts_at
            AND p.slot > 0
        ORDER BY p.slot
        FOR UPDATE;
    END IF;
    RETURN split;
END
$$;
COMMENT ON FUNCTION token_mgmt._lock_slots(text, bigint, text, timestamptz) IS
    'Locks all slots of a period in order, and says how many they are; NULL where there is no such '
    'period';
REVOKE ALL ON FUNCTION token_mgmt._lock_slots(text, bigint, text, timestamptz) FROM PUBLIC;

CREATE TABLE token_mgmt.hot_quota (
    tenant text NOT NULL,
    quota_id bigint NOT NULL,
    scope_value text NOT NULL,
    slots smallint NOT NULL,
    seen_at timestamptz NOT NULL,
    CONSTRAINT hot_quota_pkey PRIMARY KEY (tenant, quota_id, scope_value)
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.hot_quota', '');
COMMENT ON TABLE token_mgmt.hot_quota IS
    'The quotas and values whose writers waited for each other: their periods are opened in as '
    'many slots. Written by the worker';
COMMENT ON COLUMN token_mgmt.hot_quota.seen_at IS 'When it was last seen to be waited for';
REVOKE ALL ON token_mgmt.hot_quota FROM PUBLIC;

-- Unlogged, without a key, and not dumped: a hint for the worker, which a crash may take.
CREATE UNLOGGED TABLE token_mgmt.quota_wait (
    tenant text NOT NULL,
    quota_id bigint NOT NULL,
    scope_value text NOT NULL,
    waited_at timestamptz NOT NULL
);
COMMENT ON TABLE token_mgmt.quota_wait IS
    'A row for each reservation that waited for a quota''s row; read and emptied by the worker';
REVOKE ALL ON token_mgmt.quota_wait FROM PUBLIC;
