CREATE TYPE token_mgmt.session_history AS (
    messages jsonb,
    tokens bigint,
    message_count integer,
    from_no bigint,
    has_more boolean
);
COMMENT ON TYPE token_mgmt.session_history IS
    'The newest messages of a session that fit: messages as fit_messages() and prepare_request() '
    'take them, their tokens as count_messages() has them, how many they are (the summary is one). '
    'From message from_no on all are there, NULL where the last one did not fit or is summarised; '
    'has_more says that some before it, not summarised, were left out';

CREATE TYPE token_mgmt._session_row AS (
    message_no bigint,
    role text,
    pinned boolean,
    tokens integer,
    is_result boolean,
    is_item boolean,
    call_id text
);
COMMENT ON TYPE token_mgmt._session_row IS
    'What of a stored message decides whether it is sent; is_result: of a tool call; is_item: of '
    'the Responses API, where call_id is that of a call and of its result';

CREATE FUNCTION token_mgmt._tokens_by(m token_mgmt.message, name text, counter jsonb)
    RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN m.encoding = name THEN m.tokens
        ELSE coalesce((m.token_counts ->> name)::integer,
            token_mgmt._message_tokens(m.message, counter)) END
$$;
COMMENT ON FUNCTION token_mgmt._tokens_by(token_mgmt.message, text, jsonb) IS
    'A message''s tokens by this counter: as stored, else counted';

-- Numbers have no gaps, so a range of them bounds what is read, whatever plan is chosen; a LIMIT
-- would rest on the planner's trust in an index.
CREATE FUNCTION token_mgmt._session_rows(
    s token_mgmt.session, first_no bigint, last_no bigint, counter jsonb
) RETURNS SETOF token_mgmt._session_row
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 50
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := token_mgmt._counter_name(counter);
BEGIN
    RETURN QUERY
    SELECT m.message_no, m.role, m.pinned, token_mgmt._tokens_by(m, name, counter),
        CASE m.role WHEN 'assistant' THEN token_mgmt._continues_call(m.message)
            ELSE token_mgmt._is_tool_result(m.message) END,
        m.message ? 'type', m.message ->> 'call_id'
    FROM token_mgmt.message m
    WHERE m.tenant = s.tenant AND m.session_id = s.session_id
        AND m.message_no BETWEEN first_no AND last_no
    ORDER BY m.message_no DESC;
END
$$;
COMMENT ON FUNCTION token_mgmt._session_rows(token_mgmt.session, bigint, bigint, jsonb) IS
    'These messages of a session, newest first. What was counted by another counter is counted '
    'again; without a counter nothing has tokens';
REVOKE ALL ON FUNCTION token_mgmt._session_rows(token_mgmt.session, bigint, bigint, jsonb)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._fixed_tokens(s token_mgmt.session, counter jsonb) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := token_mgmt._counter_name(counter);
    pinned bigint;
BEGIN
    SELECT sum(token_mgmt._tokens_by(m, name, counter)) INTO pinned
    FROM token_mgmt.message m
    WHERE m.tenant = s.tenant AND m.session_id = s.session_id AND m.pinned;
    RETURN 3 + coalesce(pinned, 0) + CASE WHEN s.summary IS NULL THEN 0
        WHEN s.summary_encoding = name THEN s.summary_tokens
        ELSE token_mgmt._message_tokens(token_mgmt._summary_message(s.summary), counter) END;
END
$$;
COMMENT ON FUNCTION token_mgmt._fixed_tokens(token_mgmt.session, jsonb) IS
    'Tokens of what is always sent: the pinned messages, the summary, and 3 that prime the reply';
