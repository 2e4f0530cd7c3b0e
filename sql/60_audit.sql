CREATE TYPE token_mgmt.audit_finding AS (
    finding text,
    tenant text,
    subject text,
    expected numeric,
    actual numeric
);
COMMENT ON TYPE token_mgmt.audit_finding IS
    'A balance or record that disagrees with what reservations and ledger say it must be';

CREATE FUNCTION token_mgmt._audit_rollup(by_session boolean) RETURNS SETOF token_mgmt.audit_finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH difference AS (
        SELECT l.tenant, l.user_id, l.session_id, l.hour,
            coalesce(sum(l.calls) FILTER (WHERE l.is_entry), 0) AS calls,
            coalesce(sum(l.calls) FILTER (WHERE NOT l.is_entry), 0) AS rolled_calls,
            coalesce(sum(l.tokens) FILTER (WHERE l.is_entry), 0) AS tokens,
            coalesce(sum(l.tokens) FILTER (WHERE NOT l.is_entry), 0) AS rolled_tokens,
            coalesce(sum(l.cost) FILTER (WHERE l.is_entry), 0) AS cost,
            coalesce(sum(l.cost) FILTER (WHERE NOT l.is_entry), 0) AS rolled_cost
        FROM (
            SELECT true AS is_entry, e.tenant, e.user_id,
                CASE WHEN by_session THEN e.session_id END AS session_id,
                date_trunc('hour', e.recorded_at, 'UTC') AS hour,
                (e.kind <> 'correction')::integer::bigint AS calls,
                e.prompt_tokens::bigint + e.completion_tokens AS tokens, e.cost
            FROM token_mgmt.usage_ledger e
            UNION ALL
            SELECT false, u.tenant, u.user_id, CASE WHEN by_session THEN u.session_id END,
                date_trunc('hour', u.recorded_at, 'UTC'), u.calls,
                u.prompt_tokens::bigint + u.completion_tokens, u.cost
            FROM token_mgmt.ledger_unrolled u
            UNION ALL
            SELECT false, r.tenant, r.user_id, NULL, r.hour, r.calls,
                r.prompt_tokens + r.completion_tokens, r.cost
            FROM token_mgmt.usage_rollup r WHERE NOT by_session
            UNION ALL
            SELECT false, r.tenant, r.user_id, r.session_id, r.hour, r.calls,
                r.prompt_tokens + r.completion_tokens, r.cost
            FROM token_mgmt.session_rollup r WHERE by_session
        ) l
        GROUP BY 1, 2, 3, 4
    )
    SELECT CASE WHEN by_session THEN 'session' ELSE 'usage' END
            || ' rollup differs from the ledger', d.tenant,
        format('%s of user "%s"%s in the hour from %s', m.measure, d.user_id,
            ' in session "' || d.session_id || '"', d.hour), m.expected, m.actual
    FROM difference d
    CROSS JOIN LATERAL (VALUES ('calls', d.calls, d.rolled_calls),
        ('tokens', d.tokens, d.rolled_tokens), ('cost', d.cost, d.rolled_cost)
    ) m (measure, expected, actual)
    WHERE (d.calls, d.tokens, d.cost) <> (d.rolled_calls, d.rolled_tokens, d.rolled_cost)
        AND m.expected <> m.actual
        AND (d.calls > 0 OR token_mgmt._ledger_month(d.hour) IS NOT NULL)
$$;
COMMENT ON FUNCTION token_mgmt._audit_rollup(boolean) IS
    'A row for each hour in which session_rollup (by_session) or usage_rollup, with what is not '
    'rolled up, is not what the ledger says; months whose ledger was dropped are left out';
REVOKE ALL ON FUNCTION token_mgmt._audit_rollup(boolean) FROM PUBLIC;

