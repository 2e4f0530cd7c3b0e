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
    SET timezone = 'UTC'
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(tenant);
    -- Jobs and the worker are no tenant's: theirs is the empty name.
    alert_tenants text[] := ARRAY[in_tenant]
        || CASE WHEN token_mgmt._has_access('', NULL, 'admin') THEN ARRAY[''] END;
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
            FROM token_mgmt.agent a WHERE a.tenant = in_tenant),
        'alerts', (
            SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', r.kind,
                'scope', r.scope, 'value', r.value, 'thresholds', r.thresholds,
                'is_enabled', r.is_enabled)) ORDER BY r.kind, r.scope, r.value), '[]')
            FROM token_mgmt.alert_rule r WHERE r.tenant = ANY (alert_tenants)),
        'mutes', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('scope', m.scope, 'value', m.value,
                'until', m.muted_until) ORDER BY m.scope, m.value), '[]')
            FROM token_mgmt.alert_mute m
            WHERE m.tenant = ANY (alert_tenants) AND m.muted_until > clock_timestamp()));
END
$$;
COMMENT ON FUNCTION token_mgmt.dump_config(text) IS
    'A tenant''s quotas, priority shares, agents of its own, alert rules and mutes that last, as '
    'load_config() takes them; rules and mutes of jobs and the worker for an admin of all tenants. '
    'Not STRICT: a NULL tenant is the session''s. Errors: 42501';
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

CREATE FUNCTION token_mgmt._config_entries(
    config jsonb, OUT path text, OUT kind text, OUT body jsonb, OUT name text
) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('config.%s[%s]', l.key, i - 1), l.kind, e, NULL
    FROM (VALUES ('quotas', 'quota'), ('agents', 'agent'), ('alerts', 'alert'),
        ('mutes', 'mute')) l (key, kind)
    CROSS JOIN LATERAL jsonb_array_elements(config -> l.key) WITH ORDINALITY u (e, i)
    UNION ALL
    SELECT format('config.priorities.%s', k), 'priority', e, k
    FROM jsonb_each(config -> 'priorities') u (k, e)
$$;
COMMENT ON FUNCTION token_mgmt._config_entries(jsonb) IS
    'What a configuration is made of, each with where it is';
REVOKE ALL ON FUNCTION token_mgmt._config_entries(jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._config_entry(kind text, entry jsonb, tenant text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record;
BEGIN
    IF kind = 'quota' THEN
        RETURN entry || jsonb_build_object(
            'value', token_mgmt._quota_value(entry ->> 'scope', entry ->> 'value', tenant),
            'metric', coalesce(entry ->> 'metric', 'tokens'),
            'period', coalesce(token_mgmt._period_name(entry ->> 'period'), entry ->> 'period'));
    ELSIF kind IN ('alert', 'mute') THEN
        entry := jsonb_strip_nulls(entry);
        -- As set_alert_rule() has it; a mute has to name both.
        IF kind = 'alert' THEN
            entry := '{"scope": "*", "value": "*"}' || entry;
        END IF;
        target := token_mgmt._alert_target(tenant,
            token_mgmt._rule_scope(entry ->> 'kind', entry ->> 'scope'), entry ->> 'value');
        RETURN entry || to_jsonb(target);
    END IF;
    RETURN entry;
END
$$;
COMMENT ON FUNCTION token_mgmt._config_entry(text, jsonb, text) IS
    'An entry of a configuration with what it is about named as tables have it. Errors: 22023, '
    '42501, 42704';
REVOKE ALL ON FUNCTION token_mgmt._config_entry(text, jsonb, text) FROM PUBLIC;

-- All at once: to look for each among those before it would take a minute for 20,000 quotas.
CREATE FUNCTION token_mgmt._check_named_once(names text[], paths text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    again record;
BEGIN
    SELECT n.path, n.first_path INTO again
    FROM (
        SELECT u.i, u.path, first_value(u.path) OVER named AS first_path,
            row_number() OVER named AS times
        FROM unnest(names, paths) WITH ORDINALITY u (name, path, i)
        WINDOW named AS (PARTITION BY u.name ORDER BY u.i)
    ) n
    WHERE n.times > 1 ORDER BY n.i LIMIT 1;
    IF FOUND THEN
        PERFORM token_mgmt._raise('22023', 'configuration names one thing twice',
            format('In %s, as in %s.', again.path, again.first_path), 'Leave one of them out.');
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_named_once(text[], text[]) IS
    'Refuses (22023) a name that is there twice, with the path of the second';
REVOKE ALL ON FUNCTION token_mgmt._check_named_once(text[], text[]) FROM PUBLIC;
