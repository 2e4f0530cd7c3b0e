CREATE VIEW token_mgmt.worker_status AS
    SELECT j.job,
        CASE
            WHEN j.job <> 'worker' THEN
                CASE WHEN j.failed_in_row > 0 THEN 'failing' WHEN j.runs > 0 THEN 'ok'
                    ELSE 'waiting' END
            WHEN NOT s.is_preloaded THEN 'not preloaded'
            WHEN s.is_silent THEN 'silent'
            WHEN j.last_run_at IS NULL THEN 'waiting'
            ELSE 'running'
        END AS status,
        j.runs, j.last_run_at, j.last_duration, j.last_rows, j.rows_done, j.failures,
        j.failed_in_row, j.failing_since, j.last_error, j.last_error_at,
        CASE
            WHEN j.job <> 'worker' THEN
                CASE WHEN j.failed_in_row > 0 THEN 'The other jobs go on, and this one is tried '
                    'again; remove what last_error names.' END
            WHEN NOT s.is_preloaded THEN
                'Set shared_preload_libraries = ''token_mgmt'' and restart the server, or call '
                'token_mgmt.run_maintenance() from cron; limits hold without either.'
            WHEN s.is_silent OR j.last_run_at IS NULL THEN
                'See the server log for lines of the token_mgmt launcher and worker, and whether '
                'max_worker_processes leaves them room.'
        END AS hint
    FROM token_mgmt.worker_job j
    CROSS JOIN LATERAL (
        SELECT token_mgmt._worker_preloaded() AS is_preloaded,
            coalesce(j.last_run_at, j.created_at) < clock_timestamp() - greatest(
                interval '30 seconds',
                make_interval(secs => token_mgmt._setting('worker_naptime')::double precision
                    / 100)) AS is_silent
    ) s
    ORDER BY j.job_no;
COMMENT ON VIEW token_mgmt.worker_status IS
    'In the first row, of job worker, whether this database''s background worker runs, with the '
    'sums of its passes; then each job of maintenance, whoever ran it: its last run, its last '
    'error, and what to do';
REVOKE ALL ON token_mgmt.worker_status FROM PUBLIC;
