CREATE TYPE token_mgmt.issued_key AS (
    api_key text,
    tenant text,
    name text,
    user_id text,
    team text,
    expires_at timestamptz,
    previous_valid_until timestamptz
);
COMMENT ON TYPE token_mgmt.issued_key IS
    'A key, shown this once: only its hash is stored. api_key is NULL where another call has just '
    'rotated it, and was given the new one';

CREATE TYPE token_mgmt.verified_key AS (
    is_valid boolean,
    user_id text,
    team text,
    tenant text,
    name text,
    expires_at timestamptz,
    reason text,
    new_api_key text
);
COMMENT ON TYPE token_mgmt.verified_key IS
    'Whose key it is, and until when; reason is unknown, revoked or expired where it is not valid. '
    'new_api_key is the one that replaces it, handed out once, where it renews itself';

CREATE FUNCTION token_mgmt._trace_key(before token_mgmt.api_key, after token_mgmt.api_key)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._trace_config(after.tenant, 'api_key', after.name,
        to_jsonb(before) - '{hash,previous_hash}'::text[],
        to_jsonb(after) - '{hash,previous_hash}'::text[]);
END
$$;
COMMENT ON FUNCTION token_mgmt._trace_key(token_mgmt.api_key, token_mgmt.api_key) IS
    'Leaves a trace of who issued, rotated or revoked a key; never of a hash';
REVOKE ALL ON FUNCTION token_mgmt._trace_key(token_mgmt.api_key, token_mgmt.api_key) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_lifetime(what text, lifetime interval) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The bounds first: what is far beyond them is no instant. Then as instants, since months and
    -- days of both signs compare otherwise than they add.
    IF lifetime NOT BETWEEN interval '0' AND interval '100 years'
        OR now() + lifetime NOT BETWEEN now() AND now() + interval '100 years'
    THEN
        PERFORM token_mgmt._raise('22023', format('%s is out of range', what),
            format('Found %s.', lifetime), 'Use at most 100 years.');
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_lifetime(text, interval) IS
    'Refuses (22023) a time below 0 or above 100 years; NULL passes';
REVOKE ALL ON FUNCTION token_mgmt._check_lifetime(text, interval) FROM PUBLIC;

CREATE FUNCTION @extschema@.issue_api_key(
    user_id text, name text DEFAULT NULL, team text DEFAULT NULL, expires_in interval DEFAULT NULL,
    auto_rotate interval DEFAULT NULL, tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.issued_key
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    k token_mgmt.api_key;
    result token_mgmt.issued_key;
BEGIN
    IF user_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'user_id must not be null', NULL,
            'Name the user on whose account calls with this key are made.');
    END IF;
    result.tenant := token_mgmt._tenant(issue_api_key.tenant);
    result.name := coalesce(issue_api_key.name, 'key-' || left(gen_random_uuid()::text, 8));
    result.user_id := issue_api_key.user_id;
    result.team := issue_api_key.team;
    result.expires_at := NULL;
    PERFORM token_mgmt._check_identity('tenant', result.tenant),
        token_mgmt._check_access(result.tenant, NULL, 'admin'),
        token_mgmt._check_identity('user_id', user_id),
        token_mgmt._check_identity('name', name),
        token_mgmt._check_identity('team', team),
        token_mgmt._check_lifetime('expires_in', expires_in),
        token_mgmt._check_lifetime('auto_rotate', auto_rotate),
        token_mgmt._check_object('options', options, '{}');
    IF token_mgmt._is_secret(name) THEN
        PERFORM token_mgmt._raise('22023', 'name of an API key looks like a key', NULL,
            'Use a name that does not begin with tmk_.');
    END IF;
    result.expires_at := at + expires_in;
    IF result.expires_at <= at OR auto_rotate IS NOT NULL
        AND (result.expires_at - auto_rotate > at) IS NOT TRUE
    THEN
        PERFORM token_mgmt._raise('22023', 'the key would expire or be renewed at once',
            format('expires_in is %s, auto_rotate %s.', coalesce(expires_in::text, 'not given'),
                coalesce(auto_rotate::text, 'not given')),
            'auto_rotate is how long before its end a key is renewed, less than expires_in.');
    END IF;
    result.api_key := token_mgmt._new_secret();
    INSERT INTO token_mgmt.api_key (tenant, name, user_id, team, hash, last_characters, created_at,
        expires_in, expires_at, auto_rotate)
    VALUES (result.tenant, result.name, result.user_id, result.team,
        token_mgmt._hash_of(result.api_key), right(result.api_key, 4), at,
        issue_api_key.expires_in, result.expires_at, issue_api_key.auto_rotate)
    ON CONFLICT ON CONSTRAINT api_key_pkey DO NOTHING
    RETURNING * INTO k;
    IF NOT FOUND THEN
        PERFORM token_mgmt._raise('42710', format('API key "%s" already exists', result.name),
            'A name stays its key''s, in reports too, also when it is revoked or expired.',
            'Use another name, or rotate_api_key().');
    END IF;
    PERFORM token_mgmt._trace_key(NULL, k);
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.issue_api_key(text, text, text, interval, interval, text, jsonb) IS
    'Makes a key for a user, and shows it this once. With auto_rotate verify_api_key() renews it '
    'in that time before it expires. name NULL makes one up, expires_in NULL is for ever. Not '
    'STRICT: a NULL tenant is the session''s. Errors: 22004, 22023, 42501, 42710';
