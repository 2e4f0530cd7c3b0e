CREATE TYPE token_mgmt.maintenance_result AS (
    job text,
    rows_done bigint,
    error text
);
COMMENT ON TYPE token_mgmt.maintenance_result IS
    'What a job of run_maintenance() did: rows written, or the error that stopped it';

CREATE TABLE token_mgmt.worker_heartbeat (
    is_only_row boolean NOT NULL DEFAULT true,
    passes bigint NOT NULL,
    last_pass_at timestamptz NOT NULL,
    last_pass_duration interval NOT NULL,
    periods_opened bigint NOT NULL,
    periods_closed bigint NOT NULL,
    holds_expired bigint NOT NULL,
    last_error text,
    last_error_at timestamptz,
    CONSTRAINT worker_heartbeat_pkey PRIMARY KEY (is_only_row),
    CONSTRAINT worker_heartbeat_is_one_row CHECK (is_only_row)
);
-- Not dumped: it tells of this server's worker, and a restored database starts without one.
COMMENT ON TABLE token_mgmt.worker_heartbeat IS
    'Written by the background worker at the end of each pass; counts are sums since the first '
    'pass';
REVOKE ALL ON token_mgmt.worker_heartbeat FROM PUBLIC;

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
                WHERE r.state = 'expired' AND r.ended_at > at - late_interval - interval '1 hour'
                    AND r.tenant = c.tenant AND a.quota_id = c.quota_id
                    AND a.scope_value = c.scope_value AND a.starts_at = c.starts_at)
        ORDER BY c.closed_at LIMIT max_rows
        FOR UPDATE OF c SKIP LOCKED
    ), gone AS (
        DELETE FROM token_mgmt.quota_period p
        USING removable r
        WHERE p.tenant = r.tenant AND p.quota_id = r.quota_id AND p.scope_value = r.scope_value
            AND p.starts_at = r.starts_at
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

CREATE FUNCTION token_mgmt._remove_reservations(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept interval := greatest(
        token_mgmt._seconds_setting('reservation_retention'),
        token_mgmt._seconds_setting('late_settle_interval') + interval '1 hour');
    removed integer;
BEGIN
    DELETE FROM token_mgmt.reservation r
    USING (
        SELECT s.tenant, s.reservation_id FROM token_mgmt.reservation s
        WHERE s.ended_at < clock_timestamp() - kept
        ORDER BY s.ended_at LIMIT max_rows
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

CREATE FUNCTION token_mgmt.run_maintenance(max_rows integer DEFAULT 1000)
    RETURNS SETOF token_mgmt.maintenance_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result token_mgmt.maintenance_result;
    job text;
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        PERFORM token_mgmt._raise('22023', 'max_rows must be at least 1', NULL, NULL);
    END IF;
    -- Periods are opened before any row is locked, as reservations do.
    FOREACH job IN ARRAY ARRAY['open periods', 'close periods', 'expire holds', 'remove periods',
        'remove reservations', 'open ledger months', 'roll up ledger', 'drop ledger months']
    LOOP
        result.job := job;
        result.error := NULL;
        -- One job's error must not keep the others from running.
        BEGIN
            result.rows_done := CASE job
                WHEN 'open periods' THEN token_mgmt._open_periods(max_rows)
                WHEN 'close periods' THEN token_mgmt._close_periods(max_rows)
                WHEN 'expire holds' THEN token_mgmt._expire_holds(max_rows)
                WHEN 'remove periods' THEN token_mgmt._remove_periods(max_rows)
                WHEN 'remove reservations' THEN token_mgmt._remove_reservations(max_rows)
                WHEN 'open ledger months' THEN token_mgmt._open_ledger_months()
                WHEN 'roll up ledger' THEN token_mgmt._roll_up(max_rows)
                ELSE token_mgmt._drop_ledger_months(max_rows)
            END;
        EXCEPTION WHEN OTHERS THEN
            result.rows_done := 0;
            result.error := format('%s: %s', SQLSTATE, SQLERRM);
        END;
        RETURN NEXT result;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt.run_maintenance(integer) IS
    'Does what the background worker does, up to max_rows of each job: opens and closes periods, '
    'expires holds, removes what is past its time, opens ledger months ahead, rolls the ledger up. '
    'Call it again while a job reports max_rows';
REVOKE ALL ON FUNCTION token_mgmt.run_maintenance(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._worker_pass() RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    batch constant integer := 1000;
    started_at timestamptz := clock_timestamp();
    results token_mgmt.maintenance_result[] :=
        ARRAY(SELECT m FROM token_mgmt.run_maintenance(batch) m);
    failure text;
BEGIN
    SELECT string_agg(format('%s: %s', m.job, m.error), '; ') INTO failure
    FROM unnest(results) m WHERE m.error IS NOT NULL;
    INSERT INTO token_mgmt.worker_heartbeat AS h (passes, last_pass_at, last_pass_duration,
        periods_opened, periods_closed, holds_expired, last_error, last_error_at)
    SELECT 1, clock_timestamp(), clock_timestamp() - started_at,
        coalesce(sum(m.rows_done) FILTER (WHERE m.job = 'open periods'), 0),
        coalesce(sum(m.rows_done) FILTER (WHERE m.job = 'close periods'), 0),
        coalesce(sum(m.rows_done) FILTER (WHERE m.job = 'expire holds'), 0),
        failure, CASE WHEN failure IS NOT NULL THEN clock_timestamp() END
    FROM unnest(results) m
    ON CONFLICT ON CONSTRAINT worker_heartbeat_pkey DO UPDATE SET
        passes = h.passes + 1,
        last_pass_at = excluded.last_pass_at,
        last_pass_duration = excluded.last_pass_duration,
        periods_opened = h.periods_opened + excluded.periods_opened,
        periods_closed = h.periods_closed + excluded.periods_closed,
        holds_expired = h.holds_expired + excluded.holds_expired,
        last_error = coalesce(excluded.last_error, h.last_error),
        last_error_at = coalesce(excluded.last_error_at, h.last_error_at);
    IF failure IS NOT NULL THEN
        RAISE WARNING USING MESSAGE = 'a maintenance job failed', DETAIL = failure,
            HINT = 'See token_mgmt.worker_status; the job is tried again at the next pass.';
    END IF;
    RETURN EXISTS (SELECT FROM unnest(results) m WHERE m.rows_done >= batch);
END
$$;
COMMENT ON FUNCTION token_mgmt._worker_pass() IS
    'One pass of the background worker; true when more work is waiting';
REVOKE ALL ON FUNCTION token_mgmt._worker_pass() FROM PUBLIC;

CREATE VIEW token_mgmt.worker_status AS
    SELECT
        CASE
            WHEN NOT token_mgmt._worker_preloaded() THEN 'not preloaded'
            WHEN h.last_pass_at IS NULL THEN 'waiting for its first pass'
            WHEN h.last_pass_at < clock_timestamp() - s.silent_after THEN 'silent'
            ELSE 'running'
        END AS status,
        h.passes, h.last_pass_at, h.last_pass_duration, h.periods_opened, h.periods_closed,
        h.holds_expired, h.last_error, h.last_error_at,
        CASE
            WHEN NOT token_mgmt._worker_preloaded() THEN
                'Set shared_preload_libraries = ''token_mgmt'' and restart the server, or call '
                'token_mgmt.run_maintenance() from cron; limits hold without either.'
            WHEN h.last_pass_at IS NULL OR h.last_pass_at < clock_timestamp() - s.silent_after THEN
                'See the server log for lines of the token_mgmt launcher and worker, and whether '
                'max_worker_processes leaves them room.'
        END AS hint
    FROM (SELECT greatest(interval '30 seconds',
            make_interval(secs => token_mgmt._setting('worker_naptime')::double precision / 100))
        AS silent_after) s
    LEFT JOIN token_mgmt.worker_heartbeat h ON true;
COMMENT ON VIEW token_mgmt.worker_status IS
    'Whether this database''s background worker runs, what it has done, its last error, and what '
    'to do when it does not run';
REVOKE ALL ON token_mgmt.worker_status FROM PUBLIC;
