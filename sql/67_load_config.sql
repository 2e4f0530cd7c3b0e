CREATE FUNCTION token_mgmt._would_stay(o token_mgmt.quota, q jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- What null stands for, where that is not nothing.
    shipped jsonb := jsonb_build_object('kind', 'fixed', 'carry_over', 0, 'soft', false,
        'cached_weight', 1, 'time_zone', o.time_zone);
BEGIN
    PERFORM token_mgmt._local_time('anchor', q ->> 'anchor');
    q := q || (SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}')
        FROM jsonb_each(shipped) s WHERE q -> s.key = 'null');
    -- By their types: two ways to write an instant or a number are the same.
    RETURN token_mgmt._quota_config(jsonb_populate_record(o, q - 'soft'
            || CASE WHEN q ? 'soft' THEN jsonb_build_object('is_soft', q -> 'soft') ELSE '{}' END))
        = token_mgmt._quota_config(o);
EXCEPTION WHEN data_exception THEN
    -- set_quota() says what is wrong with it.
    RETURN false;
END
$$;
COMMENT ON FUNCTION token_mgmt._would_stay(token_mgmt.quota, jsonb) IS
    'Whether an entry of a configuration leaves this quota as it is';
REVOKE ALL ON FUNCTION token_mgmt._would_stay(token_mgmt.quota, jsonb) FROM PUBLIC;

-- Nothing is written for a quota that is there and would stay as it is: no new version, no trace.
CREATE FUNCTION token_mgmt._load_quota(q jsonb, tenant text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM token_mgmt.quota o
        WHERE o.tenant = _load_quota.tenant AND o.scope = q ->> 'scope' AND o.value = q ->> 'value'
            AND o.metric = q ->> 'metric' AND o.period = q ->> 'period'
            AND token_mgmt._would_stay(o, q))
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt.set_quota(q ->> 'scope', q ->> 'value', q ->> 'period',
        (q ->> 'amount')::numeric, q ->> 'metric', q ->> 'time_zone', tenant,
        q - '{scope,value,metric,period,amount,time_zone}'::text[]);
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._load_quota(jsonb, text) IS
    'Sets a quota of a configuration, and says whether it was another before';
