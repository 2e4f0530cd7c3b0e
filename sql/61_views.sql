CREATE VIEW token_mgmt.quota_status AS
    SELECT q.tenant, q.quota_id, q.scope, coalesce(p.scope_value, q.value) AS value,
        q.value = '*' AS is_wildcard, q.metric, q.period,
        CASE WHEN p.limit_version = q.version THEN p.allowance ELSE q.amount END AS amount,
        coalesce(p.used, 0) AS used, coalesce(p.held, 0) AS held,
        q.amount - coalesce(p.used, 0) - coalesce(p.held, 0) AS remaining,
        nullif(s.starts_at, '-infinity') AS starts_at, nullif(s.ends_at, 'infinity') AS ends_at,
        q.time_zone
    FROM (SELECT clock_timestamp() AS at OFFSET 0) c
    CROSS JOIN token_mgmt.quota q
    CROSS JOIN LATERAL token_mgmt._period(q.period, q.time_zone,
        greatest(c.at, q.removed_until)) s
    LEFT JOIN token_mgmt.quota_period p ON p.tenant = q.tenant AND p.quota_id = q.quota_id
        AND p.starts_at = s.starts_at AND (q.value = '*' OR p.scope_value = q.value);
COMMENT ON VIEW token_mgmt.quota_status IS
    'Every quota with the balance of its current period, in tokens; a wildcard has a row for each '
    'value that used it in this period, or one with value * where none has; a total has no start '
    'or end';
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
