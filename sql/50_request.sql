CREATE FUNCTION token_mgmt._check_request(r token_mgmt._request) RETURNS token_mgmt._request
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    longest constant interval := '7 days';
    identities text[];
BEGIN
    IF r.api_key IS NOT NULL THEN
        r := token_mgmt._with_key(r);
    END IF;
    IF r.user_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'user_id must not be null', NULL,
            'Name the user on whose account the call is made.');
    END IF;
    r.tenant := token_mgmt._tenant(r.tenant);
    -- Told apart only where one of them may be bad: eight calls cost more than all other checks.
    identities := ARRAY[r.user_id, r.tenant, r.api_key, r.team, r.session_id, r.agent, r.endpoint,
        r.request_id];
    IF identities && '{*,""}' OR length(array_to_string(identities, '')) > 255 THEN
        PERFORM token_mgmt._check_identity('user_id', r.user_id),
            token_mgmt._check_identity('tenant', r.tenant),
            token_mgmt._check_identity('api_key', r.api_key),
            token_mgmt._check_identity('team', r.team),
            token_mgmt._check_identity('session_id', r.session_id),
            token_mgmt._check_identity('agent', r.agent),
            token_mgmt._check_identity('endpoint', r.endpoint),
            token_mgmt._check_identity('request_id', r.request_id);
    END IF;
    PERFORM token_mgmt._check_access(r.tenant, r.user_id, 'app');
    IF r.priority NOT IN ('high', 'medium', 'low') THEN
        PERFORM token_mgmt._raise('22023', format('unknown priority "%s"', r.priority),
            'Priorities are high, medium and low.', 'Leave it out to use all that remains.');
    END IF;
    IF least(r.prompt_tokens, r.completion_tokens, r.min_completion_tokens, r.max_prompt_tokens) < 0
        OR greatest(r.prompt_tokens, r.completion_tokens, r.min_completion_tokens,
            r.max_prompt_tokens) > 1000000000
    THEN
        PERFORM token_mgmt._check_count('prompt_tokens', r.prompt_tokens),
            token_mgmt._check_count('completion_tokens', r.completion_tokens),
            token_mgmt._check_count('min_completion_tokens', r.min_completion_tokens),
            token_mgmt._check_count('max_prompt_tokens', r.max_prompt_tokens);
    END IF;
    IF r.min_completion_tokens > r.completion_tokens THEN
        PERFORM token_mgmt._raise('22023', 'min_completion_tokens is above completion_tokens',
            format('Found %s above %s.', r.min_completion_tokens, r.completion_tokens), NULL);
    END IF;
    IF r.ttl IS NULL THEN
        r.ttl := token_mgmt._seconds_setting('reservation_ttl');
    END IF;
    -- As instants, too: months and days of both signs compare otherwise than they add.
    IF r.ttl NOT BETWEEN interval '-1 year' AND interval '1 year'
        OR now() + r.ttl <= now() OR now() + r.ttl > now() + longest
    THEN
        PERFORM token_mgmt._raise('22023', 'ttl is out of range',
            format('Found %s.', r.ttl), format('Use more than 0 and at most %s.', longest));
    END IF;
    IF r.max_wait < interval '0' OR r.max_wait > interval '1 hour' THEN
        PERFORM token_mgmt._raise('22023', 'max_wait is out of range',
            format('Found %s.', r.max_wait), 'Use 0 to 1 hour.');
    END IF;
    IF r.max_wait > interval '0' AND current_setting('transaction_isolation')
        NOT IN ('read committed', 'read uncommitted')
    THEN
        PERFORM token_mgmt._raise('0A000', 'max_wait needs the isolation level READ COMMITTED',
            format('The transaction is %s, which would never see tokens come free.',
                upper(current_setting('transaction_isolation'))),
            'Leave max_wait out, or reserve in a READ COMMITTED transaction.');
    END IF;
    RETURN r;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_request(token_mgmt._request) IS
    'The request with tenant and ttl filled in, and what its API key says. Errors: TM007, 22004, '
    '22023, 42501, 0A000';
REVOKE ALL ON FUNCTION token_mgmt._check_request(token_mgmt._request) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_count(what text, tokens bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    -- A thousand million leaves room for sums of two in an integer.
    IF tokens < 0 OR tokens > 1000000000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s is out of range', what), DETAIL = format('Found %s.', tokens),
            HINT = 'Use 0 to 1000000000 tokens.';
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_count(text, bigint) IS
    'Refuses (22023) a number of tokens below 0 or above 1,000,000,000; NULL passes';

CREATE FUNCTION token_mgmt._request_hash(r token_mgmt._request, key_name text) RETURNS bytea
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET intervalstyle = 'postgres'
AS $$
BEGIN
    r.options := coalesce(r.options, '{}');
    -- What was rotated in between is the same key.
    r.api_key := key_name;
    RETURN sha256(convert_to(r::text, 'UTF8'));
END
$$;
COMMENT ON FUNCTION token_mgmt._request_hash(token_mgmt._request, text) IS
    'Hash of the caller''s arguments as given, but a key by its name: tells a retry from another '
    'request of the same id';
REVOKE ALL ON FUNCTION token_mgmt._request_hash(token_mgmt._request, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._replayed(tenant text, user_id text, request_id text, hash bytea)
    RETURNS token_mgmt.reservation
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    r token_mgmt.reservation;
BEGIN
    SELECT s.* INTO r FROM token_mgmt.reservation s
    WHERE s.tenant = _replayed.tenant AND s.user_id = _replayed.user_id
        AND s.request_id = _replayed.request_id;
    IF r.reservation_id IS NULL THEN
        RETURN NULL;
    END IF;
    IF r.request_hash IS DISTINCT FROM hash THEN
        PERFORM token_mgmt._raise('TM005',
            format('request id "%s" was used with different arguments', r.request_id),
            format('The first call asked for %s tokens%s at %s.', r.tokens_held,
                CASE WHEN r.model IS NULL THEN '' ELSE format(' of model "%s"', r.model) END,
                r.reserved_at),
            'Use a new request id for a new request, and the same arguments for a retry.');
    ELSIF r.state = 'released' THEN
        PERFORM token_mgmt._raise_released(r);
    ELSIF r.state = 'expired' OR (r.state = 'held' AND r.expires_at <= clock_timestamp()) THEN
        PERFORM token_mgmt._raise_expired(r, 'Reserve again under a new request id.');
    END IF;
    RETURN r;
END
$$;
COMMENT ON FUNCTION token_mgmt._replayed(text, text, text, bytea) IS
    'The reservation that this request id made before, or NULL. Errors: TM003, TM004, TM005';
REVOKE ALL ON FUNCTION token_mgmt._replayed(text, text, text, bytea) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_released(r token_mgmt.reservation) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('TM003',
        format('reservation %s is already released', r.reservation_id),
        format('It was released at %s and holds nothing.', r.ended_at),
        'Reserve again, under a new request id if it had one.');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_released(token_mgmt.reservation) IS 'Raises TM003';

CREATE FUNCTION token_mgmt._raise_expired(r token_mgmt.reservation, hint text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('TM004', format('reservation %s has expired', r.reservation_id),
        format('Its %s tokens were held until %s.', r.tokens_held, r.expires_at), hint);
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_expired(token_mgmt.reservation, text) IS 'Raises TM004';