REVOKE ALL ON FUNCTION @extschema@.issue_api_key(text, text, text, interval, interval, text, jsonb)
    FROM PUBLIC;

-- What hands a new key out exactly once: the row is found by the hash of the key that it replaces,
-- which the replacement takes away. Whoever comes second, has waited for the row and finds none.
CREATE FUNCTION token_mgmt._renew_key(seen token_mgmt.api_key, grace interval)
    RETURNS token_mgmt.issued_key
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    secret text := token_mgmt._new_secret();
    k token_mgmt.api_key;
    result token_mgmt.issued_key;
BEGIN
    UPDATE token_mgmt.api_key s
    SET hash = token_mgmt._hash_of(secret), last_characters = right(secret, 4), rotated_at = at,
        expires_at = at + s.expires_in, previous_hash = s.hash,
        grace_until = least(s.expires_at, at + grace)
    WHERE s.tenant = seen.tenant AND s.name = seen.name AND s.hash = seen.hash
        AND s.revoked_at IS NULL
    RETURNING s.* INTO k;
    IF FOUND THEN
        result.api_key := secret;
        PERFORM token_mgmt._trace_key(seen, k);
    ELSE
        SELECT s.* INTO k FROM token_mgmt.api_key s
        WHERE s.tenant = seen.tenant AND s.name = seen.name;
    END IF;
    result.tenant := k.tenant;
    result.name := k.name;
    result.user_id := k.user_id;
    result.team := k.team;
    result.expires_at := k.expires_at;
    result.previous_valid_until := k.grace_until;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt._renew_key(token_mgmt.api_key, interval) IS
    'Replaces a key by a new one and lets the old one be valid for so long, at most until its '
    'end; without api_key if it is not the current one any more';
REVOKE ALL ON FUNCTION token_mgmt._renew_key(token_mgmt.api_key, interval) FROM PUBLIC;

CREATE FUNCTION @extschema@.verify_api_key(api_key text) RETURNS token_mgmt.verified_key
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shown token_mgmt._shown_key;
    k token_mgmt.api_key;
    renewed token_mgmt.issued_key;
    result token_mgmt.verified_key;
BEGIN
    IF api_key IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'api_key must not be null', NULL, NULL);
    END IF;
    shown := token_mgmt._shown_secret(api_key);
    k := shown.key;
    result.is_valid := shown.fault IS NULL;
    result.reason := shown.fault;
    result.user_id := k.user_id;
    result.team := k.team;
    result.tenant := k.tenant;
    result.name := k.name;
    result.expires_at := CASE WHEN shown.is_current THEN k.expires_at ELSE k.grace_until END;
    IF result.is_valid AND shown.is_current AND k.expires_at - k.auto_rotate <= clock_timestamp()
        AND current_setting('transaction_read_only') = 'off'
    THEN
        renewed := token_mgmt._renew_key(k, k.expires_in);
        result.new_api_key := renewed.api_key;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.verify_api_key(text) IS
    'Whose key this is and whether it is valid, with the reason if it is not. The first call in '
    'the time auto_rotate before its end has the new key in new_api_key (keep it: it is not shown '
    'again); the old one is valid to its end. Not STRICT: NULL is 22004. Errors: 22004';
REVOKE ALL ON FUNCTION @extschema@.verify_api_key(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._managed_key(api_key text, tenant text) RETURNS token_mgmt._shown_key
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(tenant);
    shown token_mgmt._shown_key;
    k token_mgmt.api_key;
BEGIN
    IF api_key IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'api_key must not be null', NULL,
            'Pass the key, or its name.');
    END IF;
    IF token_mgmt._is_secret(api_key) THEN
        shown := token_mgmt._shown_secret(api_key);
    ELSE
        PERFORM token_mgmt._check_access(in_tenant, NULL, 'admin');
        SELECT s.* INTO k FROM token_mgmt.api_key s
        WHERE s.tenant = in_tenant AND s.name = _managed_key.api_key;
        shown := (k, true, token_mgmt._key_fault(k, true))::token_mgmt._shown_key;
    END IF;
    IF shown.fault = 'unknown' OR tenant <> (shown.key).tenant THEN
        PERFORM token_mgmt._raise_bad_key();
    END IF;
    RETURN shown;
