CREATE TYPE token_mgmt._usage_span AS (
    since timestamptz,
    first_hour timestamptz,
    last_hour timestamptz,
    until timestamptz
);
COMMENT ON TYPE token_mgmt._usage_span IS
    'A span of time as it is read: whole hours from first_hour to before last_hour from the '
    'rollups, the parts of hours before and after from the ledger';

CREATE FUNCTION token_mgmt._usage_span(since timestamptz, until timestamptz)
    RETURNS token_mgmt._usage_span
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s token_mgmt._usage_span;
BEGIN
    s.since := coalesce(since, '-infinity');
    s.until := coalesce(until, 'infinity');
    s.first_hour := date_trunc('hour', s.since, 'UTC');
    IF s.first_hour < s.since THEN
        s.first_hour := s.first_hour + interval '1 hour';
    END IF;
    s.last_hour := date_trunc('hour', s.until, 'UTC');
    -- Of a month that is dropped only whole hours are known: one counts where it starts.
    IF isfinite(s.since) AND token_mgmt._ledger_month(s.since) IS NULL THEN
        s.since := s.first_hour;
    END IF;
    IF s.last_hour < s.until AND token_mgmt._ledger_month(s.until) IS NULL THEN
        s.last_hour := s.last_hour + interval '1 hour';
        s.until := s.last_hour;
    END IF;
    -- Both in one hour.
    IF s.first_hour > s.last_hour THEN
        s.first_hour := s.until;
        s.last_hour := s.until;
    END IF;
    RETURN s;
END
$$;
COMMENT ON FUNCTION token_mgmt._usage_span(timestamptz, timestamptz) IS
    'How to read from since to before until. Not STRICT: NULL is no bound';
REVOKE ALL ON FUNCTION token_mgmt._usage_span(timestamptz, timestamptz) FROM PUBLIC;

-- No SET, so that it is planned as a part of the query that calls it.
CREATE FUNCTION token_mgmt._usage_lines(
    in_tenant text, of_session text, of_user text, since timestamptz, first_hour timestamptz,
    last_hour timestamptz, until timestamptz, by_session boolean
) RETURNS SETOF token_mgmt.session_rollup
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT r.hour, r.tenant, r.user_id, r.team, r.api_key, NULL::text, r.agent, r.endpoint,
        r.provider, r.model, r.calls, r.unpriced_calls, r.prompt_tokens, r.completion_tokens,
        r.cached_tokens, r.cache_write_tokens, r.reasoning_tokens, r.cost, r.sections, r.grain
    FROM token_mgmt.usage_rollup r
    WHERE NOT by_session AND r.tenant = in_tenant AND (of_user IS NULL OR r.user_id = of_user)
        AND r.hour >= first_hour AND r.hour < last_hour
    UNION ALL
    SELECT r.hour, r.tenant, r.user_id, r.team, r.api_key, r.session_id, r.agent, r.endpoint,
        r.provider, r.model, r.calls, r.unpriced_calls, r.prompt_tokens, r.completion_tokens,
        r.cached_tokens, r.cache_write_tokens, r.reasoning_tokens, r.cost, r.sections, r.grain
    FROM token_mgmt.session_rollup r
    WHERE by_session AND r.tenant = in_tenant AND (of_user IS NULL OR r.user_id = of_user)
        AND (of_session IS NULL OR r.session_id = of_session)
        AND r.hour >= first_hour AND r.hour < last_hour
    UNION ALL
    SELECT date_trunc('hour', e.recorded_at, 'UTC'), e.tenant, e.user_id, e.team, e.api_key,
        e.session_id, e.agent, e.endpoint, e.provider, e.model, e.calls::bigint,
        CASE WHEN e.cost IS NULL THEN e.calls ELSE 0 END::bigint, e.prompt_tokens::bigint,
        e.completion_tokens::bigint,
        e.cached_tokens::bigint, e.cache_write_tokens::bigint, e.reasoning_tokens::bigint,
        coalesce(e.cost, 0), token_mgmt._sections(e.breakdown), 0::bigint
    FROM (
        SELECT u.recorded_at, u.tenant, u.user_id, u.team, u.api_key, u.session_id, u.agent,
            u.endpoint, u.provider, u.model, u.prompt_tokens, u.completion_tokens,
            u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens, u.cost, u.breakdown,
            u.calls
        FROM token_mgmt.ledger_unrolled u
        WHERE u.recorded_at >= first_hour AND u.recorded_at < last_hour
        UNION ALL
        SELECT l.recorded_at, l.tenant, l.user_id, l.team, l.api_key, l.session_id, l.agent,
            l.endpoint, l.provider, l.model, l.prompt_tokens, l.completion_tokens,
            l.cached_tokens, l.cache_write_tokens, l.reasoning_tokens, l.cost, l.breakdown,
            (l.kind <> 'correction')::integer
        FROM token_mgmt.usage_ledger l
        WHERE l.recorded_at >= since AND l.recorded_at < first_hour
        UNION ALL
        SELECT l.recorded_at, l.tenant, l.user_id, l.team, l.api_key, l.session_id, l.agent,
            l.endpoint, l.provider, l.model, l.prompt_tokens, l.completion_tokens,
            l.cached_tokens, l.cache_write_tokens, l.reasoning_tokens, l.cost, l.breakdown,
            (l.kind <> 'correction')::integer
        FROM token_mgmt.usage_ledger l
        WHERE l.recorded_at >= last_hour AND l.recorded_at < until
    ) e
    WHERE e.tenant = in_tenant AND (of_user IS NULL OR e.user_id = of_user)
        AND (of_session IS NULL OR e.session_id = of_session)
$$;
COMMENT ON FUNCTION token_mgmt._usage_lines(
    text, text, text, timestamptz, timestamptz, timestamptz, timestamptz, boolean
) IS
    'What was used in a span (_usage_span), as lines to be added up: rollup, entries not rolled '
    'up, and ledger entries of hours that are not in it whole. The session is there by_session '
    'only. Not STRICT: NULL is any session, any user';
REVOKE ALL ON FUNCTION token_mgmt._usage_lines(
    text, text, text, timestamptz, timestamptz, timestamptz, timestamptz, boolean
) FROM PUBLIC;

-- Views call it with the rights of who asks.
CREATE FUNCTION token_mgmt._known_cost(calls numeric, unpriced_calls numeric, cost numeric)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN calls = 0 OR unpriced_calls < calls OR cost <> 0 THEN trim_scale(cost) END
$$;
COMMENT ON FUNCTION token_mgmt._known_cost(numeric, numeric, numeric) IS
    'The cost of so many calls; NULL where there are calls, and none has a price';
