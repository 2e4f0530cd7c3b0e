CREATE FUNCTION @extschema@.save_summary(
    session_id text, upto bigint, content text, model text DEFAULT NULL,
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.session
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_session token_mgmt.session := token_mgmt._session(session_id, tenant, 'app');
    counter jsonb;
BEGIN
    IF upto IS NULL OR content IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN upto IS NULL THEN 'upto' ELSE 'content' END), NULL,
            'should_summarize() says which messages are next.');
    END IF;
    IF content = '' THEN
        PERFORM token_mgmt._raise('22023', 'content must not be empty', NULL,
            'Messages that need no summary can be left as they are.');
    END IF;
    PERFORM token_mgmt._check_object('options', options, '{}');
    counter := token_mgmt._session_counter(coalesce(model, of_session.model));
    SELECT s.* INTO of_session FROM token_mgmt.session s
    WHERE s.tenant = of_session.tenant AND s.session_id = of_session.session_id FOR UPDATE;
    IF NOT FOUND THEN
        -- Dropped in this moment.
        of_session := token_mgmt._session(session_id, tenant, 'app');
    END IF;
    IF upto < greatest(of_session.summary_upto, 1) OR upto > of_session.message_count THEN
        PERFORM token_mgmt._raise('22023', 'upto is out of range', format(
            'Found %s; the session has %s messages, %s of them summarised.', upto,
            of_session.message_count, of_session.summary_upto),
            'Use the number of a message; what is summarised stays so.');
    END IF;
    UPDATE token_mgmt.session s
    SET summary = content, summary_upto = upto,
        summary_encoding = token_mgmt._counter_name(counter),
        summary_tokens = token_mgmt._message_tokens(token_mgmt._summary_message(content), counter),
        summarized_at = clock_timestamp()
    WHERE s.tenant = of_session.tenant AND s.session_id = of_session.session_id
    RETURNING * INTO of_session;
    RETURN of_session;
END
$$;
COMMENT ON FUNCTION @extschema@.save_summary(text, bigint, text, text, text, jsonb) IS
    'Keeps a summary that is sent in place of the messages up to number upto and of an earlier '
    'summary; pinned ones are still sent. Not STRICT: a NULL model or tenant is the session''s. '
    'Errors: 22004, 22023, 42704, P0002';
REVOKE ALL ON FUNCTION @extschema@.save_summary(text, bigint, text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._summary_message(content text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    -- The head that fitting gives its summaries, by which it knows them again.
    SELECT jsonb_build_object('role', 'system', 'content', h.head
            || CASE WHEN starts_with(content, h.head) THEN substr(content, length(h.head) + 1)
                ELSE content END,
        'token_mgmt', jsonb_build_object('section', 'summary'))
    FROM (SELECT E'[Summary of the earlier conversation]\n') h (head)
$$;
COMMENT ON FUNCTION token_mgmt._summary_message(text) IS 'A summary as it is sent';

CREATE FUNCTION token_mgmt.recount_session(session_id text, model text, tenant text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_session token_mgmt.session := token_mgmt._session(session_id, tenant, 'app');
    counter jsonb := token_mgmt._counter(token_mgmt._resolve_model(model));
    name text := token_mgmt._counter_name(counter);
    counted bigint;
BEGIN
    UPDATE token_mgmt.message m
    SET token_counts = m.token_counts
        || jsonb_build_object(name, token_mgmt._message_tokens(m.message, counter))
    WHERE m.tenant = of_session.tenant AND m.session_id = of_session.session_id
        AND m.message_no > of_session.summary_upto
        AND m.encoding <> name AND NOT m.token_counts ? name;
    GET DIAGNOSTICS counted = ROW_COUNT;
    RETURN counted;
END
$$;
COMMENT ON FUNCTION token_mgmt.recount_session(text, text, text) IS
    'Keeps with each message that is not summarised what it has by this model too, so that a '
    'history for it is not counted again each time; says how many it counted. Not STRICT: a NULL '
    'tenant is the caller''s. Errors: 22004, 42704, P0002';
REVOKE ALL ON FUNCTION token_mgmt.recount_session(text, text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.drop_session(session_id text, tenant text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(drop_session.tenant);
    is_there boolean;
BEGIN
    PERFORM token_mgmt._check_session(session_id, in_tenant, 'app');
    -- The row first: a writer waits for it, and then opens the session anew.
    DELETE FROM token_mgmt.session s
    WHERE s.tenant = in_tenant AND s.session_id = drop_session.session_id;
    is_there := FOUND;
    DELETE FROM token_mgmt.message m
    WHERE m.tenant = in_tenant AND m.session_id = drop_session.session_id;
    RETURN is_there;
END
$$;
COMMENT ON FUNCTION token_mgmt.drop_session(text, text) IS
    'Removes a session with its messages and says whether it was there; its entries in the usage '
    'ledger stay. Not STRICT: a NULL tenant is the caller''s';
REVOKE ALL ON FUNCTION token_mgmt.drop_session(text, text) FROM PUBLIC;
