-- A job is a function that returns how many rows it wrote; $1 is the most it may. Here is the only
-- place that lists them, in the order in which they run. Periods are opened before any row is
-- locked, as reservations do; their thresholds are looked at before they are closed.
CREATE FUNCTION token_mgmt._jobs(OUT job text, OUT every interval, OUT call text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
        ('split hot periods', interval '0', 'token_mgmt._split_hot_periods($1)'),
        ('open periods', '0', 'token_mgmt._open_periods($1)'),
        ('quota alerts', '0', 'token_mgmt._raise_quota_alerts($1)'),
        ('close periods', '0', 'token_mgmt._close_periods($1)'),
        ('expire holds', '0', 'token_mgmt._expire_holds($1)'),
        ('remove periods', '0', 'token_mgmt._remove_periods($1)'),
        ('remove dropped quotas', '1 minute', 'token_mgmt._remove_dropped_quotas($1)'),
        ('remove reservations', '0', 'token_mgmt._remove_reservations($1)'),
        ('open ledger months', '0', 'token_mgmt._open_ledger_months()'),
        ('roll up ledger', '0', 'token_mgmt._roll_up($1)'),
        ('drop ledger months', '1 minute', 'token_mgmt._drop_ledger_months($1)'),
        ('anomaly alerts', '5 minutes', 'token_mgmt._raise_anomaly_alerts($1)'),
        ('key alerts', '1 minute', 'token_mgmt._raise_key_alerts($1)'),
        ('job alerts', '0', 'token_mgmt._raise_job_alerts()'),
        ('remove alerts', '1 minute', 'token_mgmt._remove_alerts($1)')
$$;
COMMENT ON FUNCTION token_mgmt._jobs() IS
    'The jobs of maintenance, how long the worker lets pass between two runs, and the call';
REVOKE ALL ON FUNCTION token_mgmt._jobs() FROM PUBLIC;

CREATE TABLE token_mgmt.worker_job (
    job text NOT NULL,
    job_no integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_run_at timestamptz,
    last_duration interval,
    last_rows bigint,
    runs bigint NOT NULL DEFAULT 0,
    rows_done bigint NOT NULL DEFAULT 0,
    failures bigint NOT NULL DEFAULT 0,
    failed_in_row bigint NOT NULL DEFAULT 0,
    failing_since timestamptz,
    last_error text,
    last_error_at timestamptz,
    CONSTRAINT worker_job_pkey PRIMARY KEY (job),
    CONSTRAINT worker_job_failing_has_its_start CHECK (
        (failed_in_row > 0) = (failing_since IS NOT NULL))
);
-- Not dumped: it tells of this server, and a restored database starts with nothing done.
COMMENT ON TABLE token_mgmt.worker_job IS
    'How each job of maintenance went, whoever ran it, and in the row of job worker the passes of '
    'the background worker. Shown by token_mgmt.worker_status';
COMMENT ON COLUMN token_mgmt.worker_job.last_run_at IS
    'When the last run began; of the worker, when its last pass ended';
COMMENT ON COLUMN token_mgmt.worker_job.rows_done IS 'Rows written by all runs';
COMMENT ON COLUMN token_mgmt.worker_job.failed_in_row IS 'Failed runs since the last good one';
REVOKE ALL ON token_mgmt.worker_job FROM PUBLIC;
-- All rows are there from the start, so that no run has to wait for another one's INSERT.
INSERT INTO token_mgmt.worker_job (job, job_no) VALUES ('worker', 0);
INSERT INTO token_mgmt.worker_job (job, job_no)
SELECT j.job, row_number() OVER () FROM token_mgmt._jobs() j;

CREATE TYPE token_mgmt._job_run AS (
    job text,
    rows_done bigint,
    error text,
    began_at timestamptz,
    duration interval
);
COMMENT ON TYPE token_mgmt._job_run IS
    'One run of a job: rows written, or the error that stopped it';

CREATE FUNCTION token_mgmt._run_job(job text, max_rows integer, is_worker boolean)
    RETURNS token_mgmt._job_run
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run token_mgmt._job_run;
BEGIN
    run.job := job;
    run.rows_done := 0;
    run.began_at := clock_timestamp();
    BEGIN
        -- The text is one of _jobs(), never a caller's.
        EXECUTE (SELECT 'SELECT ' || j.call FROM token_mgmt._jobs() j WHERE j.job = _run_job.job)
            INTO run.rows_done USING max_rows;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        -- The worker's statement_timeout ends a job and not the pass; that of a session, or its
        -- user, means the whole call.
        IF SQLSTATE = '57014' AND NOT is_worker THEN
            RAISE;
        END IF;
        run.rows_done := 0;
        run.error := format('%s: %s', SQLSTATE, SQLERRM);
    END;
    run.duration := greatest(clock_timestamp() - run.began_at, interval '0');
    RETURN run;
END
$$;
COMMENT ON FUNCTION token_mgmt._run_job(text, integer, boolean) IS
    'Runs a job; an error undoes what it did and is told in the result. Not STRICT: all arguments '
    'are given';
REVOKE ALL ON FUNCTION token_mgmt._run_job(text, integer, boolean) FROM PUBLIC;

CREATE FUNCTION token_mgmt._note_runs(runs token_mgmt._job_run[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    noted record;
BEGIN
    -- Where another transaction is noting a run of its own, that one is enough.
    FOR noted IN
        WITH free AS MATERIALIZED (
            SELECT j.job FROM token_mgmt.worker_job j FOR UPDATE SKIP LOCKED
        )
        UPDATE token_mgmt.worker_job j SET
            last_run_at = r.began_at,
            last_duration = r.duration,
            last_rows = r.rows_done,
            runs = j.runs + 1,
            rows_done = j.rows_done + r.rows_done,
            failures = j.failures + (r.error IS NOT NULL)::integer,
            failed_in_row = CASE WHEN r.error IS NOT NULL THEN j.failed_in_row + 1 ELSE 0 END,
            failing_since = CASE WHEN r.error IS NOT NULL
                THEN coalesce(j.failing_since, r.began_at) END,
            last_error = coalesce(r.error, j.last_error),
            last_error_at = CASE WHEN r.error IS NULL THEN j.last_error_at ELSE r.began_at END
        FROM unnest(_note_runs.runs) r, free f
        WHERE j.job = r.job AND j.job = f.job
        RETURNING j.job, j.failed_in_row, j.last_error
    LOOP
        -- At its first failure only: the worker comes by every few seconds.
        IF noted.failed_in_row = 1 AND noted.job <> 'worker' THEN
            RAISE LOG USING MESSAGE = format('maintenance job "%s" failed', noted.job),
                DETAIL = noted.last_error,
                HINT = 'It is tried again; see token_mgmt.worker_status.';
        END IF;
    END LOOP;
EXCEPTION WHEN serialization_failure OR read_only_sql_transaction THEN
    -- Not worth the work of the jobs; and a standby has no work to note.
    NULL;
END
$$;
COMMENT ON FUNCTION token_mgmt._note_runs(token_mgmt._job_run[]) IS
    'Notes runs, at most one of each job, in token_mgmt.worker_job; waits for nobody. Not STRICT: '
    'it is given runs';
REVOKE ALL ON FUNCTION token_mgmt._note_runs(token_mgmt._job_run[]) FROM PUBLIC;
