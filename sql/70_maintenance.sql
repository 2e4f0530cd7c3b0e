CREATE FUNCTION token_mgmt._open_periods(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '50ms'
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    n record;
    added integer;
    opened integer := 0;
BEGIN
    -- The next period of a named value is opened ahead of its first use; those of * are not, or
    -- every user ever seen would have a row for every minute. Seconds outrun the worker.
    FOR n IN
        SELECT DISTINCT q.tenant, q.value, q.quota_id
        FROM (
            SELECT e.tenant, e.quota_id, e.scope_value FROM token_mgmt.quota_period e
            WHERE e.closed_at IS NULL AND e.ends_at <= at
            ORDER BY e.ends_at LIMIT max_rows
        ) p
        JOIN token_mgmt.quota q ON q.tenant = p.tenant AND q.quota_id = p.quota_id
            AND q.value = p.scope_value AND q.kind = 'fixed'
            AND q.period NOT IN ('second', 'total')
        ORDER BY q.quota_id, q.value
    LOOP
        BEGIN
            SELECT token_mgmt._open_period(n.tenant, token_mgmt._span(w, at, NULL)) INTO added
            FROM token_mgmt._quota_wanted(n.tenant, n.quota_id, n.value, at) w;
            opened := opened + added;
        EXCEPTION WHEN lock_not_available THEN
            -- Somebody is opening it in a long transaction. To wait would keep the rows made so far
            -- from everybody else.
            EXIT;
        END;
    END LOOP;
    RETURN opened;
END
$$;
COMMENT ON FUNCTION token_mgmt._open_periods(integer) IS
    'Opens the current periods of named values of which up to max_rows have ended; locks no row';
REVOKE ALL ON FUNCTION token_mgmt._open_periods(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._close_periods(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    closed integer;
BEGIN
    WITH ended AS (
        SELECT p.tenant, p.quota_id, p.scope_value, p.starts_at, p.slot
        FROM token_mgmt.quota_period p
        WHERE p.closed_at IS NULL AND p.ends_at <= at
        ORDER BY p.ends_at LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    )
    UPDATE token_mgmt.quota_period p SET closed_at = at
    FROM ended e
    WHERE p.tenant = e.tenant AND p.quota_id = e.quota_id AND p.scope_value = e.scope_value
        AND p.starts_at = e.starts_at AND p.slot = e.slot;
    GET DIAGNOSTICS closed = ROW_COUNT;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION token_mgmt._close_periods(integer) IS
    'Closes up to max_rows periods that have ended; skips what is locked';
REVOKE ALL ON FUNCTION token_mgmt._close_periods(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._open_ledger_months() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '100ms'
AS $$
DECLARE
    at timestamptz;
    opened integer := 0;
BEGIN
    -- An empty database may be one that is being restored, months and all.
    IF NOT EXISTS (SELECT FROM token_mgmt.reservation) THEN
        RETURN 0;
    END IF;
    FOR at IN SELECT (clock_timestamp() AT TIME ZONE 'UTC' + n * interval '1 month')
        AT TIME ZONE 'UTC' FROM generate_series(0, 3) n LOOP
        IF to_regclass('token_mgmt.usage_ledger_' || to_char(at AT TIME ZONE 'UTC', 'YYYY_MM'))
            IS NULL AND token_mgmt._open_ledger_month(at)
        THEN
            opened := opened + 1;
        END IF;
    END LOOP;
    RETURN opened;
EXCEPTION WHEN lock_not_available THEN
    -- A reader is on the ledger; there are days to come back in.
    RETURN 0;
END
$$;
COMMENT ON FUNCTION token_mgmt._open_ledger_months() IS
    'Opens the ledger partitions of this month and the next three, if nobody is reading the ledger';
REVOKE ALL ON FUNCTION token_mgmt._open_ledger_months() FROM PUBLIC;

CREATE FUNCTION token_mgmt._remove_periods(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    late_interval interval :=
        token_mgmt._seconds_setting('late_settle_interval');
    removed integer;
BEGIN
    WITH removable AS (
        SELECT c.tenant, c.quota_id, c.scope_value, c.starts_at
        FROM token_mgmt.quota_period c
        WHERE c.closed_at < at - interval '5 minutes' AND c.slot = 0
            AND NOT EXISTS (SELECT FROM token_mgmt.quota_period s
                WHERE s.tenant = c.tenant AND s.quota_id = c.quota_id
                    AND s.scope_value = c.scope_value AND s.starts_at = c.starts_at
                    AND s.held <> 0)
            AND (c.ends_at - c.starts_at <= interval '1 hour'
                OR EXISTS (SELECT FROM token_mgmt.quota q
                    WHERE q.tenant = c.tenant AND q.quota_id = c.quota_id AND q.kind = 'sliding'))
            -- The next period may still ask what this one left.
            AND NOT EXISTS (SELECT FROM token_mgmt.quota q
                WHERE q.tenant = c.tenant AND q.quota_id = c.quota_id AND q.carry_over > 0
                    AND c.ends_at + (c.ends_at - c.starts_at) > at)
            AND NOT EXISTS (
                SELECT FROM token_mgmt.reservation r CROSS JOIN LATERAL unnest(r.allocations) a
                -- A hold of nothing does not show in the balance.
                WHERE (r.state = 'held' AND a.amount = 0 OR r.state = 'expired'
                        AND r.expires_at > at - late_interval - interval '1 hour')
                    AND r.tenant = c.tenant AND a.quota_id = c.quota_id
                    AND a.scope_value = c.scope_value AND a.starts_at = c.starts_at)
        ORDER BY c.closed_at LIMIT max_rows
        FOR UPDATE OF c SKIP LOCKED
    ), locked AS (
        SELECT p.tenant, p.quota_id, p.scope_value, p.starts_at, p.held
        FROM token_mgmt.quota_period p
        WHERE (p.tenant, p.quota_id, p.scope_value, p.starts_at) IN (
            SELECT r.tenant, r.quota_id, r.scope_value, r.starts_at FROM removable r)
        FOR UPDATE OF p SKIP LOCKED
    ), idle AS (
        -- What somebody is reserving in one slot at this moment only he can see.
        SELECT l.tenant, l.quota_id, l.scope_value, l.starts_at
        FROM locked l
        GROUP BY l.tenant, l.quota_id, l.scope_value, l.starts_at
        HAVING bool_and(l.held = 0) AND count(*) = (
            SELECT count(*) FROM token_mgmt.quota_period s
            WHERE s.tenant = l.tenant AND s.quota_id = l.quota_id
                AND s.scope_value = l.scope_value AND s.starts_at = l.starts_at)
    ), markable AS (
        SELECT q.tenant, q.quota_id FROM token_mgmt.quota q
        WHERE (q.tenant, q.quota_id) IN (SELECT i.tenant, i.quota_id FROM idle i)
        FOR NO KEY UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM token_mgmt.quota_period p
        USING idle i
        WHERE p.tenant = i.tenant AND p.quota_id = i.quota_id AND p.scope_value = i.scope_value
            AND p.starts_at = i.starts_at
            -- Those of a quota that is being changed are left to a later pass.
            AND ((i.tenant, i.quota_id) IN (SELECT m.tenant, m.quota_id FROM markable m)
                OR NOT EXISTS (SELECT FROM token_mgmt.quota q
                    WHERE q.tenant = i.tenant AND q.quota_id = i.quota_id))
        RETURNING p.tenant, p.quota_id, p.ends_at
    ), marked AS (
        -- A clock that moves back must not open a spent period anew.
        UPDATE token_mgmt.quota q SET removed_until = greatest(q.removed_until, g.ends_at)
        FROM (SELECT tenant, quota_id, max(ends_at) AS ends_at FROM gone GROUP BY 1, 2) g
        WHERE q.tenant = g.tenant AND q.quota_id = g.quota_id
    )
    SELECT count(*) INTO removed FROM gone;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION token_mgmt._remove_periods(integer) IS
    'Removes up to max_rows closed periods of an hour and less that no reservation can still touch';
REVOKE ALL ON FUNCTION token_mgmt._remove_periods(integer) FROM PUBLIC;

-- Buckets, sliding windows and totals have rows that never close. What nobody may touch any more is
-- found by the quotas that are gone, never by a look at all periods.
CREATE FUNCTION token_mgmt._remove_dropped_quotas(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    too_late timestamptz := at - token_mgmt._seconds_setting('late_settle_interval')
        - interval '1 hour';
    d token_mgmt.dropped_quota;
    gone token_mgmt.dropped_quota[] := '{}';
    done integer := 0;
    removed integer;
BEGIN
    -- In its first day the database may be one that is being restored, reservations last.
    IF NOT EXISTS (SELECT FROM token_mgmt.dropped_quota o WHERE o.dropped_at < too_late)
        OR NOT EXISTS (SELECT FROM token_mgmt.installation i
            WHERE i.installed_at < at - interval '1 day')
    THEN
        RETURN 0;
    END IF;
    FOR d IN
        SELECT o.* FROM token_mgmt.dropped_quota o
        -- A call that saw the quota just before has long ended; and if it has not, its row is
        -- locked, or shows what it holds. EXCEPT reads the reservations once, whatever the plan.
        WHERE o.quota_id = ANY (ARRAY(
            SELECT n.quota_id FROM token_mgmt.dropped_quota n WHERE n.dropped_at < too_late
            EXCEPT
            SELECT a.quota_id
            FROM token_mgmt.reservation r CROSS JOIN LATERAL unnest(r.allocations) a
            WHERE r.state = 'held' OR r.state = 'expired' AND r.expires_at > too_late))
        ORDER BY o.dropped_at
        FOR UPDATE OF o SKIP LOCKED
    LOOP
        EXIT WHEN done >= max_rows;
        DELETE FROM token_mgmt.quota_period p
        WHERE p.ctid = ANY (ARRAY(
            SELECT o.ctid FROM token_mgmt.quota_period o
            WHERE o.tenant = d.tenant AND o.quota_id = d.quota_id AND o.held = 0
            -- Slot 0 first: a period without it is none that audit() would miss a slot in.
            ORDER BY o.scope_value, o.starts_at, o.slot LIMIT max_rows - done
            FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS removed = ROW_COUNT;
        done := done + removed;
        -- In the order of the key: else, where few quotas have most periods, a row that is not
        -- there would be looked for in all of them.
        PERFORM FROM token_mgmt.quota_period p
        WHERE p.tenant = d.tenant AND p.quota_id = d.quota_id
        ORDER BY p.scope_value, p.starts_at, p.slot LIMIT 1;
        IF NOT FOUND THEN
            DELETE FROM token_mgmt.dropped_quota o
            WHERE o.tenant = d.tenant AND o.quota_id = d.quota_id;
            gone := gone || d;
            done := done + 1;
        END IF;
    END LOOP;
    IF gone <> '{}' THEN
        DELETE FROM token_mgmt.ledger_carried c USING unnest(gone) g
        WHERE c.tenant = g.tenant AND c.quota_id = g.quota_id;
    END IF;
    RETURN done;
END
$$;
COMMENT ON FUNCTION token_mgmt._remove_dropped_quotas(integer) IS
    'Removes up to max_rows periods of dropped quotas that no reservation can still touch, an hour '
    'and token_mgmt.late_settle_interval after the drop at the soonest';
REVOKE ALL ON FUNCTION token_mgmt._remove_dropped_quotas(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._remove_reservations(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept interval := greatest(
        token_mgmt._seconds_setting('reservation_retention'),
        token_mgmt._seconds_setting('late_settle_interval') + interval '1 hour');
    at timestamptz := clock_timestamp() - kept;
    removed integer;
BEGIN
    DELETE FROM token_mgmt.reservation r
    USING (
        SELECT s.tenant, s.reservation_id FROM token_mgmt.reservation s
        -- Ids are in the order of time; what ended by then was made before.
        WHERE s.reservation_id < token_mgmt._first_id(at) AND s.ended_at < at
        ORDER BY s.reservation_id LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ) d
    WHERE r.tenant = d.tenant AND r.reservation_id = d.reservation_id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION token_mgmt._remove_reservations(integer) IS
    'Removes up to max_rows ended reservations older than token_mgmt.reservation_retention; their '
    'ledger entries stay';
REVOKE ALL ON FUNCTION token_mgmt._remove_reservations(integer) FROM PUBLIC;
