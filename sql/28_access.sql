CREATE TYPE token_mgmt.access_level AS ENUM ('reader', 'app', 'admin');
COMMENT ON TYPE token_mgmt.access_level IS
    'reader sees views and reports; app also reserves, settles and writes sessions; admin also '
    'sets quotas, agents and API keys';

CREATE TABLE token_mgmt.role_access (
    role regrole NOT NULL,
    level token_mgmt.access_level NOT NULL,
    tenant text,
    user_id text,
    granted_by text NOT NULL DEFAULT session_user,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT role_access_admin_has_every_user CHECK (level <> 'admin' OR user_id IS NULL)
);
ALTER TABLE token_mgmt.role_access REPLICA IDENTITY FULL;
-- A role is dumped under its name. The number of one that is gone could be another's elsewhere.
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.role_access',
    'WHERE role::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
COMMENT ON TABLE token_mgmt.role_access IS
    'What each role sees and touches; a role has what any role has that it inherits from. '
    'Superusers and the extension''s owner have all. Written by token_mgmt.grant_access()';
COMMENT ON COLUMN token_mgmt.role_access.tenant IS 'NULL: every tenant';
COMMENT ON COLUMN token_mgmt.role_access.user_id IS 'NULL: every user';
REVOKE ALL ON token_mgmt.role_access FROM PUBLIC;
-- Serves nobody but the rule that a grant is there once.
CREATE UNIQUE INDEX role_access_key ON token_mgmt.role_access
    (role, level, coalesce(tenant, ''), coalesce(user_id, ''));
-- Serves the check of each call, where each of thousands of tenants has a role of its own.
CREATE INDEX role_access_tenant_idx ON token_mgmt.role_access (tenant);

-- In a view current_user is who asks, and tables are read with the owner's rights. Views take it as
-- a materialized CTE: whom a role inherits from is then asked once a statement, not for each row.
CREATE VIEW token_mgmt._my_access AS
    SELECT NULL::text AS tenant, NULL::text AS user_id FROM pg_class c
    WHERE c.oid = 'token_mgmt.role_access'::regclass AND pg_has_role(c.relowner, 'USAGE')
    UNION ALL
    -- As an array, which is planned as the few rows that these are, however many roles there are.
    SELECT a.tenant, a.user_id FROM unnest(ARRAY(
        SELECT r FROM token_mgmt.role_access r WHERE pg_has_role(r.role, 'USAGE'))) a;
COMMENT ON VIEW token_mgmt._my_access IS
    'What the role that asks may see; NULL is every tenant or user. For the views'' own WHERE';
REVOKE ALL ON token_mgmt._my_access FROM PUBLIC;

-- In a SECURITY DEFINER function current_user is the owner. An outer invoker function would have to
-- pass its caller on as an argument, which anybody who may call the inner one could forge; so it is
-- the role that is set in the session. A function of somebody else's around the call changes
-- nothing: what it could do in the session's name as SECURITY DEFINER, it can as INVOKER, too.
CREATE FUNCTION token_mgmt._caller() RETURNS oid
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_caller_wrapper';
COMMENT ON FUNCTION token_mgmt._caller() IS
    'The role that is set in the session; 0, which is none, in ANALYZE, REINDEX and the like, '
    'where expressions are a table owner''s';
REVOKE ALL ON FUNCTION token_mgmt._caller() FROM PUBLIC;

CREATE FUNCTION token_mgmt._has_access(
    tenant text, user_id text, level token_mgmt.access_level
) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    -- Apart from the query, so that it costs the owner none.
    IF pg_has_role(token_mgmt._caller(), current_user, 'USAGE') THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT FROM token_mgmt.role_access a
        WHERE (a.tenant IS NULL OR a.tenant = _has_access.tenant)
            AND (a.user_id IS NULL OR a.user_id = _has_access.user_id)
            AND a.level >= _has_access.level
            AND pg_has_role(token_mgmt._caller(), a.role, 'USAGE'));
END
$$;
COMMENT ON FUNCTION token_mgmt._has_access(text, text, token_mgmt.access_level) IS
    'Whether the caller of the SECURITY DEFINER function around this one has this access. Not '
    'STRICT: tenant NULL is all of them, user_id NULL every user of the tenant';
REVOKE ALL ON FUNCTION token_mgmt._has_access(text, text, token_mgmt.access_level) FROM PUBLIC;

CREATE FUNCTION token_mgmt._seen_users(tenant text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    IF token_mgmt._has_access(tenant, NULL, 'reader') THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(
        SELECT a.user_id FROM token_mgmt.role_access a
        WHERE (a.tenant IS NULL OR a.tenant = _seen_users.tenant)
            AND pg_has_role(token_mgmt._caller(), a.role, 'USAGE'));
END
$$;
COMMENT ON FUNCTION token_mgmt._seen_users(text) IS
    'The users of the tenant that the caller of the SECURITY DEFINER function around this one may '
    'see; NULL: every one';
REVOKE ALL ON FUNCTION token_mgmt._seen_users(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_access(
    tenant text, user_id text, level token_mgmt.access_level
) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    IF pg_has_role(token_mgmt._caller(), current_user, 'USAGE') THEN
        RETURN;
    END IF;
    IF NOT token_mgmt._has_access(tenant, user_id, level) THEN
        PERFORM token_mgmt._raise_no_access(tenant, user_id, level);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_access(text, text, token_mgmt.access_level) IS
    'Refuses (42501) who has not this access, as _has_access() says';
REVOKE ALL ON FUNCTION token_mgmt._check_access(text, text, token_mgmt.access_level) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_tenant(tenant text, level token_mgmt.access_level)
    RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    IF pg_has_role(token_mgmt._caller(), current_user, 'USAGE') THEN
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM token_mgmt.role_access a
        WHERE (a.tenant IS NULL OR a.tenant = _check_tenant.tenant)
            AND a.level >= _check_tenant.level
            AND pg_has_role(token_mgmt._caller(), a.role, 'USAGE'))
    THEN
        PERFORM token_mgmt._raise_no_access(tenant, NULL, level);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_tenant(text, token_mgmt.access_level) IS
    'Refuses (42501) who has not this access to any user of the tenant: for what all of its users '
    'share';
REVOKE ALL ON FUNCTION token_mgmt._check_tenant(text, token_mgmt.access_level) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_no_access(
    tenant text, user_id text, level token_mgmt.access_level
) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('42501', CASE WHEN tenant IS NULL
            THEN 'permission denied for all tenants'
            ELSE format('permission denied for tenant "%s"', tenant) END,
        format('Role "%s" has no %s access to %s.', pg_get_userbyid(token_mgmt._caller()), level,
            CASE WHEN tenant IS NULL THEN 'every tenant' WHEN user_id IS NULL THEN 'all of it'
                ELSE format('its user "%s"', user_id) END),
        'Access is given by token_mgmt.grant_access(); the setting token_mgmt.tenant only chooses '
        'among what is given.');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_no_access(text, text, token_mgmt.access_level) IS
    'Raises 42501';
REVOKE ALL ON FUNCTION token_mgmt._raise_no_access(text, text, token_mgmt.access_level)
    FROM PUBLIC;
