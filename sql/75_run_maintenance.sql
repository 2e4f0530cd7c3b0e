CREATE TYPE token_mgmt.maintenance_result AS (
    job text,
    rows_done bigint,
    error text
);
COMMENT ON TYPE token_mgmt.maintenance_result IS
    'What a job of run_maintenance() did: rows written, or the error that stopped it';

CREATE FUNCTION token_mgmt.run_maintenance(max_rows integer DEFAULT 1000)
    RETURNS SETOF token_mgmt.maintenance_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '2s'
AS $$
DECLARE
    run token_mgmt._job_run;
    runs token_mgmt._job_run[] := '{}';
    name text;
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        PERFORM token_mgmt._raise('22023', 'max_rows must be at least 1', NULL, NULL);
    END IF;
    FOREACH name IN ARRAY ARRAY(SELECT j.job FROM token_mgmt._jobs() j) LOOP
        run := token_mgmt._run_job(name, max_rows, false);
        runs := runs || run;
        RETURN NEXT (run.job, run.rows_done, run.error)::token_mgmt.maintenance_result;
    END LOOP;
    PERFORM token_mgmt._note_runs(runs);
END
$$;
COMMENT ON FUNCTION token_mgmt.run_maintenance(integer) IS
    'Does what the background worker does, up to max_rows of each job: opens and closes periods, '
    'expires holds, raises alerts, removes what is past its time, opens ledger months ahead. Call '
    'it again while a job reports max_rows';
REVOKE ALL ON FUNCTION token_mgmt.run_maintenance(integer) FROM PUBLIC;

-- A pass is a row of calls, each a transaction: the first says which jobs are due, then one job
-- each, the last notes how they went. What one call returns is given to the next; to the worker it
-- is a string of bytes, so that no error text has to fit its encoding.
CREATE FUNCTION token_mgmt._worker_step(state bytea, may_repeat boolean) RETURNS bytea
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    batch constant integer := 1000;
    at constant timestamptz := clock_timestamp();
    pass jsonb := convert_from(state, getdatabaseencoding());
    runs token_mgmt._job_run[];
    whole token_mgmt._job_run;
    todo jsonb;
BEGIN
    IF pass IS NULL THEN
        -- A clock that was moved back must not keep a job from running.
        SELECT jsonb_agg(j.job) INTO todo
        FROM token_mgmt._jobs() j JOIN token_mgmt.worker_job w USING (job)
        WHERE (w.last_run_at > at - j.every AND w.last_run_at <= at) IS NOT TRUE;
    ELSIF pass -> 'todo' <> '[]' THEN
        todo := (pass -> 'todo') - 0;
        pass := jsonb_build_object('todo', todo, 'began_at', pass -> 'began_at', 'runs',
            (pass -> 'runs') || to_jsonb(token_mgmt._run_job(pass #>> '{todo,0}', batch, true)));
        RETURN convert_to(pass::text, getdatabaseencoding());
    ELSE
        SELECT coalesce(array_agg(r), '{}') INTO runs
        FROM jsonb_populate_recordset(NULL::token_mgmt._job_run, pass -> 'runs') r;
        SELECT 'worker', coalesce(sum(r.rows_done), 0),
            string_agg(format('%s: %s', r.job, r.error), '; ') FILTER (WHERE r.error IS NOT NULL),
            at,
            greatest(at - (pass ->> 'began_at')::timestamptz, interval '0')
        INTO whole FROM unnest(runs) r;
        PERFORM token_mgmt._note_runs(runs || whole);
        SELECT jsonb_agg(r.job) INTO todo FROM unnest(runs) r
        WHERE may_repeat AND r.rows_done >= batch;
        IF todo IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN convert_to(jsonb_build_object('todo', coalesce(todo, '[]'), 'began_at', at,
        'runs', jsonb '[]')::text, getdatabaseencoding());
END
$$;
COMMENT ON FUNCTION token_mgmt._worker_step(bytea, boolean) IS
    'One transaction of a pass of the background worker: takes what the last call returned, NULL '
    'at first, and returns NULL when the pass is over. Where may_repeat is true, jobs that have '
    'more to do run again. Not STRICT: state may be NULL';
REVOKE ALL ON FUNCTION token_mgmt._worker_step(bytea, boolean) FROM PUBLIC;
