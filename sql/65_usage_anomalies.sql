CREATE TYPE token_mgmt.usage_anomaly AS (
    tenant text,
    user_id text,
    hour timestamptz,
    tokens bigint,
    expected bigint,
    ratio numeric
);
COMMENT ON TYPE token_mgmt.usage_anomaly IS
    'A user''s use in an hour, in tokens, against the median of that hour in the weeks before; '
    'ratio is NULL where nothing was expected';

CREATE FUNCTION token_mgmt.usage_anomalies(
    at timestamptz DEFAULT now(), min_tokens bigint DEFAULT 10000, min_ratio numeric DEFAULT 3
) RETURNS SETOF token_mgmt.usage_anomaly
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- The hour before too, so that its last minutes are not missed.
    WITH used AS MATERIALIZED (
        SELECT h.tenant, h.user_id, h.hour, sum(h.total_tokens)::bigint AS tokens
        FROM token_mgmt.usage_hourly h
        WHERE h.hour IN (date_trunc('hour', at, 'UTC'),
            date_trunc('hour', at, 'UTC') - interval '1 hour')
        GROUP BY 1, 2, 3
        HAVING sum(h.total_tokens) >= min_tokens
    ), past AS MATERIALIZED (
        SELECT h.tenant, h.user_id, h.hour, sum(h.total_tokens) AS tokens
        FROM token_mgmt.usage_hourly h
        WHERE h.hour = ANY (ARRAY(
            SELECT date_trunc('hour', at, 'UTC') - n * interval '168 hours' - m * interval '1 hour'
            FROM generate_series(1, 4) n, generate_series(0, 1) m))
        GROUP BY 1, 2, 3
    ), unrolled AS MATERIALIZED (
        -- Read once, whole as it is; nearly always all of it is younger.
        SELECT r.tenant, r.user_id, min(r.recorded_at) AS since FROM token_mgmt.ledger_unrolled r
        WHERE r.recorded_at < date_trunc('hour', at, 'UTC') - interval '167 hours'
        GROUP BY 1, 2
    ), week AS (
        -- A week without use counts as nothing used, but not one from before the user's first use.
        SELECT u.tenant, u.user_id, u.hour, u.tokens, coalesce(p.tokens, 0) AS past
        FROM used u CROSS JOIN generate_series(1, 4) n
        CROSS JOIN LATERAL (SELECT u.hour - n * interval '168 hours' AS hour OFFSET 0) w
        LEFT JOIN past p ON p.tenant = u.tenant AND p.user_id = u.user_id AND p.hour = w.hour
        LEFT JOIN unrolled f ON f.tenant = u.tenant AND f.user_id = u.user_id
        WHERE f.since < w.hour + interval '1 hour'
            OR EXISTS (SELECT FROM token_mgmt.usage_rollup r WHERE r.tenant = u.tenant
                AND r.user_id = u.user_id AND r.hour <= w.hour)
    ), usual AS (
        SELECT w.tenant, w.user_id, w.hour, w.tokens, array_agg(w.past) AS weeks,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY w.past::double precision) AS median
        FROM week w GROUP BY 1, 2, 3, 4
        HAVING count(*) >= 3
    )
    SELECT u.tenant, u.user_id, u.hour, u.tokens, u.median::bigint,
        round(u.tokens / nullif(u.median::numeric, 0), 1)
    FROM usual u
    CROSS JOIN LATERAL (
        -- The median distance from the median: one past anomaly does not hide the next.
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(w - u.median)) AS distance
        FROM unnest(u.weeks) w
    ) spread
    WHERE u.tokens >= min_ratio * u.median::numeric
        AND u.tokens > u.median + 5 * spread.distance
    ORDER BY u.tokens DESC, u.tenant, u.user_id, u.hour
$$;
COMMENT ON FUNCTION token_mgmt.usage_anomalies(timestamptz, bigint, numeric) IS
    'Who used, in the hour of this instant or the one before, at least min_tokens, min_ratio times '
    'the median of that hour (UTC) in the four weeks before, and more than five times their usual '
    'distance from it above it; only users with use three weeks ago or earlier. Not STRICT: NULL '
    'finds nothing';
REVOKE ALL ON FUNCTION token_mgmt.usage_anomalies(timestamptz, bigint, numeric) FROM PUBLIC;
