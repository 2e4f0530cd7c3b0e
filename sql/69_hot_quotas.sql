-- Runs before any other row is locked. A row that is fought for is never found free, so that this
-- waits for it, shortly, in the order of all writers.
CREATE FUNCTION token_mgmt._split_period(
    tenant text, quota_id bigint, scope_value text, starts_at timestamptz, slots smallint,
    metric text
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    split smallint := token_mgmt._lock_slots(tenant, quota_id, scope_value, starts_at);
    free numeric;
BEGIN
    IF split IS NULL OR split >= slots THEN
        RETURN false;
    END IF;
    INSERT INTO token_mgmt.quota_period
        (tenant, quota_id, scope_value, starts_at, slot, ends_at, allowance, limit_version)
    SELECT p.tenant, p.quota_id, p.scope_value, p.starts_at, s, p.ends_at, 0, p.limit_version
    FROM token_mgmt.quota_period p, generate_series(split, _split_period.slots - 1) s
    WHERE p.tenant = _split_period.tenant AND p.quota_id = _split_period.quota_id
        AND p.scope_value = _split_period.scope_value AND p.starts_at = _split_period.starts_at
        AND p.slot = 0;
    UPDATE token_mgmt.quota_period p SET slots = _split_period.slots
    WHERE p.tenant = _split_period.tenant AND p.quota_id = _split_period.quota_id
        AND p.scope_value = _split_period.scope_value AND p.starts_at = _split_period.starts_at
        AND p.slot = 0;
    SELECT sum(p.allowance - p.used - p.held + p.credited) INTO free
    FROM token_mgmt.quota_period p
    WHERE p.tenant = _split_period.tenant AND p.quota_id = _split_period.quota_id
        AND p.scope_value = _split_period.scope_value AND p.starts_at = _split_period.starts_at;
    PERFORM token_mgmt._spread(tenant, quota_id, scope_value, starts_at, free, metric);
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._split_period(text, bigint, text, timestamptz, smallint, text) IS
    'Splits a period into this many slots and spreads what is free over them; false where it is '
    'split so far already, or gone';
REVOKE ALL ON FUNCTION token_mgmt._split_period(text, bigint, text, timestamptz, smallint, text)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._split_hot_periods(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '100ms'
AS $$
DECLARE
    fewest_waits constant integer := 20;
    at timestamptz := clock_timestamp();
    p record;
    done integer := 0;
BEGIN
    WITH waits AS (
        DELETE FROM token_mgmt.quota_wait w
        WHERE w.ctid = ANY (ARRAY(
            SELECT o.ctid FROM token_mgmt.quota_wait o LIMIT max_rows FOR UPDATE SKIP LOCKED))
        RETURNING w.tenant, w.quota_id, w.scope_value
    )
    INSERT INTO token_mgmt.hot_quota AS h (tenant, quota_id, scope_value, slots, seen_at)
    SELECT w.tenant, w.quota_id, w.scope_value, 8, at
    FROM waits w
    GROUP BY w.tenant, w.quota_id, w.scope_value
    HAVING count(*) >= fewest_waits
    ON CONFLICT ON CONSTRAINT hot_quota_pkey DO UPDATE
        SET slots = least(h.slots * 2, 32), seen_at = excluded.seen_at;
    DELETE FROM token_mgmt.hot_quota h WHERE h.seen_at < at - interval '1 day';

    FOR p IN
        SELECT h.tenant, h.quota_id, h.scope_value, o.starts_at, h.slots, q.metric
        FROM token_mgmt.hot_quota h
        JOIN token_mgmt.quota q ON q.tenant = h.tenant AND q.quota_id = h.quota_id
        JOIN token_mgmt.quota_period o ON o.tenant = h.tenant AND o.quota_id = h.quota_id
            AND o.scope_value = h.scope_value AND o.slot = 0 AND o.slots < h.slots
            AND o.ends_at > at
        WHERE q.kind = 'fixed'
        ORDER BY h.quota_id, h.scope_value, o.starts_at
        LIMIT max_rows
    LOOP
        BEGIN
            IF token_mgmt._split_period(p.tenant, p.quota_id, p.scope_value, p.starts_at, p.slots,
                p.metric)
            THEN
                done := done + 1;
            END IF;
        EXCEPTION WHEN lock_not_available THEN
            -- The next pass comes back to it; to go on waiting would keep what is split by now from
            -- its writers.
            EXIT;
        END;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION token_mgmt._split_hot_periods(integer) IS
    'Reads up to max_rows waits, gives a quota and value that was waited for 20 times since the '
    'last pass 8 slots, and twice as many each time again, at most 32, for a day after; splits the '
    'current periods of these. Returns how many it split';
REVOKE ALL ON FUNCTION token_mgmt._split_hot_periods(integer) FROM PUBLIC;
