CREATE TABLE token_mgmt.alert_rule (
    tenant text NOT NULL,
    kind text NOT NULL,
    scope text NOT NULL,
    value text NOT NULL,
    thresholds numeric[],
    is_enabled boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT alert_rule_pkey PRIMARY KEY (tenant, kind, scope, value),
    CONSTRAINT alert_rule_kind_is_known CHECK (kind IN
        ('quota_threshold', 'usage_anomaly', 'key_expiring', 'job_failing', 'worker_silent')
    ),
    CONSTRAINT alert_rule_every_scope_is_every_value CHECK (scope <> '*' OR value = '*')
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.alert_rule', '');
COMMENT ON TABLE token_mgmt.alert_rule IS
    'When alerts are raised, where that is not as shipped. The most exact rule holds: that of the '
    'value, else that of the scope (value *), else that of scope *. Written by '
    'token_mgmt.set_alert_rule()';
COMMENT ON COLUMN token_mgmt.alert_rule.tenant IS 'Empty for jobs and the worker, who have none';
COMMENT ON COLUMN token_mgmt.alert_rule.thresholds IS
    'Each raises an alert of its own; NULL stands for the shipped ones. Fractions of a quota, '
    'ratios of used to expected, days before a key expires, failed runs in a row, seconds of '
    'silence';
REVOKE ALL ON token_mgmt.alert_rule FROM PUBLIC;

CREATE TABLE token_mgmt.alert_mute (
    tenant text NOT NULL,
    scope text NOT NULL,
    value text NOT NULL,
    muted_until timestamptz NOT NULL,
    CONSTRAINT alert_mute_pkey PRIMARY KEY (tenant, scope, value),
    CONSTRAINT alert_mute_every_scope_is_every_value CHECK (scope <> '*' OR value = '*')
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.alert_mute', '');
COMMENT ON TABLE token_mgmt.alert_mute IS
    'Values, and with * whole scopes, of which no alert is raised until then. Written by '
    'token_mgmt.mute_alerts()';
REVOKE ALL ON token_mgmt.alert_mute FROM PUBLIC;

CREATE FUNCTION token_mgmt._shipped_thresholds(kind text) RETURNS numeric[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT CASE kind
        WHEN 'quota_threshold' THEN '{0.8,0.9,1.0}'
        WHEN 'usage_anomaly' THEN '{1}'
        WHEN 'key_expiring' THEN '{7,1}'
        WHEN 'job_failing' THEN '{1}'
        WHEN 'worker_silent' THEN '{30}'
    END::numeric[]
$$;
COMMENT ON FUNCTION token_mgmt._shipped_thresholds(text) IS
    'Thresholds of a kind of alert where no rule says otherwise';
REVOKE ALL ON FUNCTION token_mgmt._shipped_thresholds(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._alert_thresholds(tenant text, kind text, scope text, value text)
    RETURNS numeric[]
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule record;
BEGIN
    IF EXISTS (
        SELECT FROM token_mgmt.alert_mute m
        WHERE m.tenant = _alert_thresholds.tenant
            AND m.scope IN (_alert_thresholds.scope, '*')
            AND m.value IN (_alert_thresholds.value, '*')
            AND m.muted_until > clock_timestamp())
    THEN
        RETURN '{}';
    END IF;
    SELECT r.thresholds, r.is_enabled INTO rule FROM token_mgmt.alert_rule r
    WHERE r.tenant = _alert_thresholds.tenant AND r.kind = _alert_thresholds.kind
        AND r.scope IN (_alert_thresholds.scope, '*') AND r.value IN (_alert_thresholds.value, '*')
    ORDER BY r.scope = '*', r.value = '*' LIMIT 1;
    IF rule.is_enabled IS FALSE THEN
        RETURN '{}';
    END IF;
    RETURN coalesce(rule.thresholds, token_mgmt._shipped_thresholds(kind));
END
$$;
COMMENT ON FUNCTION token_mgmt._alert_thresholds(text, text, text, text) IS
    'Thresholds that hold for this value now; none when its alerts are muted or turned off';
REVOKE ALL ON FUNCTION token_mgmt._alert_thresholds(text, text, text, text) FROM PUBLIC;

-- A job or the worker belongs to no tenant, which is the empty name: no tenant can have it.
CREATE FUNCTION token_mgmt._alert_target(INOUT tenant text, INOUT scope text, INOUT value text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF scope NOT IN ('user', 'api_key', 'team', 'session', 'agent', 'model', 'endpoint', 'tenant',
        'job', 'worker', '*')
    THEN
        PERFORM token_mgmt._raise('22023', format('unknown scope "%s"', scope),
            'Scopes of alerts are user, api_key, team, session, agent, model, endpoint, tenant, '
            'job, worker and * for all.', NULL);
    END IF;
    IF scope = '*' AND value <> '*' THEN
        PERFORM token_mgmt._raise('22023', 'every scope goes with every value',
            format('The scope is "*", the value "%s".', value), 'Name the scope of the value.');
    END IF;
    tenant := token_mgmt._tenant(tenant);
    PERFORM token_mgmt._check_identity('tenant', tenant);
    IF value <> '*' THEN
        PERFORM token_mgmt._check_identity('value', value);
        IF scope = 'model' THEN
            SELECT m.provider || '/' || m.model INTO value FROM token_mgmt._resolve_model(value) m;
        END IF;
    END IF;
    IF scope IN ('job', 'worker') THEN
        tenant := '';
    END IF;
    PERFORM token_mgmt._check_access(tenant, NULL, 'admin');
END
$$;
COMMENT ON FUNCTION token_mgmt._alert_target(text, text, text) IS
    'Whom a rule or mute is about, as alerts have it; refuses who may not set it. Not STRICT: a '
    'NULL tenant is the caller''s. Errors: 22023, 42501, 42704';
REVOKE ALL ON FUNCTION token_mgmt._alert_target(text, text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._rule_scope(kind text, scope text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN scope <> '*' THEN scope WHEN kind = 'job_failing' THEN 'job'
        WHEN kind = 'worker_silent' THEN 'worker' ELSE scope END
$$;
COMMENT ON FUNCTION token_mgmt._rule_scope(text, text) IS
    'What * means as the scope of a rule of this kind. Not STRICT: NULL stays';
REVOKE ALL ON FUNCTION token_mgmt._rule_scope(text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.set_alert_rule(
    kind text, thresholds numeric[] DEFAULT NULL, is_enabled boolean DEFAULT NULL,
    scope text DEFAULT '*', value text DEFAULT '*', tenant text DEFAULT NULL
) RETURNS token_mgmt.alert_rule
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record;
    before token_mgmt.alert_rule;
    result token_mgmt.alert_rule;
BEGIN
    IF kind IS NULL OR scope IS NULL OR value IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'kind, scope and value must not be null', NULL, NULL);
    END IF;
    IF token_mgmt._shipped_thresholds(kind) IS NULL THEN
        PERFORM token_mgmt._raise('22023', format('unknown kind of alert "%s"', kind),
            'Kinds are quota_threshold, usage_anomaly, key_expiring, job_failing and '
            'worker_silent.', NULL);
    END IF;
    IF cardinality(thresholds) NOT BETWEEN 1 AND 10 OR EXISTS (
        SELECT FROM unnest(thresholds) t WHERE t IS NULL OR NOT (t > 0 AND t <= 1e6))
    THEN
        PERFORM token_mgmt._raise('22023', 'thresholds are not 1 to 10 numbers above 0 and '
            'up to 1000000', format('Found %s.', thresholds),
            'To have no alerts, set is_enabled to false; for 80 % of a quota give 0.8.');
    END IF;
    target := token_mgmt._alert_target(tenant, token_mgmt._rule_scope(kind, scope), value);
    PERFORM token_mgmt._lock_config(target.tenant);
    SELECT r.* INTO before FROM token_mgmt.alert_rule r
    WHERE r.tenant = target.tenant AND r.kind = set_alert_rule.kind AND r.scope = target.scope
        AND r.value = target.value;
    INSERT INTO token_mgmt.alert_rule AS r (tenant, kind, scope, value, thresholds, is_enabled)
    VALUES (target.tenant, set_alert_rule.kind, target.scope, target.value,
        (SELECT array_agg(DISTINCT t ORDER BY t) FROM unnest(set_alert_rule.thresholds) t),
        coalesce(set_alert_rule.is_enabled, true))
    ON CONFLICT ON CONSTRAINT alert_rule_pkey DO UPDATE
        SET thresholds = coalesce(excluded.thresholds, r.thresholds),
            is_enabled = coalesce(set_alert_rule.is_enabled, r.is_enabled),
            updated_at = clock_timestamp()
    RETURNING * INTO result;
    PERFORM token_mgmt._trace_config(target.tenant, 'alert',
        concat_ws('/', kind, target.scope, target.value),
        to_jsonb(before) - 'updated_at', to_jsonb(result) - 'updated_at');
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt.set_alert_rule(text, numeric[], boolean, text, text, text) IS
    'Sets the thresholds of a kind of alert, or turns it off, for one value, a scope, or all of a '
    'tenant. Not STRICT: NULL thresholds and is_enabled stay as they are. Errors: 22004, 22023, '
    '42704';
REVOKE ALL ON FUNCTION token_mgmt.set_alert_rule(text, numeric[], boolean, text, text, text)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt.mute_alerts(
    scope text, value text, until timestamptz, tenant text DEFAULT NULL
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record;
    before token_mgmt.alert_mute;
    after token_mgmt.alert_mute;
BEGIN
    IF scope IS NULL OR value IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'scope and value must not be null', NULL,
            'To mute all alerts of a scope, give the value *.');
    END IF;
    target := token_mgmt._alert_target(tenant, scope, value);
    PERFORM token_mgmt._lock_config(target.tenant);
    SELECT m.* INTO before FROM token_mgmt.alert_mute m
    WHERE m.tenant = target.tenant AND m.scope = target.scope AND m.value = target.value;
    IF until IS NULL THEN
        DELETE FROM token_mgmt.alert_mute m
        WHERE m.tenant = target.tenant AND m.scope = target.scope AND m.value = target.value;
    ELSE
        INSERT INTO token_mgmt.alert_mute (tenant, scope, value, muted_until)
        VALUES (target.tenant, target.scope, target.value, until)
        ON CONFLICT ON CONSTRAINT alert_mute_pkey DO UPDATE SET muted_until = excluded.muted_until
        RETURNING * INTO after;
    END IF;
    PERFORM token_mgmt._trace_config(target.tenant, 'mute',
        concat_ws('/', target.scope, target.value), to_jsonb(before), to_jsonb(after));
    RETURN coalesce(until > clock_timestamp(), false);
END
$$;
COMMENT ON FUNCTION token_mgmt.mute_alerts(text, text, timestamptz, text) IS
    'Raises no alerts of a value (* is the whole scope) until then, infinity included, and says '
    'whether it is muted now. Not STRICT: until NULL ends it. Errors: 22004, 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt.mute_alerts(text, text, timestamptz, text) FROM PUBLIC;
