-- Functions in a view run with the rights of who asks, so what reads tables stands here itself.
CREATE VIEW token_mgmt.quota_status WITH (security_barrier) AS
    WITH mine AS MATERIALIZED (SELECT * FROM token_mgmt._my_access)
    SELECT q.tenant, q.quota_id, q.scope, coalesce(b.scope_value, q.value) AS value,
        q.value = '*' AS is_wildcard, q.metric, q.period, trim_scale(l.amount) AS amount,
        trim_scale(coalesce(greatest(b.used - b.credited, 0), 0)) AS used,
        trim_scale(coalesce(b.held, 0)) AS held,
        trim_scale(l.amount - coalesce(b.used + b.held - b.credited, 0)) AS remaining,
        nullif(s.starts_at, '-infinity') AS starts_at, nullif(s.ends_at, 'infinity') AS ends_at,
        q.time_zone, q.kind, q.is_soft
    FROM (SELECT clock_timestamp() AS at OFFSET 0) c
    CROSS JOIN token_mgmt.quota q
    CROSS JOIN LATERAL (
        SELECT CASE q.kind WHEN 'sliding' THEN c.at - q.length WHEN 'bucket' THEN '-infinity'
                ELSE p.starts_at END AS starts_at,
            CASE q.kind WHEN 'sliding' THEN c.at WHEN 'bucket' THEN 'infinity'
                ELSE p.ends_at END AS ends_at,
            coalesce(q.burst, q.amount)
                + CASE WHEN q.increase_until > c.at THEN q.increase ELSE 0 END AS amount,
            q.version + CASE WHEN q.increase_until <= c.at THEN 1 ELSE 0 END AS version
        FROM token_mgmt._period(q.period, q.time_zone, q.anchor,
            greatest(c.at, q.removed_until)) p
    ) s
    LEFT JOIN LATERAL (
        SELECT p.scope_value, sum(p.allowance) AS allowance, sum(p.carried) AS carried,
            max(p.limit_version) AS version, sum(p.used) AS used, sum(p.held) AS held,
            CASE q.kind WHEN 'bucket' THEN token_mgmt._refill(q, max(p.limit_version),
                sum(p.used + p.held), sum(p.credited), max(p.credited_at), c.at)
                ELSE sum(p.credited) END AS credited
        FROM token_mgmt.quota_period p
        WHERE p.tenant = q.tenant AND p.quota_id = q.quota_id
            AND (q.value = '*' OR p.scope_value = q.value)
            AND CASE q.kind WHEN 'sliding' THEN p.ends_at > c.at AND p.starts_at > '-infinity'
                ELSE p.starts_at = s.starts_at END
        GROUP BY p.scope_value
    ) b ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN q.kind = 'fixed' AND b.version >= s.version
        THEN b.allowance ELSE s.amount + coalesce(b.carried, 0) END AS amount) l
    -- Who sees a user, sees the user's own quotas, and not what is shared with others.
    WHERE EXISTS (SELECT FROM mine m WHERE (m.tenant IS NULL OR m.tenant = q.tenant)
        AND (m.user_id IS NULL
            OR q.scope = 'user' AND m.user_id = coalesce(b.scope_value, q.value)));
COMMENT ON VIEW token_mgmt.quota_status IS
    'Every quota with the balance of its current period in units of its metric (used: less what a '
    'bucket was refilled by or reset_quota() gave back); a wildcard has a row for each value that '
    'used it in this period, or one with value * where none has; a total or bucket has no start or '
    'end';
REVOKE ALL ON token_mgmt.quota_status FROM PUBLIC;

CREATE VIEW token_mgmt.open_reservations WITH (security_barrier) AS
    WITH mine AS MATERIALIZED (SELECT * FROM token_mgmt._my_access)
    SELECT r.tenant, r.reservation_id, r.user_id, r.model, r.priority, r.api_key, r.team,
        r.session_id, r.agent, r.endpoint, r.request_id, r.prompt_tokens, r.completion_tokens,
        r.tokens_held, r.reserved_at, r.expires_at,
        r.expires_at <= clock_timestamp() AS is_overdue
    FROM token_mgmt.reservation r
    WHERE r.state = 'held' AND EXISTS (SELECT FROM mine m
        WHERE (m.tenant IS NULL OR m.tenant = r.tenant)
            AND (m.user_id IS NULL OR m.user_id = r.user_id));
COMMENT ON VIEW token_mgmt.open_reservations IS
    'Reservations that still hold tokens; an overdue one is ended by the worker, or by the next '
    'request that needs its tokens';
REVOKE ALL ON token_mgmt.open_reservations FROM PUBLIC;
