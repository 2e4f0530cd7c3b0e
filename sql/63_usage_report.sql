CREATE TYPE token_mgmt.usage_line AS (
    starts_at timestamptz,
    user_id text,
    team text,
    api_key text,
    session_id text,
    agent text,
    endpoint text,
    provider text,
    model text,
    calls bigint,
    unpriced_calls bigint,
    prompt_tokens bigint,
    completion_tokens bigint,
    cached_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    total_tokens bigint,
    cost numeric
);
COMMENT ON TYPE token_mgmt.usage_line IS
    'A line of usage_report(): NULL in what was not asked for, or was not named by the calls. '
    'prompt_tokens includes cached and cache-write tokens, completion_tokens reasoning; cost in '
    'USD is that of priced calls, NULL where none is';

CREATE FUNCTION token_mgmt._check_report(
    since timestamptz, until timestamptz, dimensions text[]
) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    units constant text[] := ARRAY['hour', 'day', 'week', 'month'];
    known constant text[] := ARRAY['user', 'team', 'api_key', 'session', 'agent', 'endpoint',
        'model'] || units;
    unknown text;
    unit_count integer;
BEGIN
    IF dimensions IS NULL OR array_position(dimensions, NULL) IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', 'by must not be null, nor contain a null', NULL,
            'For the total give ''{}''.');
    END IF;
    SELECT d INTO unknown FROM unnest(dimensions) d WHERE d <> ALL (known) LIMIT 1;
    IF FOUND THEN
        PERFORM token_mgmt._raise('22023', format('unknown dimension "%s"', unknown),
            format('Known dimensions are %s.', array_to_string(known, ', ')), NULL);
    END IF;
    SELECT count(DISTINCT d) INTO unit_count FROM unnest(dimensions) d WHERE d = ANY (units);
    IF unit_count > 1 THEN
        PERFORM token_mgmt._raise('22023', 'more than one unit of time',
            format('Found %s of %s.', unit_count, array_to_string(units, ', ')),
            'Name one of them; a report of another unit is another call.');
    END IF;
    IF since > until THEN
        PERFORM token_mgmt._raise('22023', 'since must not be after until',
            format('Found %s and %s.', since, until), NULL);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_report(timestamptz, timestamptz, text[]) IS
    'Checks the arguments of usage_report. Not STRICT: NULL is no bound. Errors: 22004, 22023';
REVOKE ALL ON FUNCTION token_mgmt._check_report(timestamptz, timestamptz, text[]) FROM PUBLIC;