CREATE FUNCTION token_mgmt.audit() RETURNS SETOF token_mgmt.audit_finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- One statement, so one snapshot: a call in between changes nothing.
    WITH charged AS (
        SELECT c.tenant, c.quota_id, c.scope_value, c.starts_at, c.slot, sum(c.amount) AS amount
        FROM (
            SELECT l.tenant, a.quota_id, a.scope_value, a.starts_at, a.slot, a.amount
            FROM token_mgmt.usage_ledger l CROSS JOIN LATERAL unnest(l.allocations) a
            UNION ALL
            SELECT o.tenant, o.quota_id, o.scope_value, o.starts_at, o.slot, o.amount
            FROM token_mgmt.ledger_carried o
        ) c
        GROUP BY 1, 2, 3, 4, 5
    ), held AS (
        SELECT r.tenant, a.quota_id, a.scope_value, a.starts_at, a.slot, sum(a.amount) AS amount
        FROM token_mgmt.reservation r CROSS JOIN LATERAL unnest(r.allocations) a
        WHERE r.state = 'held'
        GROUP BY 1, 2, 3, 4, 5
    ), entries AS (
        SELECT l.tenant, l.reservation_id,
            count(*) FILTER (WHERE l.kind <> 'correction') AS entries,
            sum(l.prompt_tokens::bigint + l.completion_tokens) AS tokens
        FROM token_mgmt.usage_ledger l WHERE l.reservation_id IS NOT NULL
        GROUP BY 1, 2
    )
    SELECT 'used differs from the ledger', p.tenant,
        format('quota %s of "%s" from %s', p.quota_id, p.scope_value, p.starts_at),
        coalesce(c.amount, 0), p.used
    FROM token_mgmt.quota_period p
    LEFT JOIN charged c USING (tenant, quota_id, scope_value, starts_at, slot)
    WHERE p.used <> coalesce(c.amount, 0)
    UNION ALL
    SELECT 'held differs from the open reservations', p.tenant,
        format('quota %s of "%s" from %s', p.quota_id, p.scope_value, p.starts_at),
        coalesce(h.amount, 0), p.held
    FROM token_mgmt.quota_period p
    LEFT JOIN held h USING (tenant, quota_id, scope_value, starts_at, slot)
    WHERE p.held <> coalesce(h.amount, 0)
    UNION ALL
    SELECT 'open reservation holds in a period that is gone', h.tenant,
        format('quota %s of "%s" from %s', h.quota_id, h.scope_value, h.starts_at), h.amount, 0
    FROM held h
    LEFT JOIN token_mgmt.quota_period p USING (tenant, quota_id, scope_value, starts_at, slot)
    WHERE p.quota_id IS NULL
    UNION ALL
    SELECT 'settled reservation differs from its ledger entries', r.tenant,
        format('reservation %s', r.reservation_id), (r.entry).total_tokens, e.tokens
    FROM token_mgmt.reservation r
    LEFT JOIN entries e USING (tenant, reservation_id)
    WHERE (r.entry).entry_id IS NOT NULL
        AND (e.tokens IS DISTINCT FROM (r.entry).total_tokens OR e.entries IS DISTINCT FROM 1)
        -- A correction alone is what is left where the month of the expiry was dropped.
        AND (e.entries > 0 OR token_mgmt._ledger_month(CASE e.entries WHEN 0 THEN r.expires_at
            ELSE (r.entry).recorded_at END) IS NOT NULL)
    UNION ALL
    SELECT 'ledger charges a reservation that is not settled', r.tenant,
        format('reservation %s', r.reservation_id), 0, e.tokens
    FROM token_mgmt.reservation r
    JOIN entries e USING (tenant, reservation_id)
    WHERE (r.entry).entry_id IS NULL
    UNION ALL
    SELECT 'reservation contradicts itself', r.tenant, format('reservation %s', r.reservation_id),
        r.prompt_tokens::bigint + r.completion_tokens, r.tokens_held
    FROM token_mgmt.reservation r
    WHERE r.tokens_held <> r.prompt_tokens + r.completion_tokens
        OR least(r.prompt_tokens, r.completion_tokens) < 0
        OR (r.state = 'held') <> (r.ended_at IS NULL)
        OR (r.state = 'settled' AND (r.entry).entry_id IS NULL)
        OR (r.state IN ('held', 'released') AND (r.entry).entry_id IS NOT NULL)
    UNION ALL
    SELECT 'slot is over its allowance while another has room', p.tenant,
        format('quota %s of "%s" from %s', p.quota_id, p.scope_value, p.starts_at),
        0, min(p.allowance - p.used - p.held + p.credited)
    FROM token_mgmt.quota_period p
    GROUP BY p.tenant, p.quota_id, p.scope_value, p.starts_at
    HAVING count(*) <> max(p.slots) FILTER (WHERE p.slot = 0)
        OR count(*) > 1 AND max(p.limit_version) > 0
            AND min(p.allowance - p.used - p.held + p.credited) < 0
            AND max(p.allowance - p.used - p.held + p.credited) > 0
    UNION ALL
    SELECT f.* FROM token_mgmt._audit_rollup(by_session => false) f
    UNION ALL
    SELECT f.* FROM token_mgmt._audit_rollup(by_session => true) f
$$;
COMMENT ON FUNCTION token_mgmt.audit() IS
    'Recomputes every balance from reservations and ledger, and the rollups; a row for each that '
    'differs, so none';
REVOKE ALL ON FUNCTION token_mgmt.audit() FROM PUBLIC;
