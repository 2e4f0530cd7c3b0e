CREATE TABLE token_mgmt.session (
    tenant text NOT NULL,
    session_id text NOT NULL,
    user_id text,
    agent text,
    model text,
    metadata jsonb NOT NULL DEFAULT '{}',
    is_anthropic boolean NOT NULL DEFAULT false,
    message_count bigint NOT NULL DEFAULT 0,
    summary text,
    summary_upto bigint NOT NULL DEFAULT 0,
    summary_encoding text,
    summary_tokens integer,
    summarized_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_message_at timestamptz,
    CONSTRAINT session_pkey PRIMARY KEY (tenant, session_id),
    CONSTRAINT session_message_count_is_a_count CHECK (message_count >= 0),
    CONSTRAINT session_summary_is_whole CHECK (
        (summary IS NULL) = (summary_upto = 0) AND (summary IS NULL) = (summary_encoding IS NULL)
        AND (summary IS NULL) = (summary_tokens IS NULL)
        AND (summary IS NULL) = (summarized_at IS NULL)
    ),
    CONSTRAINT session_summary_is_of_messages CHECK (
        summary_upto BETWEEN 0 AND message_count AND summary_tokens >= 0
    )
-- Every message updates the row; with room on its page that touches no index.
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.session', '');
COMMENT ON TABLE token_mgmt.session IS
    'Conversations, opened by their first message. Written by add_message() and save_summary()';
COMMENT ON COLUMN token_mgmt.session.agent IS 'Whose profile limits its history; NULL: none';
COMMENT ON COLUMN token_mgmt.session.model IS
    'The model that the latest message named, by which messages are counted; NULL: none yet';
COMMENT ON COLUMN token_mgmt.session.is_anthropic IS
    'Whether a message has content blocks that only Anthropic knows: its history is {system, '
    'messages}, as that API takes it';
COMMENT ON COLUMN token_mgmt.session.message_count IS 'Number of its last message';
COMMENT ON COLUMN token_mgmt.session.summary IS
    'Sent in place of the messages up to summary_upto, which stay stored';
COMMENT ON COLUMN token_mgmt.session.summary_encoding IS
    'What summary_tokens was counted with, as in token_mgmt.message.encoding';
REVOKE ALL ON token_mgmt.session FROM PUBLIC;
-- Serves user_metrics().
CREATE INDEX session_user_idx ON token_mgmt.session (tenant, user_id);

CREATE TABLE token_mgmt.message (
    tenant text NOT NULL,
    session_id text NOT NULL,
    message_no bigint NOT NULL,
    role text NOT NULL,
    message jsonb NOT NULL,
    section text,
    importance numeric,
    pinned boolean NOT NULL DEFAULT false,
    encoding text NOT NULL,
    tokens integer NOT NULL,
    token_counts jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT message_pkey PRIMARY KEY (tenant, session_id, message_no),
    -- No foreign key to session: a parallel restore loads members' data in any order.
    CONSTRAINT message_no_is_positive CHECK (message_no > 0),
    CONSTRAINT message_is_an_object CHECK (jsonb_typeof(message) = 'object'),
    CONSTRAINT message_section_is_known CHECK (
        section IN ('system', 'user', 'story', 'history', 'rag', 'summary')
    ),
    CONSTRAINT message_importance_is_a_fraction CHECK (importance BETWEEN 0 AND 1),
    CONSTRAINT message_tokens_is_a_count CHECK (tokens >= 0)
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.message', '');
COMMENT ON TABLE token_mgmt.message IS
    'The messages of sessions, each with its tokens. Written by add_message()';
COMMENT ON COLUMN token_mgmt.message.message_no IS 'Counts from 1 in each session, without gaps';
COMMENT ON COLUMN token_mgmt.message.message IS 'The whole chat message as it is sent';
COMMENT ON COLUMN token_mgmt.message.section IS
    'Section whose budget it belongs to, where that does not follow from its role';
COMMENT ON COLUMN token_mgmt.message.pinned IS 'Always a part of the history';
COMMENT ON COLUMN token_mgmt.message.encoding IS
    'What tokens was counted with: an encoding, and the factor where the count is an upper bound';
COMMENT ON COLUMN token_mgmt.message.tokens IS
    'What count_messages() has for it, its overhead included, the priming of the reply left out';
COMMENT ON COLUMN token_mgmt.message.token_counts IS
    'Likewise by other encodings, as recount_session() left them';
REVOKE ALL ON token_mgmt.message FROM PUBLIC;
-- Serves the history, which always has the pinned ones.
CREATE INDEX message_pinned_idx ON token_mgmt.message (tenant, session_id, message_no)
    WHERE pinned;

CREATE FUNCTION token_mgmt._session_counter(model text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF model IS NULL THEN
        RETURN '{"encoding": "o200k_base", "basis": "estimate", "low_factor": 1,
                 "high_factor": 1}';
    END IF;
    RETURN token_mgmt._counter(token_mgmt._resolve_model(model));
END
$$;
COMMENT ON FUNCTION token_mgmt._session_counter(text) IS
    'How the messages of a session with this model are counted. Not STRICT: without a model it is '
    'as if by o200k_base. Errors: 42704, 42725';

-- Models with the same vocabulary, but another distance to their own, have other upper bounds.
CREATE FUNCTION token_mgmt._counter_name(counter jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT (counter ->> 'encoding') || CASE WHEN (counter ->> 'high_factor')::numeric = 1 THEN ''
        ELSE ' * ' || (counter ->> 'high_factor') END
$$;
COMMENT ON FUNCTION token_mgmt._counter_name(jsonb) IS
    'Under which name a message''s count by this counter is kept: o200k_base, o200k_base * 1.35';

CREATE FUNCTION token_mgmt._message_tokens(message jsonb, counter jsonb) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000
AS $$
    -- 3 prime the reply, once for a request.
    SELECT (token_mgmt._count_messages(jsonb_build_array(message), NULL, counter::text)
        ->> 'total')::integer - 3
$$;
COMMENT ON FUNCTION token_mgmt._message_tokens(jsonb, jsonb) IS
    'What one message adds to the total of count_messages()';

CREATE FUNCTION token_mgmt._is_tool_result(message jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT coalesce(message ->> 'role' IN ('tool', 'function'), false)
        OR coalesce(message ->> 'type' ~ '_output$', false)
        OR jsonb_path_exists(message, '$.content[*] ? (@.type == "tool_result")')
$$;
COMMENT ON FUNCTION token_mgmt._is_tool_result(jsonb) IS
    'Whether the message is, or carries, the result of a tool call';

CREATE FUNCTION token_mgmt._continues_call(message jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT jsonb_typeof(message -> 'content') = 'array' AND EXISTS (
        SELECT FROM jsonb_path_query(message,
            '$.content[*] ? (@.type like_regex "._tool_result$")') b
        WHERE NOT jsonb_path_exists(message, '$.content[*] ? (@.id == $id)',
            jsonb_build_object('id', b -> 'tool_use_id')))
$$;
COMMENT ON FUNCTION token_mgmt._continues_call(jsonb) IS
    'Whether the message has the result of a call of a provider''s own tool in an earlier one';

CREATE FUNCTION token_mgmt._is_anthropic(message jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT NOT message ? 'type' AND jsonb_path_exists(message, '$.content[*] ? (@.type like_regex '
        '"^(((server|mcp)_)?tool_use|.*tool_result|(redacted_)?thinking|compaction|search_result)$"'
        ' || (@.type == "image" || @.type == "document") && exists (@.source))')
$$;
COMMENT ON FUNCTION token_mgmt._is_anthropic(jsonb) IS
    'Whether the message has the shape that only Anthropic''s messages have, as in fit_messages()';

CREATE FUNCTION token_mgmt._session(
    session_id text, tenant text, level token_mgmt.access_level DEFAULT 'reader'
) RETURNS token_mgmt.session
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_session token_mgmt.session;
BEGIN
    IF session_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'session_id must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_identity('session_id', session_id),
        token_mgmt._check_identity('tenant', tenant);
    SELECT s.* INTO found_session FROM token_mgmt.session s
    WHERE s.tenant = token_mgmt._tenant(_session.tenant) AND s.session_id = _session.session_id;
    IF NOT FOUND OR NOT token_mgmt._has_access(found_session.tenant, found_session.user_id, level)
    THEN
        PERFORM token_mgmt._raise_no_session(session_id, token_mgmt._tenant(tenant));
    END IF;
    RETURN found_session;
END
$$;
COMMENT ON FUNCTION token_mgmt._session(text, text, token_mgmt.access_level) IS
    'The session of this name, if the caller has this access to it. Not STRICT: a NULL tenant is '
    'the caller''s. Errors: 22004, 22023, P0002';
REVOKE ALL ON FUNCTION token_mgmt._session(text, text, token_mgmt.access_level) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_no_session(session_id text, tenant text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('P0002', format('no session "%s"', session_id),
        format('Tenant "%s" has none of this name.', tenant),
        'A session is opened by its first add_message().');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_no_session(text, text) IS 'Raises P0002';
REVOKE ALL ON FUNCTION token_mgmt._raise_no_session(text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_session(
    session_id text, tenant text, level token_mgmt.access_level
) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT token_mgmt._has_access(tenant, (SELECT s.user_id FROM token_mgmt.session s
        WHERE s.tenant = _check_session.tenant AND s.session_id = _check_session.session_id), level)
    THEN
        PERFORM token_mgmt._raise_no_session(session_id, tenant);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_session(text, text, token_mgmt.access_level) IS
    'Refuses (P0002) a session to which the caller has not this access; one that is not there is '
    'every user''s';
REVOKE ALL ON FUNCTION token_mgmt._check_session(text, text, token_mgmt.access_level) FROM PUBLIC;

-- What is sent, apart from how it is to be fitted.
CREATE FUNCTION token_mgmt._new_message(
    role text, content text, message jsonb, section text, importance numeric, pinned boolean
) RETURNS token_mgmt.message
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hints jsonb := coalesce(message -> 'token_mgmt', '{}');
    result token_mgmt.message;
BEGIN
    IF message IS NULL AND (role IS NULL OR content IS NULL) THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN role IS NULL THEN 'role' ELSE 'content' END), NULL,
            'Give role and content, or a whole chat message as message.');
    END IF;
    IF message IS NOT NULL AND (role IS NOT NULL OR content IS NOT NULL) THEN
        PERFORM token_mgmt._raise('22023', 'message and role or content are both given', NULL,
            'Give role and content, or a whole chat message as message.');
    END IF;
    -- Items of the Responses API say by their type whose they are.
    IF jsonb_typeof(message) <> 'object' OR message IS NOT NULL
        AND coalesce(jsonb_typeof(message -> 'role'), jsonb_typeof(message -> 'type'))
            IS DISTINCT FROM 'string'
    THEN
        PERFORM token_mgmt._raise('22P02', 'malformed message', format(
            CASE jsonb_typeof(message) WHEN 'object'
            THEN 'Its role is %s where a string is needed.'
            ELSE 'Found a JSON %s where one message is needed.' END, CASE jsonb_typeof(message)
            WHEN 'object' THEN coalesce('a JSON ' || jsonb_typeof(message -> 'role'), 'missing')
            ELSE jsonb_typeof(message) END),
            'Pass one chat message, such as {"role": "user", "content": "Hello!"}.');
    END IF;
    PERFORM token_mgmt._check_object('the key token_mgmt of a message', hints,
        '{section,importance,pinned,topic}');
    -- A topic is for fitting alone, and stays where it is.
    result.message := coalesce(message - 'token_mgmt',
            jsonb_build_object('role', role, 'content', content))
        || CASE WHEN hints ->> 'topic' IS NULL THEN '{}' ELSE jsonb_build_object('token_mgmt',
            jsonb_build_object('topic', hints ->> 'topic')) END;
    result.role := coalesce(result.message ->> 'role',
        CASE WHEN result.message ->> 'type' ~ '_output$' THEN 'tool' ELSE 'assistant' END);
    result.section := coalesce(_new_message.section, hints ->> 'section');
    IF result.section NOT IN ('system', 'user', 'story', 'history', 'rag', 'summary') THEN
        PERFORM token_mgmt._raise('22023', 'unknown section of a message', NULL,
            'Sections are system, user, story, history, rag and summary.');
    END IF;
    IF jsonb_typeof(hints -> 'importance') NOT IN ('number', 'null')
        OR jsonb_typeof(hints -> 'pinned') NOT IN ('boolean', 'null')
    THEN
        PERFORM token_mgmt._raise('22023', 'importance or pinned of a message is out of range',
            NULL, 'Importance is a number from 0 to 1, pinned is true or false.');
    END IF;
    result.importance := coalesce(_new_message.importance, (hints ->> 'importance')::numeric);
    IF NOT result.importance BETWEEN 0 AND 1 THEN
        PERFORM token_mgmt._raise('22023', 'importance of a message is out of range',
            format('Found %s.', result.importance), 'Use 0 to 1.');
    END IF;
    result.pinned := coalesce(_new_message.pinned, (hints ->> 'pinned')::boolean,
        result.role IN ('system', 'developer') AND coalesce(result.section, 'system') = 'system');
    IF result.pinned AND (token_mgmt._is_tool_result(result.message)
        OR result.message ? 'tool_calls' OR result.message ->> 'type' ~ '_call$'
        OR jsonb_path_exists(result.message,
            '$.content[*] ? (@.type like_regex "tool_(use|result)$")'))
    THEN
        PERFORM token_mgmt._raise('22023', 'tool calls and their results cannot be pinned', NULL,
            'One would be sent without the other; pin a message that tells what matters in them.');
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt._new_message(text, text, jsonb, text, numeric, boolean) IS
    'A message as add_message() gets it, with section, importance and pinned taken out of its key '
    'token_mgmt. Not STRICT: NULL is not given. Errors: 22004, 22023, 22P02';

CREATE FUNCTION @extschema@.add_message(
    session_id text, role text DEFAULT NULL, content text DEFAULT NULL,
    message jsonb DEFAULT NULL, model text DEFAULT NULL, user_id text DEFAULT NULL,
    agent text DEFAULT NULL, section text DEFAULT NULL, importance numeric DEFAULT NULL,
    pinned boolean DEFAULT NULL, metadata jsonb DEFAULT NULL, tenant text DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.message
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(add_message.tenant);
    result token_mgmt.message;
    of_session token_mgmt.session;
    counter jsonb;
BEGIN
    IF session_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'session_id must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_identity('session_id', session_id),
        token_mgmt._check_identity('tenant', in_tenant),
        token_mgmt._check_identity('user_id', user_id),
        token_mgmt._check_object('metadata', metadata, NULL),
        token_mgmt._check_object('options', options, '{}');
    SELECT s.* INTO of_session FROM token_mgmt.session s
    WHERE s.tenant = in_tenant AND s.session_id = add_message.session_id;
    PERFORM token_mgmt._check_access(in_tenant, coalesce(user_id, of_session.user_id), 'app');
    result := token_mgmt._new_message(role, content, message, section, importance, pinned);
    IF agent IS NOT NULL THEN
        PERFORM token_mgmt._agent(agent, in_tenant);
    END IF;
    -- Counted before the session's row is locked: the others that write to it do not wait for it.
    counter := token_mgmt._session_counter(coalesce(model, of_session.model));
    result.encoding := token_mgmt._counter_name(counter);
    result.tokens := token_mgmt._message_tokens(result.message, counter);
    INSERT INTO token_mgmt.session AS s
        (tenant, session_id, user_id, agent, model, metadata, is_anthropic, message_count,
            last_message_at)
    VALUES (in_tenant, add_message.session_id, add_message.user_id, add_message.agent,
        add_message.model, coalesce(add_message.metadata, '{}'),
        token_mgmt._is_anthropic(result.message), 1, clock_timestamp())
    ON CONFLICT ON CONSTRAINT session_pkey DO UPDATE
        SET user_id = coalesce(s.user_id, excluded.user_id),
            agent = coalesce(excluded.agent, s.agent),
            model = coalesce(excluded.model, s.model),
            metadata = s.metadata || excluded.metadata,
            is_anthropic = s.is_anthropic OR excluded.is_anthropic,
            message_count = s.message_count + 1,
            last_message_at = clock_timestamp()
        -- Somebody else may have opened it just now.
        WHERE token_mgmt._has_access(s.tenant, s.user_id, 'app')
    RETURNING * INTO of_session;
    IF NOT FOUND OR of_session.user_id <> user_id THEN
        PERFORM token_mgmt._raise('22023', format('session "%s" is another user''s', session_id),
            NULL, 'Leave user_id out, or open a session of its own for this user.');
    END IF;
    result.tenant := in_tenant;
    result.session_id := session_id;
    result.message_no := of_session.message_count;
    result.token_counts := '{}';
    result.created_at := of_session.last_message_at;
    INSERT INTO token_mgmt.message SELECT result.*;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.add_message(
    text, text, text, jsonb, text, text, text, text, numeric, boolean, jsonb, text, jsonb
) IS
    'Appends a message to a session, which the first one opens, and counts it by the session''s '
    'model (the latest one given). message is a whole chat message in place of role and content. '
    'System messages are pinned unless pinned says otherwise; metadata is added to the session''s. '
    'Not STRICT: NULL is not given. Errors: 22004, 22023, 22P02, 42704, 54000';
REVOKE ALL ON FUNCTION @extschema@.add_message(
    text, text, text, jsonb, text, text, text, text, numeric, boolean, jsonb, text, jsonb
) FROM PUBLIC;
