CREATE FUNCTION token_mgmt._quota_wanted(
    tenant text, quota_id bigint, scope_value text, at timestamptz
) RETURNS SETOF token_mgmt._wanted
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.* FROM token_mgmt.quota q
    CROSS JOIN LATERAL token_mgmt._wanted_quotas(q.tenant,
        array_fill(_quota_wanted.scope_value, ARRAY[8]) || '*'::text, at) w
    WHERE q.tenant = _quota_wanted.tenant AND q.quota_id = _quota_wanted.quota_id
        AND w.quota_id = q.quota_id
$$;
COMMENT ON FUNCTION token_mgmt._quota_wanted(text, bigint, text, timestamptz) IS
    'One quota for one value, as a request would want it';
REVOKE ALL ON FUNCTION token_mgmt._quota_wanted(text, bigint, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._overdue(tenant text, w token_mgmt._wanted, at timestamptz)
    RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- Where that is less than nothing, whom it is enough for as it is lets nothing expire.
    SELECT greatest(coalesce(sum(e.given_back - CASE WHEN w.kind = 'bucket'
        -- As _settle_refill(): what has flowed in for these tokens is not there twice.
        THEN greatest(least(e.given_back, trunc(w.inflow
            * greatest(extract(epoch FROM at - e.reserved_at), 0), 6)), 0) ELSE 0 END), 0), 0)
    FROM (
        -- As _expire_holds(): progress is charged.
        SELECT s.reserved_at, a.amount - CASE WHEN s.progress_tokens IS NULL THEN 0
            WHEN a.metric = 'tokens' THEN s.prompt_tokens + s.progress_tokens
            WHEN a.metric = 'requests' THEN 1
            ELSE coalesce(token_mgmt._cost(s.price, s.prompt_tokens, s.progress_tokens, 0, 0),
                a.amount) END AS given_back
        FROM token_mgmt.reservation s CROSS JOIN LATERAL unnest(s.allocations) a
        WHERE s.state = 'held' AND s.expires_at <= at AND s.tenant = _overdue.tenant
            AND a.quota_id = w.quota_id AND a.scope_value = w.scope_value
            AND CASE w.kind WHEN 'sliding' THEN a.starts_at > w.starts_at - w.length - w.length / 60
                ELSE a.starts_at = w.starts_at END
    ) e
$$;
COMMENT ON FUNCTION token_mgmt._overdue(text, token_mgmt._wanted, timestamptz) IS
    'What the expiry of holds past their time will give back in the quota''s span: free for '
    'whoever needs it';
REVOKE ALL ON FUNCTION token_mgmt._overdue(text, token_mgmt._wanted, timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._seen_quotas(r token_mgmt._request, at timestamptz)
    RETURNS token_mgmt._wanted[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted token_mgmt._wanted[] :=
        ARRAY(SELECT q FROM token_mgmt._wanted_quotas(r.tenant, token_mgmt._identities(r), at) q);
    w token_mgmt._wanted;
BEGIN
    FOR i IN 1..cardinality(wanted) LOOP
        w := token_mgmt._span(wanted[i], at, CASE WHEN wanted[i].starts_at > '-infinity'
            THEN wanted[i].starts_at END);
        w.free := token_mgmt._balance(r.tenant, w, at) + token_mgmt._overdue(r.tenant, w, at);
        IF w.kind = 'bucket' THEN
            w.free := least(w.free, w.amount);
        END IF;
        wanted[i] := w;
    END LOOP;
    RETURN wanted;
END
$$;
COMMENT ON FUNCTION token_mgmt._seen_quotas(token_mgmt._request, timestamptz) IS
    'Every quota that applies with what is free in it, read without a lock';
REVOKE ALL ON FUNCTION token_mgmt._seen_quotas(token_mgmt._request, timestamptz) FROM PUBLIC;