CREATE FUNCTION @extschema@.usage_report(
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, by text[] DEFAULT '{user}',
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS SETOF token_mgmt.usage_line
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(usage_report.tenant);
    span token_mgmt._usage_span := token_mgmt._usage_span(since, until);
    unit text := (SELECT d FROM unnest(by) d WHERE d IN ('hour', 'day', 'week', 'month') LIMIT 1);
BEGIN
    PERFORM token_mgmt._check_report(since, until, by);
    PERFORM token_mgmt._check_object('options', options, '{}'),
        token_mgmt._check_access(in_tenant, NULL, 'reader');
    RETURN QUERY
    SELECT date_trunc(unit, l.hour, 'UTC'),
        CASE WHEN 'user' = ANY (by) THEN l.user_id END,
        CASE WHEN 'team' = ANY (by) THEN l.team END,
        CASE WHEN 'api_key' = ANY (by) THEN l.api_key END,
        CASE WHEN 'session' = ANY (by) THEN l.session_id END,
        CASE WHEN 'agent' = ANY (by) THEN l.agent END,
        CASE WHEN 'endpoint' = ANY (by) THEN l.endpoint END,
        CASE WHEN 'model' = ANY (by) THEN l.provider END,
        CASE WHEN 'model' = ANY (by) THEN l.model END,
        sum(l.calls)::bigint, sum(l.unpriced_calls)::bigint, sum(l.prompt_tokens)::bigint,
        sum(l.completion_tokens)::bigint, sum(l.cached_tokens)::bigint,
        sum(l.cache_write_tokens)::bigint, sum(l.reasoning_tokens)::bigint,
        sum(l.prompt_tokens + l.completion_tokens)::bigint,
        token_mgmt._known_cost(sum(l.calls), sum(l.unpriced_calls), sum(l.cost))
    FROM token_mgmt._usage_lines(in_tenant, NULL, NULL, span.since, span.first_hour,
        span.last_hour, span.until, 'session' = ANY (by)) l
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ORDER BY 1, 17 DESC, 2, 3, 4, 5, 6, 7, 8, 9;
END
$$;
COMMENT ON FUNCTION @extschema@.usage_report(timestamptz, timestamptz, text[], text, jsonb) IS
    'What a tenant used from since to before until (NULL: no bound), summed by any of user, team, '
    'api_key, session, agent, endpoint, model and one of hour, day, week, month (UTC); {} is the '
    'total. Up to this moment, and exact to the instant; in months whose ledger was dropped an '
    'hour counts where it starts. For who may read the whole tenant. Not STRICT: a NULL tenant is '
    'the caller''s. Errors: 22004, 22023, 42501';
REVOKE ALL ON FUNCTION @extschema@.usage_report(timestamptz, timestamptz, text[], text, jsonb)
    FROM PUBLIC;

CREATE VIEW token_mgmt.usage_hourly WITH (security_barrier) AS
    WITH mine AS MATERIALIZED (SELECT * FROM token_mgmt._my_access)
    SELECT r.hour, r.tenant, r.user_id, r.team, r.api_key, r.agent, r.endpoint, r.provider,
        r.model, sum(r.calls)::bigint AS calls, sum(r.unpriced_calls)::bigint AS unpriced_calls,
        sum(r.prompt_tokens)::bigint AS prompt_tokens,
        sum(r.completion_tokens)::bigint AS completion_tokens,
        sum(r.cached_tokens)::bigint AS cached_tokens,
        sum(r.cache_write_tokens)::bigint AS cache_write_tokens,
        sum(r.reasoning_tokens)::bigint AS reasoning_tokens,
        sum(r.prompt_tokens + r.completion_tokens)::bigint AS total_tokens,
        token_mgmt._known_cost(sum(r.calls), sum(r.unpriced_calls), sum(r.cost)) AS cost
    FROM (
        SELECT o.hour, o.tenant, o.user_id, o.team, o.api_key, o.agent, o.endpoint, o.provider,
            o.model, o.calls, o.unpriced_calls, o.prompt_tokens, o.completion_tokens,
            o.cached_tokens, o.cache_write_tokens, o.reasoning_tokens, o.cost
        FROM token_mgmt.usage_rollup o
        UNION ALL
        SELECT date_trunc('hour', u.recorded_at, 'UTC'), u.tenant, u.user_id, u.team, u.api_key,
            u.agent, u.endpoint, u.provider, u.model, u.calls,
            CASE WHEN u.cost IS NULL THEN u.calls ELSE 0 END,
            u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.cache_write_tokens,
            u.reasoning_tokens, coalesce(u.cost, 0)
        FROM token_mgmt.ledger_unrolled u
    ) r
    WHERE EXISTS (SELECT FROM mine m WHERE (m.tenant IS NULL OR m.tenant = r.tenant)
        AND (m.user_id IS NULL OR m.user_id = r.user_id))
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;
COMMENT ON VIEW token_mgmt.usage_hourly IS
    'Use by hour (UTC), tenant, user, team, API key, agent, endpoint and model, up to this moment; '
    'cost in USD is that of priced calls, NULL where none is';
REVOKE ALL ON token_mgmt.usage_hourly FROM PUBLIC;

CREATE VIEW token_mgmt.usage_daily WITH (security_barrier) AS
    SELECT date_trunc('day', h.hour, 'UTC') AS day, h.tenant, h.user_id, h.team, h.api_key, h.agent,
        h.endpoint, h.provider, h.model, sum(h.calls)::bigint AS calls,
        sum(h.unpriced_calls)::bigint AS unpriced_calls,
        sum(h.prompt_tokens)::bigint AS prompt_tokens,
        sum(h.completion_tokens)::bigint AS completion_tokens,
        sum(h.cached_tokens)::bigint AS cached_tokens,
        sum(h.cache_write_tokens)::bigint AS cache_write_tokens,
        sum(h.reasoning_tokens)::bigint AS reasoning_tokens,
        sum(h.total_tokens)::bigint AS total_tokens, trim_scale(sum(h.cost)) AS cost
    FROM token_mgmt.usage_hourly h
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;
COMMENT ON VIEW token_mgmt.usage_daily IS 'As usage_hourly, by day (UTC)';
REVOKE ALL ON token_mgmt.usage_daily FROM PUBLIC;
