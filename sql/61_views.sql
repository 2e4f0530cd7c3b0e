CREATE FUNCTION token_mgmt._quota_balances(q token_mgmt.quota, at timestamptz)
    RETURNS TABLE (
        scope_value text, amount numeric, used numeric, held numeric, remaining numeric,
        starts_at timestamptz, ends_at timestamptz
    )
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH span AS (
        SELECT CASE WHEN q.kind = 'bucket' THEN q.burst ELSE q.amount END
                + CASE WHEN q.increase_until > at THEN q.increase ELSE 0 END AS amount,
            q.version + CASE WHEN q.increase_until <= at THEN 1 ELSE 0 END AS version,
            q.amount / extract(epoch FROM q.length)::numeric AS inflow,
            CASE q.kind WHEN 'sliding' THEN at - q.length WHEN 'bucket' THEN '-infinity'
                ELSE f.starts_at END AS starts_at,
            CASE q.kind WHEN 'sliding' THEN at WHEN 'bucket' THEN 'infinity'
                ELSE f.ends_at END AS ends_at
        FROM (SELECT) one
        LEFT JOIN LATERAL token_mgmt._period(q.period, q.time_zone, q.anchor,
            greatest(at, q.removed_until)) f ON q.kind = 'fixed'
    ), balance AS (
        SELECT p.scope_value, sum(p.allowance) AS allowance, sum(p.carried) AS carried,
            max(p.limit_version) AS version, sum(p.used) AS used, sum(p.held) AS held,
            CASE q.kind WHEN 'bucket' THEN token_mgmt._credit(sum(p.used + p.held),
                sum(p.credited), max(p.credited_at), max(s.inflow), at)
                ELSE sum(p.credited) END AS credited
        FROM span s JOIN token_mgmt.quota_period p ON p.tenant = q.tenant
            AND p.quota_id = q.quota_id AND (q.value = '*' OR p.scope_value = q.value)
            AND CASE q.kind
                WHEN 'sliding' THEN p.ends_at > at AND p.starts_at > '-infinity'
                ELSE p.starts_at = s.starts_at END
        GROUP BY p.scope_value
    )
    SELECT coalesce(b.scope_value, q.value), l.amount, greatest(b.used - b.credited, 0),
        coalesce(b.held, 0), l.amount - coalesce(b.used + b.held - b.credited, 0),
        s.starts_at, s.ends_at
    FROM span s
    LEFT JOIN balance b ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN q.kind = 'fixed' AND b.version >= s.version
        THEN b.allowance ELSE s.amount + coalesce(b.carried, 0) END AS amount) l
$$;
COMMENT ON FUNCTION token_mgmt._quota_balances(token_mgmt.quota, timestamptz) IS
    'The balance of each value of a quota at the instant; one row of zeros where none has used it';
REVOKE ALL ON FUNCTION token_mgmt._quota_balances(token_mgmt.quota, timestamptz) FROM PUBLIC;

CREATE VIEW token_mgmt.quota_status AS
    SELECT q.tenant, q.quota_id, q.scope, b.scope_value AS value, q.value = '*' AS is_wildcard,
        q.metric, q.period, b.amount, b.used, b.held, b.remaining,
        nullif(b.starts_at, '-infinity') AS starts_at, nullif(b.ends_at, 'infinity') AS ends_at,
        q.time_zone, q.kind, q.is_soft
    FROM (SELECT clock_timestamp() AS at OFFSET 0) c
    CROSS JOIN token_mgmt.quota q
    CROSS JOIN LATERAL token_mgmt._quota_balances(q, c.at) b;
COMMENT ON VIEW token_mgmt.quota_status IS
    'Every quota with the balance of its current period in units of its metric (used: less what a '
    'bucket was refilled by or reset_quota() gave back); a wildcard has a row for each value that '
    'used it in this period, or one with value * where none has; a total or bucket has no start or '
    'end';
REVOKE ALL ON token_mgmt.quota_status FROM PUBLIC;

CREATE VIEW token_mgmt.open_reservations AS
    SELECT r.tenant, r.reservation_id, r.user_id, r.model, r.priority, r.api_key, r.team,
        r.session_id, r.agent, r.endpoint, r.request_id, r.prompt_tokens, r.completion_tokens,
        r.tokens_held, r.reserved_at, r.expires_at,
        r.expires_at <= clock_timestamp() AS is_overdue
    FROM token_mgmt.reservation r
    WHERE r.state = 'held';
COMMENT ON VIEW token_mgmt.open_reservations IS
    'Reservations that still hold tokens; an overdue one is ended by the worker, or by the next '
    'request that needs its tokens';
REVOKE ALL ON token_mgmt.open_reservations FROM PUBLIC;