END
$$;
COMMENT ON FUNCTION token_mgmt._managed_key(text, text) IS
    'The key that is to be rotated or revoked: whoever has it may do so, and an admin by its name. '
    'Errors: TM007, 22004, 42501';
REVOKE ALL ON FUNCTION token_mgmt._managed_key(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.rotate_api_key(
    api_key text, grace interval DEFAULT '1 day', tenant text DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.issued_key
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shown token_mgmt._shown_key;
    k token_mgmt.api_key;
BEGIN
    PERFORM token_mgmt._check_lifetime('grace', grace),
        token_mgmt._check_object('options', options, '{}');
    shown := token_mgmt._managed_key(api_key, tenant);
    -- One that has expired is renewed by its name, which is an admin's to do.
    IF shown.fault = 'revoked' OR shown.fault = 'expired' AND token_mgmt._is_secret(api_key) THEN
        PERFORM token_mgmt._raise_bad_key();
    END IF;
    k := shown.key;
    IF NOT shown.is_current THEN
        k.hash := NULL;
    END IF;
    RETURN token_mgmt._renew_key(k, coalesce(grace, '0'));
END
$$;
COMMENT ON FUNCTION @extschema@.rotate_api_key(text, interval, text, jsonb) IS
    'Replaces a key, given itself or by its name, and shows the new one this once; the old one '
    'stays valid for grace, at most until its end. Of several calls at once, and of those with the '
    'old key, one is given the new key; the others have NULL. Not STRICT: a NULL grace is none, a '
    'NULL tenant the session''s. Errors: TM007, 22004, 22023, 42501';
REVOKE ALL ON FUNCTION @extschema@.rotate_api_key(text, interval, text, jsonb) FROM PUBLIC;

CREATE FUNCTION @extschema@.revoke_api_key(
    api_key text, reason text DEFAULT NULL, tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before token_mgmt.api_key;
    k token_mgmt.api_key;
BEGIN
    PERFORM token_mgmt._check_object('options', options, '{}');
    IF length(reason) > 1000 THEN
        PERFORM token_mgmt._raise('22023', 'reason is too long',
            format('It has %s characters.', length(reason)), 'Use at most 1000.');
    END IF;
    before := (token_mgmt._managed_key(api_key, tenant)).key;
    UPDATE token_mgmt.api_key s SET revoked_at = clock_timestamp(), revoke_reason = reason
    WHERE s.tenant = before.tenant AND s.name = before.name AND s.revoked_at IS NULL
    RETURNING s.* INTO k;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt._trace_key(before, k);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.revoke_api_key(text, text, text, jsonb) IS
    'Ends a key, given itself or by its name, for ever and at once, and the one it replaced too; '
    'false if it was revoked before, with the reason given then. What is reserved may be settled. '
    'Not STRICT: a NULL tenant is the session''s. Errors: TM007, 22004, 22023, 42501';
REVOKE ALL ON FUNCTION @extschema@.revoke_api_key(text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._expiring_keys(
    within interval, OUT tenant text, OUT name text, OUT user_id text, OUT expires_at timestamptz
) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.tenant, k.name, k.user_id, k.expires_at FROM token_mgmt.api_key k
    WHERE k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
        AND k.expires_at <= now() + within
$$;
COMMENT ON FUNCTION token_mgmt._expiring_keys(interval) IS
    'The keys that expire within this time, of all tenants';
REVOKE ALL ON FUNCTION token_mgmt._expiring_keys(interval) FROM PUBLIC;

CREATE VIEW token_mgmt.api_keys WITH (security_barrier) AS
    WITH mine AS MATERIALIZED (SELECT * FROM token_mgmt._my_access)
    SELECT k.tenant, k.name, k.user_id, k.team, 'tmk_...' || k.last_characters AS api_key,
        CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expires_at <= clock_timestamp() THEN 'expired' ELSE 'valid' END AS status,
        k.created_at, k.expires_at, k.auto_rotate, k.rotated_at, k.grace_until, k.revoked_at,
        k.revoke_reason
    FROM token_mgmt.api_key k
    WHERE EXISTS (SELECT FROM mine m WHERE (m.tenant IS NULL OR m.tenant = k.tenant)
        AND (m.user_id IS NULL OR m.user_id = k.user_id));
COMMENT ON VIEW token_mgmt.api_keys IS
    'Keys with their state and the last characters that tell them apart; never a hash';
REVOKE ALL ON token_mgmt.api_keys FROM PUBLIC;
