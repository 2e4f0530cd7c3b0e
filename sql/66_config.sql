CREATE FUNCTION token_mgmt._quota_config(q token_mgmt.quota) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
    SELECT jsonb_build_object('scope', q.scope, 'value', q.value, 'metric', q.metric,
        'period', q.period, 'amount', q.amount, 'time_zone', q.time_zone, 'kind', q.kind,
        'burst', q.burst, 'anchor', q.anchor, 'carry_over', q.carry_over, 'soft', q.is_soft,
        'cached_weight', q.cached_weight, 'increase', q.increase,
        'increase_until', q.increase_until)
$$;
COMMENT ON FUNCTION token_mgmt._quota_config(token_mgmt.quota) IS
    'A quota as load_config() takes it: the arguments and options of set_quota()';
REVOKE ALL ON FUNCTION token_mgmt._quota_config(token_mgmt.quota) FROM PUBLIC;

CREATE FUNCTION token_mgmt.dump_config(tenant text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(tenant);
BEGIN
    PERFORM token_mgmt._check_access(in_tenant, NULL, 'admin');
    RETURN jsonb_build_object(
        'tenant', in_tenant,
        'quotas', (
            SELECT coalesce(jsonb_agg(token_mgmt._quota_config(q)
                ORDER BY q.scope, q.value, q.metric, q.period), '[]')
            FROM token_mgmt.quota q WHERE q.tenant = in_tenant),
        'priorities', (
            SELECT coalesce(jsonb_object_agg(p.priority, p.share), '{}')
            FROM token_mgmt.priority_share p WHERE p.tenant = in_tenant),
        'agents', (
            SELECT coalesce(jsonb_agg(to_jsonb(a) - 'tenant' ORDER BY a.agent), '[]')
            FROM token_mgmt.agent a WHERE a.tenant = in_tenant));
END
$$;
COMMENT ON FUNCTION token_mgmt.dump_config(text) IS
    'A tenant''s quotas, priority shares and agents of its own, as load_config() takes them. Not '
    'STRICT: a NULL tenant is the session''s';
REVOKE ALL ON FUNCTION token_mgmt.dump_config(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_config(path text, object jsonb, type text, known text[])
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    IF jsonb_typeof(object) <> type THEN
        PERFORM token_mgmt._raise('22023',
            format('%s is not a JSON %s', path, type),
            format('Found a JSON %s.', jsonb_typeof(object)),
            'See token_mgmt.dump_config() for what a configuration looks like.');
    END IF;
    IF type = 'object' THEN
        SELECT k INTO unknown FROM jsonb_object_keys(object) k
        WHERE k <> ALL (known) ORDER BY k LIMIT 1;
        IF FOUND THEN
            PERFORM token_mgmt._raise('22023', format('unknown key "%s.%s"', path, unknown),
                format('Known keys are %s.', array_to_string(known, ', ')),
                'Check the spelling, or leave the key out.');
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_config(text, jsonb, text, text[]) IS
    'Refuses (22023) what is not of this JSON type at this path, or has an unknown key; NULL '
    'passes';
REVOKE ALL ON FUNCTION token_mgmt._check_config(text, jsonb, text, text[]) FROM PUBLIC;

-- Nothing is written for a quota that is there and would stay as it is: no new version, no trace.
CREATE FUNCTION token_mgmt._load_quota(q jsonb, tenant text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM token_mgmt.quota o
        WHERE o.tenant = _load_quota.tenant AND o.scope = q ->> 'scope' AND o.value = q ->> 'value'
            AND o.metric = coalesce(q ->> 'metric', 'tokens') AND o.period = q ->> 'period'
            AND token_mgmt._quota_config(o) || q = token_mgmt._quota_config(o))
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt.set_quota(q ->> 'scope', q ->> 'value', q ->> 'period',
        (q ->> 'amount')::numeric, coalesce(q ->> 'metric', 'tokens'), q ->> 'time_zone', tenant,
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

CREATE FUNCTION token_mgmt.load_config(config jsonb) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(config ->> 'tenant');
    entry record;
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
            '{tenant,quotas,priorities,agents}'),
        token_mgmt._check_config('config.quotas', config -> 'quotas', 'array', NULL),
        token_mgmt._check_config('config.priorities', config -> 'priorities', 'object',
            '{high,medium,low}'),
        token_mgmt._check_config('config.agents', config -> 'agents', 'array', NULL);
    -- One load at a time: two in different orders would deadlock.
    LOCK TABLE token_mgmt.quota IN SHARE ROW EXCLUSIVE MODE;
    FOR entry IN
        SELECT format('config.quotas[%s]', i - 1) AS path, 'quota' AS kind, e AS body,
            NULL AS name
        FROM jsonb_array_elements(config -> 'quotas') WITH ORDINALITY u (e, i)
        UNION ALL
        SELECT format('config.agents[%s]', i - 1), 'agent', e, NULL
        FROM jsonb_array_elements(config -> 'agents') WITH ORDINALITY u (e, i)
        UNION ALL
        SELECT format('config.priorities.%s', k), 'priority', e, k
        FROM jsonb_each(config -> 'priorities') u (k, e)
    LOOP
        path := NULL;
        IF entry.kind <> 'priority' THEN
            PERFORM token_mgmt._check_config(entry.path, entry.body, 'object',
                CASE entry.kind WHEN 'quota' THEN quota_keys ELSE agent_keys END);
        END IF;
        path := entry.path;
        changed := changed + CASE entry.kind
            WHEN 'quota' THEN token_mgmt._load_quota(entry.body, in_tenant)
            WHEN 'agent' THEN token_mgmt._load_agent(entry.body, in_tenant)
            ELSE token_mgmt._load_priority(entry.name, entry.body, in_tenant) END::integer;
    END LOOP;
    RETURN changed;
EXCEPTION
    -- The function that found it does not know where it is.
    WHEN data_exception OR undefined_object OR ambiguous_function THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
            hint = PG_EXCEPTION_HINT;
        PERFORM token_mgmt._raise(SQLSTATE, message, CASE WHEN path IS NULL THEN detail
            ELSE trim(format('In %s. %s', path, detail)) END, hint);
END
$$;
COMMENT ON FUNCTION token_mgmt.load_config(jsonb) IS
    'Sets the quotas, priority shares and agents of a configuration (see dump_config()), all or '
    'nothing, and says how many of them changed. What the configuration does not name stays. '
    'Errors: 22004, 22023, 42704, each with its path';
REVOKE ALL ON FUNCTION token_mgmt.load_config(jsonb) FROM PUBLIC;
