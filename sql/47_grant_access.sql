CREATE FUNCTION token_mgmt._level_objects(
    OUT level token_mgmt.access_level, OUT kind text, OUT object text
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- Every one of them looks at token_mgmt.role_access itself: EXECUTE and SELECT only open the
    -- door to it.
    WITH named (level, names) AS (VALUES
        ('reader'::token_mgmt.access_level, ARRAY['quota_status', 'open_reservations', 'api_keys',
            'usage_hourly', 'usage_daily', 'usage_report', 'alert_log',
            'session_metrics', 'user_metrics', 'session_history', 'should_summarize',
            '_agent_settings', '_session_summary']),
        ('app', ARRAY['reserve_tokens', 'try_reserve_tokens', 'prepare_request',
            'try_prepare_request', 'settle_tokens', 'settle_partial', 'settle_usage',
            'release_tokens', 'record_usage', 'extend_reservation', 'report_progress',
            'explain_reservation', 'add_message', 'save_summary', 'recount_session',
            'drop_session', 'verify_api_key', 'rotate_api_key', 'revoke_api_key']),
        ('admin', ARRAY['set_quota', 'drop_quota', 'set_priority_share', 'set_agent', 'drop_agent',
            'register_model', 'issue_api_key', 'worker_status', 'set_alert_rule',
            'mute_alerts', 'reset_quota', 'load_config', 'dump_config'])
    ), member AS (
        SELECT d.classid, d.objid FROM pg_depend d
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    )
    SELECT n.level, 'EXECUTE ON ROUTINE', p.oid::regprocedure::text
    FROM named n JOIN pg_proc p ON p.proname = ANY (n.names)
    JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
    UNION ALL
    SELECT n.level, 'SELECT ON TABLE', c.oid::regclass::text
    FROM named n JOIN pg_class c ON c.relname = ANY (n.names) AND c.relkind = 'v'
    JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
$$;
COMMENT ON FUNCTION token_mgmt._level_objects() IS
    'What each level of access may call and read beyond the levels below it';
REVOKE ALL ON FUNCTION token_mgmt._level_objects() FROM PUBLIC;

CREATE FUNCTION token_mgmt._give_privileges(of_role oid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = of_role);
    most token_mgmt.access_level := (SELECT max(a.level) FROM token_mgmt.role_access a
        WHERE a.role = of_role);
    home name;
    o record;
BEGIN
    -- Not taken back with the level: others may have given it, too.
    SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'token_mgmt' AND most IS NOT NULL
        AND NOT has_schema_privilege(of_role, n.oid, 'USAGE')
        AND has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION');
    IF FOUND THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, name);
    END IF;
    FOR o IN SELECT * FROM token_mgmt._level_objects() LOOP
        -- The object comes from the catalog, quoted, and the role is one of pg_roles.
        EXECUTE format(CASE WHEN o.level <= most THEN 'GRANT %s %s TO %I'
            ELSE 'REVOKE %s %s FROM %I' END, o.kind, o.object, name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._give_privileges(oid) IS
    'Brings a role''s privileges to its highest level of access';
REVOKE ALL ON FUNCTION token_mgmt._give_privileges(oid) FROM PUBLIC;

CREATE FUNCTION token_mgmt._role(role text) RETURNS oid
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result oid;
BEGIN
    IF role IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'role must not be null', NULL, NULL);
    END IF;
    SELECT r.oid INTO result FROM pg_roles r WHERE r.rolname = role;
    IF NOT FOUND THEN
        PERFORM token_mgmt._raise('42704', 'role does not exist',
            format('There is no role "%s".', left(role, 63)),
            'Make it with CREATE ROLE; its name is taken as it is, not quoted.');
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt._role(text) IS
    'The role of this name. Not STRICT: NULL is 22004. Errors: 22004, 42704';