REVOKE ALL ON FUNCTION token_mgmt._load_quota(jsonb, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._load_agent(a jsonb, tenant text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM token_mgmt.agent o
        WHERE o.tenant = _load_agent.tenant AND o.agent = a ->> 'agent'
            AND to_jsonb(o) || a = to_jsonb(o))
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt.set_agent(a ->> 'agent', a - 'agent', tenant);
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._load_agent(jsonb, text) IS
    'Sets an agent of a configuration, and says whether it was another before';
REVOKE ALL ON FUNCTION token_mgmt._load_agent(jsonb, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._load_priority(priority text, share jsonb, tenant text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM token_mgmt.priority_share o
        WHERE o.tenant = _load_priority.tenant AND o.priority = _load_priority.priority
            AND to_jsonb(o.share) = _load_priority.share)
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt.set_priority_share(priority, (share #>> '{}')::numeric, tenant);
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._load_priority(text, jsonb, text) IS
    'Sets a priority''s share of a configuration, and says whether it was another before';
REVOKE ALL ON FUNCTION token_mgmt._load_priority(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._load_alert_rule(a jsonb, tenant text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    levels numeric[] := CASE WHEN a ? 'thresholds' THEN ARRAY(
        SELECT DISTINCT t::numeric FROM jsonb_array_elements_text(a -> 'thresholds') t
        ORDER BY 1) END;
    is_on boolean := a ->> 'is_enabled';
BEGIN
    IF EXISTS (
        SELECT FROM token_mgmt.alert_rule r
        WHERE r.tenant = a ->> 'tenant' AND r.kind = a ->> 'kind' AND r.scope = a ->> 'scope'
            AND r.value = a ->> 'value'
            -- What is not named stays.
            AND r.thresholds IS NOT DISTINCT FROM coalesce(levels, r.thresholds)
            AND r.is_enabled = coalesce(is_on, r.is_enabled))
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt.set_alert_rule(a ->> 'kind', levels, is_on, a ->> 'scope',
        a ->> 'value', tenant);
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._load_alert_rule(jsonb, text) IS
    'Sets an alert rule of a configuration, and says whether it was another before';
REVOKE ALL ON FUNCTION token_mgmt._load_alert_rule(jsonb, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._load_mute(m jsonb, tenant text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until timestamptz := m ->> 'until';
BEGIN
    IF until IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'until must not be null', NULL,
            'To end a mute use mute_alerts().');
    END IF;
    IF EXISTS (
        SELECT FROM token_mgmt.alert_mute o
        WHERE o.tenant = m ->> 'tenant' AND o.scope = m ->> 'scope' AND o.value = m ->> 'value'
            AND o.muted_until = until)
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt.mute_alerts(m ->> 'scope', m ->> 'value', until, tenant);
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._load_mute(jsonb, text) IS
    'Sets a mute of a configuration, and says whether it was another before. Errors: 22004';
REVOKE ALL ON FUNCTION token_mgmt._load_mute(jsonb, text) FROM PUBLIC;

-- A plan that was made while the tables were empty would read all of a tenant for each of the
-- thousands of entries that follow.
CREATE FUNCTION token_mgmt.load_config(config jsonb) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(config ->> 'tenant');
    entry record;
    body jsonb;
    names text[] := '{}';
    paths text[] := '{}';
    path text;
    changed integer := 0;
    message text;
    detail text;
    hint text;
    quota_keys constant text[] := '{scope,value,metric,period,amount,time_zone,kind,burst,anchor,'
        'carry_over,soft,cached_weight,increase,increase_until}';
    agent_keys constant text[] := ARRAY(
        SELECT k FROM jsonb_object_keys(to_jsonb(
            jsonb_populate_record(NULL::token_mgmt.agent, '{}'))) k WHERE k <> 'tenant');
BEGIN
    IF config IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'config must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._check_config('config', config, 'object',
            '{tenant,quotas,priorities,agents,alerts,mutes}'),
        token_mgmt._check_config('config.quotas', config -> 'quotas', 'array', NULL),
        token_mgmt._check_config('config.priorities', config -> 'priorities', 'object',
            '{high,medium,low}'),
        token_mgmt._check_config('config.agents', config -> 'agents', 'array', NULL),
        token_mgmt._check_config('config.alerts', config -> 'alerts', 'array', NULL),
        token_mgmt._check_config('config.mutes', config -> 'mutes', 'array', NULL);
    -- One load at a time: two in different orders would deadlock.
    PERFORM token_mgmt._lock_config(in_tenant);
    FOR entry IN
        SELECT * FROM token_mgmt._config_entries(config)
    LOOP
        path := NULL;
        IF entry.kind <> 'priority' THEN
            PERFORM token_mgmt._check_config(entry.path, entry.body, 'object', CASE entry.kind
                WHEN 'quota' THEN quota_keys WHEN 'agent' THEN agent_keys
                WHEN 'alert' THEN '{kind,scope,value,thresholds,is_enabled}'
                ELSE '{scope,value,until}' END);
        END IF;
        PERFORM token_mgmt._check_config(entry.path || '.thresholds',
            nullif(entry.body -> 'thresholds', 'null'), 'array', NULL);
        path := entry.path;
        body := token_mgmt._config_entry(entry.kind, entry.body, in_tenant);
        -- The kind of a quota does not tell it from others, that of an alert does.
        names := names || ARRAY[entry.kind, entry.name, body ->> 'agent', body ->> 'scope',
            body ->> 'value', body ->> 'metric', body ->> 'period',
            CASE entry.kind WHEN 'alert' THEN body ->> 'kind' END]::text;
        paths := paths || path;
        changed := changed + CASE entry.kind
            WHEN 'quota' THEN token_mgmt._load_quota(body, in_tenant)
            WHEN 'agent' THEN token_mgmt._load_agent(body, in_tenant)
            WHEN 'alert' THEN token_mgmt._load_alert_rule(body, in_tenant)
            WHEN 'mute' THEN token_mgmt._load_mute(body, in_tenant)
            ELSE token_mgmt._load_priority(entry.name, body, in_tenant) END::integer;
    END LOOP;
    path := NULL;
    PERFORM token_mgmt._check_named_once(names, paths);
    RETURN changed;
EXCEPTION
    -- The function that found it does not know where it is.
    WHEN data_exception OR undefined_object OR ambiguous_function OR insufficient_privilege THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
            hint = PG_EXCEPTION_HINT;
        -- Where there was none, these are empty.
        PERFORM token_mgmt._raise(SQLSTATE, message,
            nullif(CASE WHEN path IS NULL THEN detail
                ELSE trim(format('In %s. %s', path, detail)) END, ''),
            nullif(hint, ''));
END
$$;
COMMENT ON FUNCTION token_mgmt.load_config(jsonb) IS
    'Sets the quotas, priority shares, agents, alert rules and mutes of a configuration (see '
    'dump_config()), all or nothing, and says how many of them changed. What the configuration '
    'does not name stays. Errors: 22004, 22023, 42501, 42704, each with its path';
REVOKE ALL ON FUNCTION token_mgmt.load_config(jsonb) FROM PUBLIC;
