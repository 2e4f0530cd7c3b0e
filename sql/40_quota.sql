CREATE TABLE token_mgmt.quota (
    tenant text NOT NULL,
    quota_id bigint GENERATED ALWAYS AS IDENTITY,
    scope text NOT NULL,
    value text NOT NULL,
    metric text NOT NULL DEFAULT 'tokens',
    period text NOT NULL,
    amount numeric NOT NULL,
    time_zone text NOT NULL DEFAULT 'UTC',
    version bigint NOT NULL DEFAULT 1,
    removed_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT quota_pkey PRIMARY KEY (tenant, quota_id),
    CONSTRAINT quota_key UNIQUE (tenant, scope, value, metric, period),
    CONSTRAINT quota_scope_is_known CHECK (
        scope IN ('user', 'api_key', 'team', 'session', 'agent', 'model', 'endpoint', 'tenant')
    ),
    CONSTRAINT quota_metric_is_known CHECK (metric IN ('tokens')),
    CONSTRAINT quota_period_is_known CHECK (
        period IN ('second', 'minute', 'hour', 'day', 'week', 'month', 'year', 'total')
    ),
    CONSTRAINT quota_amount_is_a_count CHECK (amount >= 0 AND amount <= 1e15)
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota', '');
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota_quota_id_seq', '');
COMMENT ON TABLE token_mgmt.quota IS
    'Limits: at most amount of metric for each period, for one value of a scope or, with value *, '
    'for each of its values. Written by token_mgmt.set_quota()';
COMMENT ON COLUMN token_mgmt.quota.value IS
    'The user, team and so on that is limited, a model as provider/model; * is each one of them';
COMMENT ON COLUMN token_mgmt.quota.amount IS 'Limit of one period, in tokens';
COMMENT ON COLUMN token_mgmt.quota.time_zone IS 'Zone in which calendar periods start';
COMMENT ON COLUMN token_mgmt.quota.version IS
    'Raised by each change; a period row with an older one is adjusted by the next call that '
    'meets it';
COMMENT ON COLUMN token_mgmt.quota.removed_until IS
    'No period before this instant is opened any more: its row, spent or not, has been removed';
REVOKE ALL ON token_mgmt.quota FROM PUBLIC;

CREATE TABLE token_mgmt.priority_share (
    tenant text NOT NULL,
    priority text NOT NULL,
    share numeric NOT NULL,
    CONSTRAINT priority_share_pkey PRIMARY KEY (tenant, priority),
    CONSTRAINT priority_share_is_known CHECK (priority IN ('high', 'medium', 'low')),
    CONSTRAINT priority_share_is_a_fraction CHECK (share > 0 AND share <= 1)
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.priority_share', '');
COMMENT ON TABLE token_mgmt.priority_share IS
    'The share of what remains in a quota that one request of a priority may hold, where it is not '
    'the shipped one: high 0.5, medium 0.3, low 0.2';
REVOKE ALL ON token_mgmt.priority_share FROM PUBLIC;

CREATE FUNCTION token_mgmt._tenant(tenant text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN coalesce(tenant, nullif(token_mgmt._setting('tenant'), ''), 'default');
END
$$;
COMMENT ON FUNCTION token_mgmt._tenant(text) IS
    'The argument, else setting token_mgmt.tenant if not empty, else default';

CREATE FUNCTION token_mgmt._priority_share(tenant text, priority text) RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    IF priority IS NULL THEN
        RETURN 1;
    END IF;
    RETURN coalesce(
        (SELECT s.share FROM token_mgmt.priority_share s
         WHERE s.tenant = _priority_share.tenant AND s.priority = _priority_share.priority),
        CASE priority WHEN 'high' THEN 0.5 WHEN 'medium' THEN 0.3 ELSE 0.2 END);
END
$$;
COMMENT ON FUNCTION token_mgmt._priority_share(text, text) IS
    'Share of what remains that one request of this priority may hold; 1 without a priority';
REVOKE ALL ON FUNCTION token_mgmt._priority_share(text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_identity(what text, value text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF value IS NULL THEN
        RETURN;
    END IF;
    IF value = '*' OR value = '' OR length(value) > 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s is not a valid name', what),
            DETAIL = CASE WHEN value = '*' THEN 'The value "*" stands for every one in a quota.'
                WHEN value = '' THEN 'The value is empty.'
                ELSE format('The value has %s characters.', length(value)) END,
            HINT = 'Use a name of 1 to 255 characters other than "*".';
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_identity(text, text) IS
    'Refuses (22023) an empty name, one of over 255 characters, and *';

CREATE FUNCTION token_mgmt._is_time_zone(name text) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Of the names without a region some are abbreviations too, and what these mean is a setting of
    -- each session. The list of all names is read from many files: not twice for the same zone.
    RETURN name = 'UTC' OR (name ~ '/' AND (
        EXISTS (SELECT FROM token_mgmt.quota q WHERE q.time_zone = name)
        OR EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = _is_time_zone.name)));
END
$$;
COMMENT ON FUNCTION token_mgmt._is_time_zone(text) IS
    'Whether the name is UTC, or one of a region that PostgreSQL knows';
REVOKE ALL ON FUNCTION token_mgmt._is_time_zone(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.set_quota(
    scope text, value text, period text, amount numeric, metric text DEFAULT 'tokens',
    time_zone text DEFAULT NULL, tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.quota
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(set_quota.tenant);
    of_value text := set_quota.value;
    result token_mgmt.quota;
    missing text := CASE WHEN scope IS NULL THEN 'scope' WHEN value IS NULL THEN 'value'
        WHEN period IS NULL THEN 'period' WHEN amount IS NULL THEN 'amount'
        WHEN metric IS NULL THEN 'metric' END;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', missing || ' must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_object('options', options, '{}');
    PERFORM token_mgmt._check_identity('tenant', in_tenant);
    IF scope NOT IN
        ('user', 'api_key', 'team', 'session', 'agent', 'model', 'endpoint', 'tenant')
    THEN
        PERFORM token_mgmt._raise('22023', format('unknown scope "%s"', scope),
            'Scopes are user, api_key, team, session, agent, model, endpoint and tenant.', NULL);
    END IF;
    IF period NOT IN ('second', 'minute', 'hour', 'day', 'week', 'month', 'year', 'total') THEN
        PERFORM token_mgmt._raise('22023', format('unknown period "%s"', period),
            'Periods are second, minute, hour, day, week, month, year and total.', NULL);
    END IF;
    IF metric <> 'tokens' THEN
        PERFORM token_mgmt._raise('22023', format('unknown metric "%s"', metric),
            'The metric of a quota is tokens.', NULL);
    END IF;
    IF NOT (amount >= 0 AND amount <= 1e15 AND amount = trunc(amount)) THEN
        PERFORM token_mgmt._raise('22023', 'amount is not a number of tokens',
            format('Found %s.', amount),
            'Give a whole number from 0 to 1000000000000000; 0 refuses every request.');
    END IF;
    IF NOT token_mgmt._is_time_zone(time_zone) THEN
        PERFORM token_mgmt._raise('22023', format('unknown time zone "%s"', time_zone), NULL,
            'Use UTC or a name of pg_timezone_names with a region, such as Europe/Berlin.');
    END IF;
    IF value <> '*' THEN
        PERFORM token_mgmt._check_identity('value', value);
        IF scope = 'model' THEN
            SELECT m.provider || '/' || m.model INTO of_value
            FROM token_mgmt._resolve_model(value) m;
        ELSIF scope = 'tenant' AND value <> in_tenant THEN
            PERFORM token_mgmt._raise('22023', 'a tenant''s quota belongs to that tenant',
                format('The value is "%s", the tenant "%s".', value, in_tenant),
                'Pass the same name as value and tenant.');
        END IF;
    END IF;
    INSERT INTO token_mgmt.quota AS q (tenant, scope, value, metric, period, amount, time_zone)
    VALUES (in_tenant, set_quota.scope, of_value, set_quota.metric, set_quota.period,
        set_quota.amount, coalesce(set_quota.time_zone, 'UTC'))
    ON CONFLICT ON CONSTRAINT quota_key DO UPDATE
        SET amount = excluded.amount,
            time_zone = coalesce(set_quota.time_zone, q.time_zone),
            version = q.version + 1,
            updated_at = clock_timestamp()
    RETURNING * INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt.set_quota(text, text, text, numeric, text, text, text, jsonb) IS
    'Sets the limit of a scope''s value (* is each one) for each period, in tokens; changes it '
    'when it is there. time_zone NULL keeps the zone, UTC at first. Errors: 22004, 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt.set_quota(text, text, text, numeric, text, text, text, jsonb)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt.drop_quota(
    scope text, value text, period text, metric text DEFAULT 'tokens', tenant text DEFAULT NULL
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_value text := value;
BEGIN
    IF scope = 'model' AND value <> '*' THEN
        SELECT m.provider || '/' || m.model INTO of_value FROM token_mgmt._resolve_model(value) m;
    END IF;
    DELETE FROM token_mgmt.quota q
    WHERE q.tenant = token_mgmt._tenant(drop_quota.tenant) AND q.scope = drop_quota.scope
        AND q.value = of_value AND q.metric = drop_quota.metric
        AND q.period = drop_quota.period;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION token_mgmt.drop_quota(text, text, text, text, text) IS
    'Removes a limit and says whether it was there; reservations that hold under it settle as ever';
REVOKE ALL ON FUNCTION token_mgmt.drop_quota(text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.set_priority_share(
    priority text, share numeric, tenant text DEFAULT NULL
) RETURNS token_mgmt.priority_share
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result token_mgmt.priority_share;
BEGIN
    IF priority IS NULL OR share IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'priority and share must not be null', NULL, NULL);
    END IF;
    IF priority NOT IN ('high', 'medium', 'low') THEN
        PERFORM token_mgmt._raise('22023', format('unknown priority "%s"', priority),
            'Priorities are high, medium and low.', NULL);
    END IF;
    IF NOT (share > 0 AND share <= 1) THEN
        PERFORM token_mgmt._raise('22023', 'share is not a fraction', format('Found %s.', share),
            'Give a number above 0 and at most 1.');
    END IF;
    PERFORM token_mgmt._check_identity('tenant', tenant);
    INSERT INTO token_mgmt.priority_share AS s (tenant, priority, share)
    VALUES (token_mgmt._tenant(set_priority_share.tenant), set_priority_share.priority,
        set_priority_share.share)
    ON CONFLICT ON CONSTRAINT priority_share_pkey DO UPDATE SET share = excluded.share
    RETURNING * INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt.set_priority_share(text, numeric, text) IS
    'Sets the share of what remains in each quota that one request of this priority may hold';
REVOKE ALL ON FUNCTION token_mgmt.set_priority_share(text, numeric, text) FROM PUBLIC;
