CREATE TYPE token_mgmt.audit_finding AS (
    finding text,
    tenant text,
    subject text,
    expected numeric,
    actual numeric
);
COMMENT ON TYPE token_mgmt.audit_finding IS
    'A balance or record that disagrees with what reservations and ledger say it must be';

CREATE FUNCTION token_mgmt.audit() RETURNS SETOF token_mgmt.audit_finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- One statement, so one snapshot: a call in between changes nothing.
    WITH charged AS (
        SELECT l.tenant, a.quota_id, a.scope_value, a.starts_at, a.slot, sum(a.amount) AS amount
        FROM token_mgmt.usage_ledger l CROSS JOIN LATERAL unnest(l.allocations) a
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
        OR count(*) > 1 AND min(p.allowance - p.used - p.held + p.credited) < 0
            AND max(p.allowance - p.used - p.held + p.credited) > 0
$$;
COMMENT ON FUNCTION token_mgmt.audit() IS
    'Recomputes every balance from reservations and ledger; a row for each that differs, so none';
REVOKE ALL ON FUNCTION token_mgmt.audit() FROM PUBLIC;
