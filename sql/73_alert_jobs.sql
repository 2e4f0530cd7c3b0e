CREATE FUNCTION token_mgmt._show_instant(at timestamptz) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
$$;
COMMENT ON FUNCTION token_mgmt._show_instant(timestamptz) IS
    'An instant in a message, the same whatever the settings of the session';
REVOKE ALL ON FUNCTION token_mgmt._show_instant(timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_quota_alert(
    tenant text, quota_id bigint, scope_value text, starts_at timestamptz
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b record;
    threshold numeric;
    share text;
    span text;
    raised integer := 0;
BEGIN
    -- Settled tokens only: what is held may come back, and an alert cannot be taken back.
    SELECT q.scope, q.metric, q.period, q.kind, q.length, max(p.ends_at) AS ends_at,
        trim_scale(sum(p.used - p.credited)) AS used, trim_scale(sum(p.held)) AS held,
        -- A row that nobody has met since has the allowance of an increase that is over.
        trim_scale(CASE WHEN min(p.limit_version) FILTER (WHERE p.slot = 0) >= q.version
                    + CASE WHEN q.increase_until <= clock_timestamp() THEN 1 ELSE 0 END
                AND q.kind = 'fixed' THEN sum(p.allowance)
            ELSE q.amount + CASE WHEN q.increase_until > clock_timestamp() THEN q.increase
                ELSE 0 END + sum(p.carried) END) AS amount
    INTO b
    FROM token_mgmt.quota q
    JOIN token_mgmt.quota_period p ON p.tenant = q.tenant AND p.quota_id = q.quota_id
        AND p.scope_value = _raise_quota_alert.scope_value
        AND CASE q.kind WHEN 'sliding' THEN p.ends_at > clock_timestamp()
            ELSE p.starts_at = _raise_quota_alert.starts_at END
    WHERE q.tenant = _raise_quota_alert.tenant AND q.quota_id = _raise_quota_alert.quota_id
    GROUP BY q.tenant, q.quota_id;
    IF NOT FOUND OR b.used <= 0 THEN
        RETURN 0;
    END IF;
    IF b.kind = 'sliding' THEN
        -- It has no end: once for each span of its length.
        starts_at := date_bin(b.length, clock_timestamp(), timestamptz '2000-01-01 00:00+00');
        b.ends_at := starts_at + b.length;
    END IF;
    share := CASE WHEN b.amount > 0 THEN floor(100 * b.used / b.amount) || ' % of its ' || b.metric
        ELSE b.used || ' of 0 ' || b.metric END;
    span := CASE WHEN b.kind = 'sliding' THEN 'in any ' || b.period
        WHEN b.ends_at = 'infinity' THEN 'in total'
        ELSE 'for the ' || b.period || ' ending ' || token_mgmt._show_instant(b.ends_at) END;
    FOREACH threshold IN ARRAY
        token_mgmt._alert_thresholds(tenant, 'quota_threshold', b.scope, scope_value)
    LOOP
        IF b.used >= threshold * b.amount AND token_mgmt._raise_alert(tenant, 'quota_threshold',
            b.scope, scope_value, quota_id::text, starts_at, b.ends_at, threshold,
            format('%s "%s" has used %s %s', b.scope, scope_value, share, span),
            jsonb_build_object('quota_id', quota_id, 'metric', b.metric, 'period', b.period,
                'amount', b.amount, 'used', b.used, 'held', b.held,
                'ends_at', CASE WHEN b.kind = 'fixed' THEN nullif(b.ends_at, 'infinity') END))
        THEN
            raised := raised + 1;
        END IF;
    END LOOP;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_quota_alert(text, bigint, text, timestamptz) IS
    'Raises the alerts of each threshold that this period, all its slots together, has passed; '
    'says how many were new. Not STRICT: all arguments are given';
REVOKE ALL ON FUNCTION token_mgmt._raise_quota_alert(text, bigint, text, timestamptz) FROM PUBLIC;

-- Sorting is off where it can be avoided: a plan by old statistics would read and sort every open
-- period for each part of the walk. So is compiling, which the cost of a sort would then set going.
CREATE FUNCTION token_mgmt._raise_quota_alerts(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    began constant timestamptz := clock_timestamp();
    chunk constant integer := 10000;
    started_from token_mgmt.alert_sweep;
    after token_mgmt.alert_sweep;
    is_at_end boolean;
    is_over boolean;
    least_threshold numeric;
    p record;
    raised integer := 0;
BEGIN
    SELECT * INTO started_from FROM token_mgmt.alert_sweep;
    after := started_from;
    SELECT min(t) INTO least_threshold FROM (
        SELECT unnest(token_mgmt._shipped_thresholds('quota_threshold'))
        UNION ALL
        SELECT unnest(r.thresholds) FROM token_mgmt.alert_rule r WHERE r.kind = 'quota_threshold'
    ) u (t);
    -- All open periods are looked at, since nothing but their balances is sure to tell: neither a
    -- lowered limit, nor a changed rule, nor the end of a mute leaves a trace of its own. No index
    -- can know them either: one over used would have every settlement write it.
    LOOP
        is_at_end := true;
        FOR p IN
            WITH next AS MATERIALIZED (
                SELECT o.*, row_number() OVER () AS row_no
                FROM (
                    SELECT s.* FROM token_mgmt.quota_period s
                    WHERE s.closed_at IS NULL
                        AND (s.ends_at, s.tenant, s.quota_id, s.scope_value, s.slot) > (
                            after.ends_at, after.tenant, after.quota_id, after.scope_value,
                            after.slot)
                    ORDER BY s.ends_at, s.tenant, s.quota_id, s.scope_value, s.slot
                    LIMIT chunk) o
            )
            -- Of slots that have used so much together, one at least has by itself. Periods of less
            -- than an hour are rates, which are meant to be used up.
            SELECT n.*, q.quota_id IS NOT NULL AS may_be_passed
            FROM next n
            LEFT JOIN token_mgmt.quota q ON q.tenant = n.tenant AND q.quota_id = n.quota_id
                AND n.used > 0 AND n.used >= least_threshold * CASE
                    WHEN n.limit_version >= q.version
                        + CASE WHEN q.increase_until <= began THEN 1 ELSE 0 END THEN n.allowance
                    ELSE least(n.allowance, q.amount) END
                AND q.kind = 'fixed' AND n.starts_at <= n.ends_at - interval '1 hour'
                OR q.tenant = n.tenant AND q.quota_id = n.quota_id AND q.kind = 'sliding'
                    AND n.starts_at = '-infinity' AND q.length >= interval '1 hour'
            WHERE q.quota_id IS NOT NULL OR n.row_no = chunk
            ORDER BY n.row_no
        LOOP
            IF p.may_be_passed THEN
                raised := raised + token_mgmt._raise_quota_alert(p.tenant, p.quota_id,
                    p.scope_value, p.starts_at);
            END IF;
            -- A clock that is moved back ends it, too.
            is_over := raised >= max_rows
                OR clock_timestamp() - began NOT BETWEEN interval '0' AND interval '0.5 seconds';
            IF is_over OR p.row_no = chunk THEN
                is_at_end := false;
                after.ends_at := p.ends_at;
                after.tenant := p.tenant;
                after.quota_id := p.quota_id;
                after.scope_value := p.scope_value;
                after.slot := p.slot;
                EXIT;
            END IF;
        END LOOP;
        IF is_at_end THEN
            after.ends_at := '-infinity';
        END IF;
        EXIT WHEN is_at_end OR is_over;
    END LOOP;
    IF after IS DISTINCT FROM started_from THEN
        UPDATE token_mgmt.alert_sweep s
        SET ends_at = after.ends_at, tenant = after.tenant, quota_id = after.quota_id,
            scope_value = after.scope_value, slot = after.slot
        WHERE s.is_only_row = (SELECT f.is_only_row FROM token_mgmt.alert_sweep f
            FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_quota_alerts(integer) IS
    'Looks at open periods for half a second, beginning where the last call stopped, and raises up '
    'to about max_rows alerts of passed thresholds';
REVOKE ALL ON FUNCTION token_mgmt._raise_quota_alerts(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_anomaly_alerts(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a record;
    threshold numeric;
    raised integer := 0;
BEGIN
    FOR a IN SELECT * FROM token_mgmt.usage_anomalies(clock_timestamp()) LOOP
        FOREACH threshold IN ARRAY
            token_mgmt._alert_thresholds(a.tenant, 'usage_anomaly', 'user', a.user_id)
        LOOP
            IF a.ratio >= threshold AND token_mgmt._raise_alert(a.tenant, 'usage_anomaly', 'user',
                a.user_id, '', a.hour, a.hour + interval '1 hour', threshold,
                format('user "%s" used %s tokens in the hour from %s, where %s were expected',
                    a.user_id, a.tokens, token_mgmt._show_instant(a.hour), round(a.expected)),
                jsonb_build_object('tokens', a.tokens, 'expected', a.expected, 'ratio', a.ratio))
            THEN
                raised := raised + 1;
            END IF;
        END LOOP;
        EXIT WHEN raised >= max_rows;
    END LOOP;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_anomaly_alerts(integer) IS
    'Raises an alert for each user and hour that usage_anomalies() finds';
REVOKE ALL ON FUNCTION token_mgmt._raise_anomaly_alerts(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_key_alerts(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    most_days numeric;
    k record;
    threshold numeric;
    raised integer := 0;
BEGIN
    SELECT max(t) INTO most_days FROM (
        SELECT unnest(token_mgmt._shipped_thresholds('key_expiring'))
        UNION ALL
        SELECT unnest(r.thresholds) FROM token_mgmt.alert_rule r WHERE r.kind = 'key_expiring'
    ) u (t);
    FOR k IN
        SELECT * FROM token_mgmt._expiring_keys(interval '1 day' * most_days::double precision) e
        WHERE e.expires_at > at
    LOOP
        FOREACH threshold IN ARRAY
            token_mgmt._alert_thresholds(k.tenant, 'key_expiring', 'api_key', k.name)
        LOOP
            IF k.expires_at <= at + interval '1 day' * threshold::double precision
                AND token_mgmt._raise_alert(k.tenant, 'key_expiring', 'api_key', k.name, '',
                    k.expires_at, k.expires_at, threshold,
                    format('API key "%s" of user "%s" expires at %s', k.name, k.user_id,
                        token_mgmt._show_instant(k.expires_at)),
                    jsonb_build_object('user_id', k.user_id, 'expires_at', k.expires_at))
            THEN
                raised := raised + 1;
            END IF;
        END LOOP;
        EXIT WHEN raised >= max_rows;
    END LOOP;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_key_alerts(integer) IS
    'Raises an alert for each threshold, in days, within which an API key expires';
REVOKE ALL ON FUNCTION token_mgmt._raise_key_alerts(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_job_alerts() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    w record;
    threshold numeric;
    raised integer := 0;
BEGIN
    FOR w IN SELECT * FROM token_mgmt.worker_status s WHERE s.status = 'failing' LOOP
        FOREACH threshold IN ARRAY
            token_mgmt._alert_thresholds('', 'job_failing', 'job', w.job)
        LOOP
            IF w.failed_in_row >= threshold AND token_mgmt._raise_alert('', 'job_failing', 'job',
                w.job, '', w.failing_since, at, threshold,
                format('maintenance job "%s" fails since %s: %s', w.job,
                    token_mgmt._show_instant(w.failing_since), left(w.last_error, 300)),
                jsonb_build_object('failed_in_row', w.failed_in_row))
            THEN
                raised := raised + 1;
            END IF;
        END LOOP;
    END LOOP;
    -- The worker itself can only tell of a silence that is over; run_maintenance() from cron tells
    -- of one that lasts. That the server was down is no silence.
    FOR w IN
        SELECT greatest(j.created_at, j.last_run_at, pg_postmaster_start_time()) AS since
        FROM token_mgmt.worker_status s JOIN token_mgmt.worker_job j USING (job)
        WHERE s.job = 'worker' AND s.status = 'silent'
    LOOP
        FOREACH threshold IN ARRAY
            token_mgmt._alert_thresholds('', 'worker_silent', 'worker', 'worker')
        LOOP
            IF at - w.since >= make_interval(secs => threshold::double precision)
                AND token_mgmt._raise_alert('', 'worker_silent', 'worker', 'worker', '', w.since,
                    at, threshold,
                    format('the background worker made no pass from %s to %s',
                        token_mgmt._show_instant(w.since), token_mgmt._show_instant(at)),
                    jsonb_build_object('seconds', floor(extract(epoch FROM at - w.since))))
            THEN
                raised := raised + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_job_alerts() IS
    'Raises an alert for each job that fails, once until it has run well again, and for a silence '
    'of the worker';
REVOKE ALL ON FUNCTION token_mgmt._raise_job_alerts() FROM PUBLIC;