REVOKE ALL ON FUNCTION token_mgmt._fixed_tokens(token_mgmt.session, jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._sent_message(m token_mgmt.message) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN m.section IS NULL AND m.importance IS NULL
        AND (NOT m.pinned OR m.role IN ('system', 'developer')) THEN m.message
    ELSE m.message || jsonb_build_object('token_mgmt', coalesce(m.message -> 'token_mgmt', '{}')
        || jsonb_strip_nulls(jsonb_build_object('section', m.section, 'importance', m.importance,
            'pinned', CASE WHEN m.pinned THEN true END))) END
$$;
COMMENT ON FUNCTION token_mgmt._sent_message(token_mgmt.message) IS
    'A message as fit_messages() takes it, with section, importance and pinned where they matter';

CREATE FUNCTION token_mgmt._open_calls(calls text[], r token_mgmt._session_row) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN r.call_id IS NULL THEN calls
        WHEN r.is_result THEN calls || r.call_id
        ELSE array_remove(calls, r.call_id) END
$$;
COMMENT ON FUNCTION token_mgmt._open_calls(text[], token_mgmt._session_row) IS
    'On the way back through a session: the calls whose results have been met, but not they '
    'themselves. In the Responses API anything may be between the two; elsewhere a result is '
    'directly behind its call';

CREATE FUNCTION token_mgmt._newest_messages(
    s token_mgmt.session, counter jsonb, INOUT budget bigint, upto bigint, OUT from_no bigint,
    OUT is_cut boolean
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_no bigint := s.message_count;
    size integer := 16;
    needed bigint := 0;
    calls text[] := '{}';
    -- From which on all could be sent, if the one before it does not belong to it.
    oldest token_mgmt._session_row;
    r token_mgmt._session_row;
BEGIN
    is_cut := true;
    WHILE last_no > s.summary_upto LOOP
        FOR r IN SELECT * FROM token_mgmt._session_rows(s,
            greatest(last_no - size + 1, s.summary_upto + 1), last_no, counter)
        LOOP
            -- What an assistant says at once is several items in the Responses API.
            IF oldest.role <> 'assistant' OR oldest.message_no IS NOT NULL
                AND (r.role <> 'assistant' OR NOT r.is_item)
            THEN
                budget := budget - needed;
                from_no := oldest.message_no;
                needed := 0;
                IF from_no <= upto THEN
                    RETURN;
                END IF;
            END IF;
            oldest := NULL;
            -- Room for the pinned is taken already.
            needed := needed + CASE WHEN r.pinned THEN 0 ELSE r.tokens END;
            IF needed > budget THEN
                RETURN;
            END IF;
            -- Results wait for their call: an exchange is whole, or left out.
            calls := token_mgmt._open_calls(calls, r);
            IF NOT r.is_result AND calls = '{}' THEN
                oldest := r;
            END IF;
        END LOOP;
        last_no := last_no - size;
        size := least(size * 2, 256);
    END LOOP;
    IF oldest.message_no IS NOT NULL THEN
        budget := budget - needed;
        from_no := oldest.message_no;
        needed := 0;
    END IF;
    is_cut := needed > 0;
END
$$;
COMMENT ON FUNCTION token_mgmt._newest_messages(token_mgmt.session, jsonb, bigint, bigint) IS
    'From which number on the messages behind the summary are within the budget, those of pinned '
    'ones apart; what is left of it, and whether there are more. At most twice as many rows are '
    'read, and never over 256 more. With upto no more than up to the first such number at or '
    'before it. Not STRICT: without counter and budget all are, without upto as many as fit';
REVOKE ALL ON FUNCTION token_mgmt._newest_messages(token_mgmt.session, jsonb, bigint, bigint)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._history_limit(s token_mgmt.session, model text, max_tokens integer)
    RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m token_mgmt.model;
    a token_mgmt.agent;
    result bigint;
BEGIN
    IF max_tokens IS NOT NULL THEN
        RETURN max_tokens;
    END IF;
    IF s.agent IS NOT NULL THEN
        a := token_mgmt._agent(s.agent, s.tenant);
        result := a.max_context_tokens - a.max_completion_tokens - a.safety_tokens;
    END IF;
    IF model IS NOT NULL THEN
        m := token_mgmt._resolve_model(model);
        result := least(result, m.max_input_tokens, CASE WHEN m.window_excludes_output
            THEN m.context_window ELSE m.context_window - token_mgmt._default_completion(m) END);
    END IF;
    IF result IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'max_tokens must not be null here',
            'The session has no agent, and no model whose context window is known.',
            'Pass max_tokens, or a model.');
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt._history_limit(token_mgmt.session, text, integer) IS
    'Prompt tokens that a history may have: the argument, else what the agent''s context and the '
    'model''s window leave beside a completion. Not STRICT: NULL is not given. Errors: 22004, '
    '42704';
REVOKE ALL ON FUNCTION token_mgmt._history_limit(token_mgmt.session, text, integer) FROM PUBLIC;

-- Anthropic takes what the system says beside the messages, and no other role of that kind.
CREATE FUNCTION token_mgmt._as_anthropic(messages jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH sent AS (
        SELECT e.place, e.message, e.message ->> 'role' IN ('system', 'developer') AS is_system,
            coalesce(e.message #>> '{token_mgmt,section}', 'system') = 'system' AS is_prompt
        FROM jsonb_array_elements(messages) WITH ORDINALITY e (message, place)
    ), system AS (
        SELECT CASE count(*) WHEN 1 THEN jsonb_agg(m.message -> 'content') -> 0
            ELSE jsonb_path_query_array(jsonb_agg(
                CASE jsonb_typeof(m.message -> 'content') WHEN 'array' THEN m.message -> 'content'
                ELSE jsonb_build_object('type', 'text', 'text', m.message -> 'content') END
                ORDER BY m.place), '$[*][*]') END AS content
        FROM sent m
        WHERE m.is_system AND m.is_prompt
        HAVING count(*) > 0
    ), said AS (
        SELECT coalesce(jsonb_agg(CASE WHEN m.is_system
            THEN m.message || '{"role": "user"}' ELSE m.message END ORDER BY m.place), '[]')
            AS messages
        FROM sent m
        WHERE NOT (m.is_system AND m.is_prompt)
    )
    SELECT coalesce((SELECT jsonb_build_object('system', y.content, 'messages', d.messages)
        FROM system y), d.messages)
    FROM said d
$$;
COMMENT ON FUNCTION token_mgmt._as_anthropic(jsonb) IS
    'Messages as {system, messages}, or as a list where the system says nothing; what it says in '
    'another section (the summary, story, rag) is a user''s message';

CREATE FUNCTION token_mgmt._sent_messages(s token_mgmt.session, from_no bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH sent AS (
        SELECT p.message_no, p.role, token_mgmt._sent_message(p) AS message
        FROM token_mgmt.message p
        WHERE p.tenant = s.tenant AND p.session_id = s.session_id AND p.pinned
            AND p.message_no < coalesce(from_no, s.message_count + 1)
        UNION ALL
        SELECT m.message_no, m.role, token_mgmt._sent_message(m)
        FROM token_mgmt.message m
        WHERE m.tenant = s.tenant AND m.session_id = s.session_id
            AND m.message_no BETWEEN from_no AND s.message_count
    ), head AS (
        -- The summary comes behind the system messages that the conversation begins with.
        SELECT coalesce(min(m.message_no), 9223372036854775807) AS upto FROM sent m
        WHERE m.role NOT IN ('system', 'developer')
            OR m.message_no > s.summary_upto
    ), placed AS (
        SELECT m.message_no, 1 AS place, m.message FROM sent m
        UNION ALL
        SELECT l.upto, 0, token_mgmt._summary_message(s.summary) FROM head l
        WHERE s.summary IS NOT NULL
    )
    SELECT CASE WHEN s.is_anthropic THEN token_mgmt._as_anthropic(l.messages) ELSE l.messages END
    FROM (SELECT coalesce(jsonb_agg(p.message ORDER BY p.message_no, p.place), '[]') AS messages
        FROM placed p) l
$$;
COMMENT ON FUNCTION token_mgmt._sent_messages(token_mgmt.session, bigint) IS
    'A session''s messages from this number on, with the pinned ones before it and the summary, in '
    'the shape that its messages have; those alone if it is NULL';
REVOKE ALL ON FUNCTION token_mgmt._sent_messages(token_mgmt.session, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.session_history(
    session_id text, model text DEFAULT NULL, max_tokens integer DEFAULT NULL,
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.session_history
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s token_mgmt.session := token_mgmt._session(session_id, tenant);
    by_model text := coalesce(model, s.model);
    counter jsonb := token_mgmt._session_counter(by_model);
    most bigint;
    fixed bigint := token_mgmt._fixed_tokens(s, counter);
    newest record;
    said jsonb;
    result token_mgmt.session_history;
BEGIN
    PERFORM token_mgmt._check_count('max_tokens', max_tokens),
        token_mgmt._check_object('options', options, '{}');
    most := token_mgmt._history_limit(s, by_model, max_tokens);
    -- 3 alone are those of an answer to nothing.
    IF fixed > most AND fixed > 3 THEN
        PERFORM token_mgmt._raise('TM006', 'pinned messages and summary exceed the history',
            format('They have %s tokens, %s too many for %s.', fixed, fixed - most, most),
            'Raise max_tokens, or save a shorter summary with save_summary().');
    END IF;
    SELECT n.* INTO newest FROM token_mgmt._newest_messages(s, counter, most - fixed, NULL) n;
    result.from_no := newest.from_no;
    result.has_more := newest.is_cut;
    result.messages := token_mgmt._sent_messages(s, newest.from_no);
    said := coalesce(result.messages -> 'messages', result.messages);
    result.message_count := jsonb_array_length(said) + (said <> result.messages)::integer;
    result.tokens := CASE WHEN result.message_count = 0 THEN 0 ELSE most - newest.budget END;
    -- What the system says in several messages is fewer tokens as one.
    IF said <> result.messages AND said <> '[]' THEN
        result.tokens := token_mgmt._count_messages(result.messages, NULL, counter::text)
            -> 'total';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.session_history(text, text, integer, text, jsonb) IS
    'The newest messages of a session that fit into max_tokens, with the pinned ones and the saved '
    'summary, for this model (NULL: the session''s). Reads only as many rows as fit. max_tokens '
    'NULL is what the agent''s context and the model''s window leave beside a completion. Not '
    'STRICT: NULL is not given. Errors: TM006, 22004, 22023, 42704, P0002';
REVOKE ALL ON FUNCTION @extschema@.session_history(text, text, integer, text, jsonb) FROM PUBLIC;

-- Fitting ranks and cuts by itself, and moves the oldest message that stays in steps, which it can
-- only do if what it is given begins at the same message for some time: hence twice what fits, from
-- the first message of a block of 64 on.
CREATE FUNCTION token_mgmt._messages_to_fit(s token_mgmt.session, model text, fits bigint)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    earlier token_mgmt.session := s;
    newest bigint;
    asked bigint;
    start_no bigint;
BEGIN
    SELECT n.from_no INTO newest
    FROM token_mgmt._newest_messages(s, token_mgmt._session_counter(model), 2 * fits, NULL) n;
    -- The last word of the user is fitted, whatever its size.
    SELECT m.message_no INTO asked FROM token_mgmt.message m
    WHERE m.tenant = s.tenant AND m.session_id = s.session_id
        AND m.message_no BETWEEN s.summary_upto + 1 AND s.message_count
        AND m.role = 'user' AND NOT token_mgmt._is_tool_result(m.message)
    ORDER BY m.message_no DESC
    LIMIT 1;
    start_no := coalesce(least(newest, asked), s.message_count);
    start_no := greatest(start_no - (start_no - 1) % 64, s.summary_upto + 1);
    -- Never a result without its call, as far as it is not far away.
    IF start_no > s.summary_upto + 1 AND start_no IS DISTINCT FROM newest THEN
        IF newest <= asked THEN
            earlier.message_count := newest - 1;
        END IF;
        earlier.summary_upto := greatest(s.summary_upto, start_no - 257);
        SELECT least(n.from_no, start_no) INTO start_no
        FROM token_mgmt._newest_messages(earlier, NULL, NULL, start_no) n;
    END IF;
    RETURN token_mgmt._sent_messages(s, start_no);
END
$$;
COMMENT ON FUNCTION token_mgmt._messages_to_fit(token_mgmt.session, text, bigint) IS
    'A session''s messages for fitting into so many tokens: more than fit, and the user''s last '
    'one';
REVOKE ALL ON FUNCTION token_mgmt._messages_to_fit(token_mgmt.session, text, bigint) FROM PUBLIC;

CREATE FUNCTION token_mgmt._session_summary(session_id text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (token_mgmt._session(session_id, NULL)).summary;
END
$$;
COMMENT ON FUNCTION token_mgmt._session_summary(text) IS
    'The summary that save_summary() kept for a session, for fit_messages() and its option '
    'session_id; NULL if there is none. Errors: 22004, P0002';
REVOKE ALL ON FUNCTION token_mgmt._session_summary(text) FROM PUBLIC;