REVOKE ALL ON FUNCTION token_mgmt._role(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_level(level text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF level NOT IN ('reader', 'app', 'admin') THEN
        PERFORM token_mgmt._raise('22023', format('unknown level "%s"', left(level, 63)),
            'Levels are reader, app and admin.', NULL);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_level(text) IS
    'Refuses (22023) what is no level of access; NULL passes';
REVOKE ALL ON FUNCTION token_mgmt._check_level(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._trace_access(
    role text, before token_mgmt.role_access, after token_mgmt.role_access
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._trace_config(coalesce(before.tenant, after.tenant, ''), 'access', role,
        to_jsonb(before), to_jsonb(after));
END
$$;
COMMENT ON FUNCTION token_mgmt._trace_access(
    text, token_mgmt.role_access, token_mgmt.role_access
) IS
    'Leaves a trace of a grant that was given or taken back. Not STRICT: the other one is NULL';
REVOKE ALL ON FUNCTION token_mgmt._trace_access(
    text, token_mgmt.role_access, token_mgmt.role_access
) FROM PUBLIC;

-- With the rights of its caller, who needs those to grant: the extension's owner or a superuser.
CREATE FUNCTION token_mgmt.grant_access(
    role text, level text, tenant text DEFAULT NULL, user_id text DEFAULT NULL
) RETURNS token_mgmt.role_access
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_role oid := token_mgmt._role(role);
    is_new boolean;
    result token_mgmt.role_access;
BEGIN
    IF level IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'level must not be null', NULL,
            'Levels are reader, app and admin.');
    END IF;
    PERFORM token_mgmt._check_level(level),
        token_mgmt._check_identity('tenant', tenant),
        token_mgmt._check_identity('user_id', user_id);
    IF level = 'admin' AND user_id IS NOT NULL THEN
        PERFORM token_mgmt._raise('22023', 'an admin is one of whole tenants',
            'user_id was given.', 'Leave user_id out, or grant "app" or "reader".');
    END IF;
    -- Two at once would meet in the same rows of the catalog.
    LOCK TABLE token_mgmt.role_access IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM token_mgmt.role_access a WHERE NOT EXISTS (
        SELECT FROM pg_roles r WHERE r.oid = a.role);
    INSERT INTO token_mgmt.role_access (role, level, tenant, user_id)
    VALUES (of_role, grant_access.level::token_mgmt.access_level, grant_access.tenant,
        grant_access.user_id)
    ON CONFLICT DO NOTHING;
    is_new := FOUND;
    SELECT a.* INTO result FROM token_mgmt.role_access a
    WHERE a.role = of_role AND a.level::text = grant_access.level
        AND a.tenant IS NOT DISTINCT FROM grant_access.tenant
        AND a.user_id IS NOT DISTINCT FROM grant_access.user_id;
    IF is_new THEN
        PERFORM token_mgmt._trace_access(role, NULL, result);
    END IF;
    PERFORM token_mgmt._give_privileges(of_role);
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt.grant_access(text, text, text, text) IS
    'Gives a role access to a tenant and user (NULL: all of them) as reader, app or admin, and the '
    'privileges on the functions and views of that level. What it has already, it keeps. For the '
    'extension''s owner and superusers. Not STRICT: NULL is not given. Errors: 22004, 22023, '
    '42501, 42704';
REVOKE ALL ON FUNCTION token_mgmt.grant_access(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.revoke_access(
    role text, level text DEFAULT NULL, tenant text DEFAULT NULL, user_id text DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A role that is gone is shown by its number.
    of_role oid := (SELECT a.role FROM token_mgmt.role_access a
        WHERE a.role::text = revoke_access.role
            AND NOT EXISTS (SELECT FROM pg_roles r
                WHERE r.oid = a.role OR r.rolname = revoke_access.role)
        LIMIT 1);
    is_gone boolean := of_role IS NOT NULL;
    gone token_mgmt.role_access;
    removed integer := 0;
BEGIN
    of_role := coalesce(of_role, token_mgmt._role(role));
    PERFORM token_mgmt._check_level(level);
    LOCK TABLE token_mgmt.role_access IN SHARE ROW EXCLUSIVE MODE;
    FOR gone IN
        DELETE FROM token_mgmt.role_access a
        WHERE a.role = of_role
            AND (revoke_access.level IS NULL OR a.level::text = revoke_access.level)
            AND (revoke_access.tenant IS NULL OR a.tenant = revoke_access.tenant)
            AND (revoke_access.user_id IS NULL OR a.user_id = revoke_access.user_id)
        RETURNING a.*
    LOOP
        PERFORM token_mgmt._trace_access(role, gone, NULL);
        removed := removed + 1;
    END LOOP;
    IF NOT is_gone THEN
        PERFORM token_mgmt._give_privileges(of_role);
    END IF;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION token_mgmt.revoke_access(text, text, text, text) IS
    'Takes back what grant_access() gave (NULL: of every level, tenant or user), says how many '
    'grants that were, and leaves the privileges of the highest level that remains. A role that '
    'was dropped (after DROP OWNED) is named as role_access shows it, by its number. Not STRICT: '
    'NULL is any. Errors: 22004, 22023, 42501, 42704';
REVOKE ALL ON FUNCTION token_mgmt.revoke_access(text, text, text, text) FROM PUBLIC;
