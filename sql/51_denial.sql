CREATE TYPE token_mgmt._wanted AS (
    quota_id bigint,
    scope text,
    scope_value text,
    period text,
    time_zone text,
    amount numeric,
    version bigint,
    starts_at timestamptz,
    ends_at timestamptz,
    is_open boolean,
    used numeric,
    held numeric
);
COMMENT ON TYPE token_mgmt._wanted IS
    'A quota that applies to a request, with its period at some instant and its unlocked balance';

CREATE FUNCTION token_mgmt._wanted_periods(r token_mgmt._request, at timestamptz)
    RETURNS token_mgmt._wanted[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    result token_mgmt._wanted[];
BEGIN
    -- LATERAL with DISTINCT ON or LIMIT cannot be turned into a join over the whole tenant: every
    -- look-up is by a whole key, whatever the statistics were when this was planned.
    SELECT array_agg(
        (q.quota_id, q.scope, i.value, q.period, q.time_zone, q.amount, q.version,
            s.starts_at, s.ends_at, p.quota_id IS NOT NULL, coalesce(p.used, 0), coalesce(p.held, 0)
        )::token_mgmt._wanted ORDER BY q.quota_id, i.value)
    INTO result
    FROM unnest(
        ARRAY['user', 'api_key', 'team', 'session', 'agent', 'model', 'endpoint', 'tenant'],
        ARRAY[r.user_id, r.api_key, r.team, r.session_id, r.agent, r.model, r.endpoint, r.tenant]
    ) AS i (scope, value)
    CROSS JOIN LATERAL (
        -- An exact value replaces * of the same scope, metric and period.
        SELECT DISTINCT ON (o.metric, o.period) o.*
        FROM token_mgmt.quota o
        WHERE o.tenant = r.tenant AND o.scope = i.scope AND o.value = ANY (ARRAY[i.value, '*'])
        ORDER BY o.metric, o.period, o.value = '*'
    ) q
    CROSS JOIN LATERAL token_mgmt._period(q.period, q.time_zone,
        greatest(at, q.removed_until)) s
    LEFT JOIN LATERAL (
        SELECT o.quota_id, o.used, o.held FROM token_mgmt.quota_period o
        WHERE o.tenant = r.tenant AND o.quota_id = q.quota_id AND o.scope_value = i.value
            AND o.starts_at = s.starts_at AND o.slot = 0
        LIMIT 1
    ) p ON true
    WHERE i.value IS NOT NULL;
    RETURN coalesce(result, '{}');
END
$$;
COMMENT ON FUNCTION token_mgmt._wanted_periods(token_mgmt._request, timestamptz) IS
    'Every quota that applies to the request, in lock order, read without a lock';
REVOKE ALL ON FUNCTION token_mgmt._wanted_periods(token_mgmt._request, timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._duration_text(span interval) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN s < 60 THEN s || ' s'
        WHEN s < 3600 THEN (s + 59) / 60 || ' min'
        WHEN s < 86400 THEN s / 3600 || ' h ' || s % 3600 / 60 || ' min'
        ELSE s / 86400 || ' d ' || s % 86400 / 3600 || ' h'
    END FROM (SELECT greatest(ceil(extract(epoch FROM span))::bigint, 1)) e (s)
$$;
COMMENT ON FUNCTION token_mgmt._duration_text(interval) IS 'A span as people say it: 5 h 12 min';

CREATE FUNCTION token_mgmt._quota_denial(
    r token_mgmt._request, wanted token_mgmt._wanted[], completion integer, at timestamptz
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g token_mgmt.reservation_grant;
    w token_mgmt._wanted;
    tightest token_mgmt._wanted;
    share numeric := token_mgmt._priority_share(r.tenant, r.priority);
    requested bigint := r.prompt_tokens::bigint + completion;
    -- What would have been granted at the least.
    needed bigint := r.prompt_tokens::bigint + CASE r.on_overflow WHEN 'refuse' THEN completion
        ELSE least(completion, greatest(r.min_completion_tokens, 1)) END;
    available numeric;
    least_available numeric;
    retry_at timestamptz;
    remaining numeric;
    lower integer;
    detail text;
    ways text[] := '{}';
BEGIN
    FOREACH w IN ARRAY wanted LOOP
        available := greatest(ceil((w.amount - w.used - w.held) * share), 0);
        IF least_available IS NULL OR available < least_available THEN
            least_available := available;
            tightest := w;
        END IF;
        -- Every quota that is short must have had its reset, and then have enough.
        IF needed > available THEN
            retry_at := greatest(retry_at,
                CASE WHEN needed <= ceil(w.amount * share) THEN w.ends_at ELSE 'infinity' END);
        END IF;
    END LOOP;
    remaining := tightest.amount - tightest.used - tightest.held;
    lower := greatest(least(least_available - r.prompt_tokens, completion), 0);

    g.status := 'denied';
    g.sqlstate := 'TM001';
    g.reason := format('token quota exceeded for %s "%s"', replace(tightest.scope, '_', ' '),
        tightest.scope_value);
    g.prompt_tokens := r.prompt_tokens;
    g.completion_tokens := completion;
    g.tokens_held := 0;
    g.tokens_remaining := remaining;
    g.warnings := '{}';
    detail := format('Requested %s tokens; %s of %s remain', requested, remaining, tightest.amount)
        || CASE WHEN tightest.period = 'total' THEN ''
            ELSE format(' in the %s ending %s', tightest.period, tightest.ends_at) END
        || CASE WHEN least_available < remaining AND remaining > 0
            THEN format(', of which priority "%s" may hold %s', r.priority, least_available)
            ELSE '' END
        || '.';
    IF retry_at < 'infinity' THEN
        g.retry_after := retry_at - at;
        ways := ways || format('retry in %s', token_mgmt._duration_text(g.retry_after));
    END IF;
    IF lower > 0 THEN
        ways := ways || format('lower the completion to %s tokens', lower);
    END IF;
    ways := ways || 'raise the quota with token_mgmt.set_quota()'::text;
    g.advice := jsonb_build_object(
        'detail', detail,
        'hint', upper(left(ways[1], 1)) || substr(ways[1], 2) || CASE cardinality(ways)
            WHEN 1 THEN '' WHEN 2 THEN ', or ' || ways[2]
            ELSE ', ' || ways[2] || ', or ' || ways[3] END || '.',
        'scope', tightest.scope, 'value', tightest.scope_value, 'period', tightest.period,
        'limit', tightest.amount, 'used', tightest.used, 'held', tightest.held,
        'remaining', remaining, 'available', least_available, 'requested', requested,
        'max_completion_tokens', lower, 'resets_at', nullif(tightest.ends_at, 'infinity'));
    RETURN g;
END
$$;
COMMENT ON FUNCTION token_mgmt._quota_denial(
    token_mgmt._request, token_mgmt._wanted[], integer, timestamptz
) IS
    'The TM001 denial of the quota that has least left, with its numbers and ways out; '
    'retry_after is when all that are short have had their reset, NULL where that would not help';
REVOKE ALL ON FUNCTION token_mgmt._quota_denial(
    token_mgmt._request, token_mgmt._wanted[], integer, timestamptz
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._window_denial(
    m token_mgmt.model, cause text, prompt bigint, completion bigint, max_completion bigint,
    prompt_limit bigint, is_fitted boolean
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g token_mgmt.reservation_grant;
BEGIN
    g.status := 'denied';
    g.sqlstate := 'TM006';
    g.prompt_tokens := prompt;
    g.completion_tokens := completion;
    g.tokens_held := 0;
    g.warnings := '{}';
    SELECT a.reason, a.advice INTO g.reason, g.advice
    FROM token_mgmt._window_advice(m, cause, prompt, completion, max_completion, prompt_limit,
        is_fitted) a;
    RETURN g;
END
$$;
COMMENT ON FUNCTION token_mgmt._window_denial(
    token_mgmt.model, text, bigint, bigint, bigint, bigint, boolean
) IS 'The TM006 denial with its numbers and ways out';

CREATE FUNCTION token_mgmt._raise_denial(sqlstate text, reason text, advice jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise(sqlstate, reason, advice ->> 'detail', advice ->> 'hint');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_denial(text, text, jsonb) IS 'Raises a denial as an error';
