CREATE FUNCTION token_mgmt._metrics(
    in_tenant text, of_session text, of_user text, since timestamptz, messages bigint,
    seen_users text[]
) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    span token_mgmt._usage_span := token_mgmt._usage_span(since, NULL);
    result jsonb;
BEGIN
    WITH line AS MATERIALIZED (
        SELECT l.* FROM token_mgmt._usage_lines(in_tenant, of_session, of_user, span.since,
            span.first_hour, span.last_hour, span.until, of_session IS NOT NULL) l
        WHERE seen_users IS NULL OR l.user_id = ANY (seen_users)
    ), total AS (
        SELECT coalesce(sum(l.calls), 0) AS calls, coalesce(sum(l.unpriced_calls), 0) AS unpriced,
            coalesce(sum(l.prompt_tokens), 0) AS prompt,
            coalesce(sum(l.completion_tokens), 0) AS completion,
            coalesce(sum(l.cached_tokens), 0) AS cached,
            coalesce(sum(l.cache_write_tokens), 0) AS written,
            coalesce(sum(l.reasoning_tokens), 0) AS reasoning, coalesce(sum(l.cost), 0) AS cost
        FROM line l
    ), conversation AS (
        SELECT l.session_id FROM token_mgmt._usage_lines(in_tenant, of_session, of_user, span.since,
            span.first_hour, span.last_hour, span.until, true) l
        WHERE l.session_id IS NOT NULL
        UNION
        SELECT s.session_id FROM token_mgmt.session s
        WHERE s.tenant = in_tenant AND (of_session IS NULL OR s.session_id = of_session)
            AND (of_user IS NULL OR s.user_id = of_user)
            AND (_metrics.since IS NULL OR s.last_message_at >= _metrics.since)
    ), section AS (
        SELECT b.key, trim_scale(sum(b.value::numeric)) AS tokens
        FROM line l CROSS JOIN LATERAL jsonb_each(l.sections) b
        GROUP BY b.key
    ), model AS (
        SELECT coalesce(l.provider || '/' || l.model, '(none)') AS model, sum(l.calls) AS calls,
            sum(l.prompt_tokens + l.completion_tokens) AS tokens,
            token_mgmt._known_cost(sum(l.calls), sum(l.unpriced_calls), sum(l.cost)) AS cost
        FROM line l GROUP BY 1
    )
    SELECT jsonb_build_object(
        'totalTokens', t.prompt + t.completion,
        'totalCost', token_mgmt._known_cost(t.calls, t.unpriced, t.cost),
        'conversationCount', (SELECT count(*) FROM conversation),
        'messageCount', messages,
        'avgTokensPerMessage', trim_scale(
            round((t.prompt + t.completion)::numeric / nullif(messages, 0), 1)),
        'breakdown', jsonb_build_object(
            'calls', t.calls, 'unpricedCalls', t.unpriced,
            'promptTokens', t.prompt, 'completionTokens', t.completion,
            'cachedTokens', t.cached, 'cacheWriteTokens', t.written,
            'reasoningTokens', t.reasoning,
            'sections', (SELECT coalesce(jsonb_object_agg(s.key, s.tokens), '{}') FROM section s),
            'models', (SELECT coalesce(jsonb_object_agg(m.model, jsonb_build_object(
                'calls', m.calls, 'tokens', m.tokens, 'cost', m.cost)), '{}') FROM model m)))
    INTO result FROM total t;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt._metrics(text, text, text, timestamptz, bigint, text[]) IS
    'The metrics of a session or a user from the rollups and the sessions, with this number '
    'of messages, by the calls of seen_users. Not STRICT: NULL is any session, any user, since '
    'ever, all calls';
REVOKE ALL ON FUNCTION token_mgmt._metrics(text, text, text, timestamptz, bigint, text[])
    FROM PUBLIC;

CREATE FUNCTION @extschema@.session_metrics(session_id text, tenant text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(session_metrics.tenant);
    messages bigint;
    result jsonb;
BEGIN
    IF session_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'session_id must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_session(session_id, in_tenant, 'reader');
    SELECT s.message_count INTO messages FROM token_mgmt.session s
    WHERE s.tenant = in_tenant AND s.session_id = session_metrics.session_id;
    -- Calls name the session that they like: also one that another user has stored messages in.
    result := token_mgmt._metrics(in_tenant, session_id, NULL, NULL, coalesce(messages, 0),
        token_mgmt._seen_users(in_tenant));
    -- Calls can name a session whose messages are kept elsewhere.
    IF messages IS NULL AND result #> '{breakdown,calls}' = '0' THEN
        PERFORM token_mgmt._session(session_id, in_tenant);
    END IF;
    RETURN jsonb_build_object('sessionId', session_id) || result;
END
$$;
COMMENT ON FUNCTION @extschema@.session_metrics(text, text) IS
    'What a session used in calls of users that the caller may see: totalTokens and totalCost (USD '
    'of the priced calls; null where there are calls, and none has a price) as the usage ledger '
    'has them, '
    'conversationCount, messageCount (stored ones), avgTokensPerMessage (used tokens for each '
    'stored message; null without any) and breakdown. Not STRICT: a NULL tenant is the caller''s. '
    'Errors: 22004, 22023, P0002';
REVOKE ALL ON FUNCTION @extschema@.session_metrics(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.user_metrics(
    user_id text, since timestamptz DEFAULT NULL, tenant text DEFAULT NULL
) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(user_metrics.tenant);
    messages bigint;
BEGIN
    IF user_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'user_id must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_access(in_tenant, user_id, 'reader');
    -- Only a session that was open before then has to be looked into.
    SELECT coalesce(sum(CASE WHEN since IS NULL OR s.created_at >= since THEN s.message_count
        ELSE (SELECT count(*) FROM token_mgmt.message m WHERE m.tenant = s.tenant
            AND m.session_id = s.session_id AND m.created_at >= since) END), 0) INTO messages
    FROM token_mgmt.session s
    WHERE s.tenant = in_tenant AND s.user_id = user_metrics.user_id
        AND (since IS NULL OR s.last_message_at >= since);
    RETURN jsonb_build_object('userId', user_id)
        || token_mgmt._metrics(in_tenant, NULL, user_id, since, messages, NULL);
END
$$;
COMMENT ON FUNCTION @extschema@.user_metrics(text, timestamptz, text) IS
    'What a user used since this instant (NULL: ever), as session_metrics() has it; all zero for '
    'one who is not known. Not STRICT: NULL is not given. Errors: 22004';
REVOKE ALL ON FUNCTION @extschema@.user_metrics(text, timestamptz, text) FROM PUBLIC;
