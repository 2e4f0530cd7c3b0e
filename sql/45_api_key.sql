CREATE TABLE token_mgmt.api_key (
    tenant text NOT NULL,
    name text NOT NULL,
    user_id text NOT NULL,
    team text,
    hash bytea NOT NULL,
    last_characters text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_in interval,
    expires_at timestamptz,
    auto_rotate interval,
    rotated_at timestamptz,
    previous_hash bytea,
    grace_until timestamptz,
    revoked_at timestamptz,
    revoke_reason text,
    CONSTRAINT api_key_pkey PRIMARY KEY (tenant, name),
    CONSTRAINT api_key_hash_is_sha256 CHECK (
        length(hash) = 32 AND length(previous_hash) = 32
    ),
    CONSTRAINT api_key_expires_as_it_says CHECK ((expires_in IS NULL) = (expires_at IS NULL)),
    CONSTRAINT api_key_renewal_needs_an_end CHECK (auto_rotate IS NULL OR expires_in IS NOT NULL),
    CONSTRAINT api_key_rotated_has_previous CHECK (
        (rotated_at IS NULL) = (previous_hash IS NULL)
        AND (rotated_at IS NULL) = (grace_until IS NULL)
    ),
    CONSTRAINT api_key_reason_is_of_a_revocation CHECK (
        revoke_reason IS NULL OR revoked_at IS NOT NULL
    )
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.api_key', '');
COMMENT ON TABLE token_mgmt.api_key IS
    'Keys that callers of a gateway show, under a name that is one user''s for ever: it is what '
    'reservations and the ledger have. Of the key itself there is only a hash';
COMMENT ON COLUMN token_mgmt.api_key.hash IS 'SHA-256 of the key, which has 256 random bits';
COMMENT ON COLUMN token_mgmt.api_key.last_characters IS 'The last four, to tell keys apart';
COMMENT ON COLUMN token_mgmt.api_key.expires_in IS 'How long each key is valid; NULL: for ever';
COMMENT ON COLUMN token_mgmt.api_key.auto_rotate IS
    'So long before it expires, verify_api_key() renews it; NULL: never';
COMMENT ON COLUMN token_mgmt.api_key.previous_hash IS
    'Of the key before the latest rotation, which is valid until grace_until';
REVOKE ALL ON token_mgmt.api_key FROM PUBLIC;
-- Serve the look-up of a key. A part of the hash finds the row, and the whole is compared in
-- constant time.
CREATE INDEX api_key_hash_idx ON token_mgmt.api_key (substr(hash, 1, 8));
CREATE INDEX api_key_previous_hash_idx ON token_mgmt.api_key (substr(previous_hash, 1, 8));
-- Serves _expiring_keys().
CREATE INDEX api_key_expires_idx ON token_mgmt.api_key (expires_at) WHERE revoked_at IS NULL;

CREATE TYPE token_mgmt._shown_key AS (
    key token_mgmt.api_key,
    is_current boolean,
    fault text
);
COMMENT ON TYPE token_mgmt._shown_key IS
    'What a caller has shown: its key, whether it is the latest one, and what is wrong with it: '
    'NULL, unknown, revoked or expired';

CREATE FUNCTION token_mgmt._is_same_hash(a bytea, b bytea) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_is_same_hash_wrapper';
COMMENT ON FUNCTION token_mgmt._is_same_hash(bytea, bytea) IS
    'Whether two hashes are equal, in a time that does not tell where they differ';
REVOKE ALL ON FUNCTION token_mgmt._is_same_hash(bytea, bytea) FROM PUBLIC;

CREATE FUNCTION token_mgmt._new_secret() RETURNS text
    LANGUAGE sql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- Each uuid has 122 bits from pg_strong_random(): together more than the 256 that are kept.
    SELECT 'tmk_' || translate(encode(sha256(uuid_send(gen_random_uuid())
        || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'), '+/=', '-_')
$$;
COMMENT ON FUNCTION token_mgmt._new_secret() IS
    'A new key: tmk_ and 256 random bits as 43 characters of base64url';
REVOKE ALL ON FUNCTION token_mgmt._new_secret() FROM PUBLIC;

CREATE FUNCTION token_mgmt._is_secret(api_key text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT starts_with(api_key, 'tmk_')
$$;
COMMENT ON FUNCTION token_mgmt._is_secret(text) IS
    'Whether this is a key rather than the name of one';
REVOKE ALL ON FUNCTION token_mgmt._is_secret(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._hash_of(api_key text) RETURNS bytea
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$
    SELECT sha256(convert_to(api_key, 'UTF8'))
$$;
COMMENT ON FUNCTION token_mgmt._hash_of(text) IS 'What is stored of a key';
REVOKE ALL ON FUNCTION token_mgmt._hash_of(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._key_fault(k token_mgmt.api_key, is_current boolean) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE
        WHEN k.name IS NULL THEN 'unknown'
        WHEN k.revoked_at IS NOT NULL THEN 'revoked'
        WHEN CASE WHEN is_current THEN k.expires_at ELSE k.grace_until END <= clock_timestamp()
            THEN 'expired'
    END;
END
$$;
COMMENT ON FUNCTION token_mgmt._key_fault(token_mgmt.api_key, boolean) IS
    'Why a key, the current or the previous one, is not valid: unknown, revoked or expired; else '
    'NULL';
REVOKE ALL ON FUNCTION token_mgmt._key_fault(token_mgmt.api_key, boolean) FROM PUBLIC;

CREATE FUNCTION token_mgmt._shown_secret(api_key text) RETURNS token_mgmt._shown_key
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    shown bytea := token_mgmt._hash_of(api_key);
    k token_mgmt.api_key;
    is_current boolean;
BEGIN
    FOR k IN
        SELECT s.* FROM token_mgmt.api_key s
        WHERE substr(s.hash, 1, 8) = substr(shown, 1, 8)
            OR substr(s.previous_hash, 1, 8) = substr(shown, 1, 8)
    LOOP
        is_current := token_mgmt._is_same_hash(k.hash, shown);
        -- One that is beyond the caller's access is as good as none.
        IF (is_current OR token_mgmt._is_same_hash(k.previous_hash, shown))
            AND token_mgmt._has_access(k.tenant, k.user_id, 'app')
        THEN
            RETURN (k, is_current, token_mgmt._key_fault(k, is_current))::token_mgmt._shown_key;
        END IF;
    END LOOP;
    RETURN (NULL, false, 'unknown')::token_mgmt._shown_key;
END
$$;
COMMENT ON FUNCTION token_mgmt._shown_secret(text) IS 'What is known of this key';
REVOKE ALL ON FUNCTION token_mgmt._shown_secret(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_bad_key() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('TM007', 'API key is not valid',
        'It is unknown, revoked or expired.',
        'verify_api_key() says which; issue_api_key() makes a new one.');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_bad_key() IS
    'Raises TM007, which says neither which key nor why';

CREATE FUNCTION token_mgmt._with_key(r token_mgmt._request) RETURNS token_mgmt._request
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    shown token_mgmt._shown_key;
    k token_mgmt.api_key;
    other text;
BEGIN
    IF NOT token_mgmt._is_secret(r.api_key) THEN
        -- A name that no key was issued under is a gateway's own. One that is issued counts
        -- against its user's limits, which are not for others to use up.
        PERFORM token_mgmt._check_access(token_mgmt._tenant(r.tenant), r.user_id, 'app');
        SELECT s.* INTO k FROM token_mgmt.api_key s
        WHERE s.tenant = token_mgmt._tenant(r.tenant) AND s.name = r.api_key;
        IF FOUND AND token_mgmt._key_fault(k, true) IS NOT NULL THEN
            PERFORM token_mgmt._raise_bad_key();
        ELSIF r.user_id <> k.user_id THEN
            PERFORM token_mgmt._raise('22023', 'user_id contradicts the API key', NULL,
                'Name the user of the key, or a key of this user''s.');
        END IF;
        RETURN r;
    END IF;
    shown := token_mgmt._shown_secret(r.api_key);
    IF shown.fault IS NOT NULL THEN
        PERFORM token_mgmt._raise_bad_key();
    END IF;
    k := shown.key;
    other := CASE WHEN r.user_id <> k.user_id THEN 'user_id' WHEN r.team <> k.team THEN 'team'
        WHEN r.tenant <> k.tenant THEN 'tenant' END;
    IF other IS NOT NULL THEN
        PERFORM token_mgmt._raise('22023', format('%s contradicts the API key', other), NULL,
            format('Leave %s out: the key says whose call it is.', other));
    END IF;
    r.api_key := k.name;
    r.user_id := k.user_id;
    r.tenant := k.tenant;
    r.team := coalesce(r.team, k.team);
    RETURN r;
END
$$;
COMMENT ON FUNCTION token_mgmt._with_key(token_mgmt._request) IS
    'The request with user, team and tenant of its API key, and the key''s name in its place. '
    'Errors: TM007, 22023, 42501';
REVOKE ALL ON FUNCTION token_mgmt._with_key(token_mgmt._request) FROM PUBLIC;
