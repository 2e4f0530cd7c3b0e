CREATE FUNCTION token_mgmt._followed(
    profile jsonb, tenant text, session_id text, agent text
) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used integer;
    spare integer;
    seen_users text[] := token_mgmt._seen_users(tenant);
BEGIN
    -- Three are a habit, and a quarter more is room for it to change.
    SELECT ceil(1.25 * max(u.completion_tokens)) INTO used
    FROM (
        SELECT (r.entry).completion_tokens FROM token_mgmt.reservation r
        WHERE r.tenant = _followed.tenant AND r.session_id = _followed.session_id
            AND r.agent = _followed.agent AND r.state = 'settled'
            AND (seen_users IS NULL OR r.user_id = ANY (seen_users))
        ORDER BY r.reserved_at DESC
        LIMIT 8
    ) u
    HAVING count(*) >= 3;
    spare := (profile ->> 'completion')::integer - greatest(used, 256);
    IF used IS NOT NULL AND spare > 0 THEN
        profile := profile || jsonb_build_object(
            'completion', (profile ->> 'completion')::integer - spare);
        IF profile -> 'sections' ->> 'history' IS NOT NULL THEN
            profile := jsonb_set(profile, '{sections,history}',
                to_jsonb((profile -> 'sections' ->> 'history')::integer + spare));
        END IF;
    END IF;
    RETURN profile;
END
$$;
COMMENT ON FUNCTION token_mgmt._followed(jsonb, text, text, text) IS
    'A profile whose completion is what the session''s last eight settled calls of this agent '
    '(of users whom the caller may see) needed at most, and a quarter more (at least 256, once '
    'there are three); the history has the rest';
REVOKE ALL ON FUNCTION token_mgmt._followed(jsonb, text, text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._agent_profile(r token_mgmt._request) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    profile jsonb;
    follows boolean;
BEGIN
    -- An agent without a profile is a name for quotas and reports.
    SELECT a.follow_usage INTO follows FROM token_mgmt.agent a
    WHERE a.agent = r.agent AND a.tenant IN (r.tenant, '*')
    ORDER BY a.tenant = '*'
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    profile := token_mgmt._agent_settings(r.agent, r.tenant);
    IF follows AND r.session_id IS NOT NULL THEN
        profile := token_mgmt._followed(profile, r.tenant, r.session_id, r.agent);
    END IF;
    RETURN profile;
END
$$;
COMMENT ON FUNCTION token_mgmt._agent_profile(token_mgmt._request) IS
    'What _agent_settings() says of the request''s agent, following the session''s use where the '
    'agent asks for it; NULL without a profile';
REVOKE ALL ON FUNCTION token_mgmt._agent_profile(token_mgmt._request) FROM PUBLIC;

CREATE FUNCTION token_mgmt._messages_of(
    r token_mgmt._request, m token_mgmt.model, earlier jsonb
) RETURNS token_mgmt._request
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s token_mgmt.session := token_mgmt._session(r.session_id, r.tenant);
    most_tokens bigint := coalesce(least(m.context_window, m.max_input_tokens), 100000);
BEGIN
    IF s.user_id <> r.user_id THEN
        PERFORM token_mgmt._raise('22023', format('session "%s" is another user''s', r.session_id),
            NULL, 'Use a session of this user''s own.');
    END IF;
    IF earlier IS NOT NULL THEN
        IF s.created_at <> (earlier -> 'session' ->> 'created_at')::timestamptz THEN
            PERFORM token_mgmt._raise('P0002',
                format('session "%s" of this request is gone', r.session_id),
                'It was dropped and opened anew since.', 'Use a request_id of its own.');
        END IF;
        most_tokens := earlier -> 'session' ->> 'most_tokens';
        s.message_count := earlier -> 'session' ->> 'message_count';
        s.summary_upto := earlier -> 'session' ->> 'summary_upto';
        s.summary := earlier -> 'session' ->> 'summary';
        s.summary_tokens := earlier -> 'session' ->> 'summary_tokens';
        s.is_anthropic := earlier -> 'session' ->> 'is_anthropic';
    END IF;
    r.messages := token_mgmt._messages_to_fit(s, r.model, most_tokens);
    r.session := jsonb_build_object('created_at', s.created_at, 'most_tokens', most_tokens,
        'message_count', s.message_count, 'summary_upto', s.summary_upto, 'summary', s.summary,
        'summary_tokens', s.summary_tokens, 'is_anthropic', s.is_anthropic);
    IF r.messages = '[]' THEN
        PERFORM token_mgmt._raise('22023', 'session has no messages to send',
            format('Session "%s" has none behind its summary.', r.session_id),
            'Add the user''s message with add_message() first.');
    END IF;
    RETURN r;
END
$$;
COMMENT ON FUNCTION token_mgmt._messages_of(token_mgmt._request, token_mgmt.model, jsonb) IS
    'The request with its session''s messages; those that an earlier request of the same id had, '
    'if its prepared is given. Errors: 22023, P0002';
REVOKE ALL ON FUNCTION token_mgmt._messages_of(token_mgmt._request, token_mgmt.model, jsonb)
    FROM PUBLIC;
