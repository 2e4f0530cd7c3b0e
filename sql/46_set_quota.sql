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


CREATE FUNCTION token_mgmt._period_name(period text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET intervalstyle = 'postgres'
AS $$
DECLARE
    step interval;
    months integer;
BEGIN
    IF period IN ('second', 'minute', 'hour', 'day', 'week', 'month', 'year', 'total') THEN
        RETURN period;
    END IF;
    step := period::interval;
    months := extract(year FROM step) * 12 + extract(month FROM step);
    IF (months <> 0)::integer + (extract(day FROM step) <> 0)::integer
        + (step - make_interval(months => months, days => extract(day FROM step)::integer)
            <> interval '0')::integer <> 1
        OR step < interval '1 second' OR step > interval '100 years'
    THEN
        RETURN NULL;
    END IF;
    RETURN CASE step::text WHEN '00:00:01' THEN 'second' WHEN '00:01:00' THEN 'minute'
        WHEN '01:00:00' THEN 'hour' WHEN '1 day' THEN 'day' WHEN '1 mon' THEN 'month'
        WHEN '1 year' THEN 'year' ELSE step::text END;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION token_mgmt._period_name(text) IS
    'The one name of a period: of the calendar, else an interval of months, days or time as '
    'PostgreSQL writes it; NULL for what is none';
REVOKE ALL ON FUNCTION token_mgmt._period_name(text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._quota_value(scope text, value text, tenant text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF scope NOT IN
        ('user', 'api_key', 'team', 'session', 'agent', 'model', 'endpoint', 'tenant')
    THEN
        PERFORM token_mgmt._raise('22023', format('unknown scope "%s"', scope),
            'Scopes are user, api_key, team, session, agent, model, endpoint and tenant.', NULL);
    END IF;
    IF value = '*' THEN
        RETURN value;
    END IF;
    PERFORM token_mgmt._check_identity('value', value);
    IF scope = 'model' THEN
        RETURN (SELECT m.provider || '/' || m.model FROM token_mgmt._resolve_model(value) m);
    ELSIF scope = 'api_key' AND token_mgmt._is_secret(value) THEN
        PERFORM token_mgmt._raise('22023', 'value of an api_key quota looks like a key', NULL,
            'Use the key''s name.');
    ELSIF scope = 'tenant' AND value <> tenant THEN
        PERFORM token_mgmt._raise('22023', 'a tenant''s quota belongs to that tenant',
            format('The value is "%s", the tenant "%s".', value, tenant),
            'Pass the same name as value and tenant.');
    END IF;
    RETURN value;
END
$$;
COMMENT ON FUNCTION token_mgmt._quota_value(text, text, text) IS
    'The value as quotas keep it: a model as provider/model. Errors: 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt._quota_value(text, text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_amount(what text, amount numeric, metric text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    -- NaN and Infinity sort above every number.
    IF NOT (amount >= 0 AND amount <= 1e15
        AND amount = trunc(amount, CASE metric WHEN 'cost' THEN 9 ELSE 0 END))
    THEN
        PERFORM token_mgmt._raise('22023',
            format('%s is not %s', what, CASE metric WHEN 'cost' THEN 'an amount of USD'
                WHEN 'requests' THEN 'a number of requests' ELSE 'a number of tokens' END),
            format('Found %s.', amount), CASE metric
                WHEN 'cost' THEN 'Give USD from 0 to 1000000000000000, with at most 9 decimals.'
                ELSE 'Give a whole number from 0 to 1000000000000000; 0 refuses every request.'
            END);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_amount(text, numeric, text) IS
    'Refuses (22023) what is no amount of the metric; NULL passes';
REVOKE ALL ON FUNCTION token_mgmt._check_amount(text, numeric, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._quota_option(options jsonb, key text, kept text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN options ? key THEN options ->> key ELSE kept END
$$;
COMMENT ON FUNCTION token_mgmt._quota_option(jsonb, text, text) IS
    'The option where it is given (null: the default), else what was there';

CREATE FUNCTION token_mgmt._check_quota(q token_mgmt.quota) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    PERFORM token_mgmt._check_amount('amount', q.amount, q.metric),
        token_mgmt._check_amount('burst', q.burst, q.metric),
        token_mgmt._check_amount('carry_over', q.carry_over, q.metric),
        token_mgmt._check_amount('increase', q.increase, q.metric);
    problem := CASE
        WHEN q.kind NOT IN ('fixed', 'sliding', 'bucket')
            THEN format('Kind "%s" is not fixed, sliding or bucket.', q.kind)
        WHEN q.kind <> 'fixed' AND q.length IS NULL THEN format(
            'A %s has no fixed length, which kind "%s" needs.', q.period, q.kind)
        WHEN q.kind <> 'fixed' AND (q.anchor IS NOT NULL OR q.carry_over > 0)
            THEN 'Options anchor and carry_over are for kind "fixed".'
        WHEN q.period = 'total' AND (q.anchor IS NOT NULL OR q.carry_over > 0)
            THEN 'A total has no start and nothing comes after it.'
        WHEN q.burst = 0 OR q.kind = 'bucket' AND q.amount = 0
            THEN 'A bucket needs room and an inflow.'
        WHEN NOT (q.cached_weight >= 0 AND q.cached_weight <= 1)
            THEN format('cached_weight %s is not between 0 and 1.', q.cached_weight)
        WHEN q.cached_weight < 1 AND q.metric <> 'tokens'
            THEN 'cached_weight is for quotas of tokens.'
        WHEN (q.increase IS NULL) <> (q.increase_until IS NULL)
            THEN 'increase and increase_until go together.'
        WHEN NOT isfinite(q.increase_until) OR NOT isfinite(q.anchor)
            THEN 'An instant is infinite.'
        WHEN q.anchor NOT BETWEEN timestamp '1900-01-01' AND timestamp '2200-01-01'
            THEN 'anchor is not between 1900 and 2200.'
    END;
    IF problem IS NOT NULL THEN
        PERFORM token_mgmt._raise('22023', 'options do not go with this quota', problem,
            'See docs/quotas.md for what each kind of quota takes.');
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_quota(token_mgmt.quota) IS
    'Refuses (22023) a quota whose parts do not go together';
REVOKE ALL ON FUNCTION token_mgmt._check_quota(token_mgmt.quota) FROM PUBLIC;

CREATE FUNCTION token_mgmt._trace_quota(
    action text, before token_mgmt.quota, after token_mgmt.quota
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO token_mgmt.quota_change (tenant, quota_id, action, before, after, changed_by)
    VALUES (coalesce(after.tenant, before.tenant), coalesce(after.quota_id, before.quota_id),
        -- A row that was not found is one of nulls.
        action, nullif(jsonb_strip_nulls(to_jsonb(before)), '{}'),
        nullif(jsonb_strip_nulls(to_jsonb(after)), '{}'),
        pg_get_userbyid(token_mgmt._caller()));
END
$$;
COMMENT ON FUNCTION token_mgmt._trace_quota(text, token_mgmt.quota, token_mgmt.quota) IS
    'Leaves a trace of a change';
REVOKE ALL ON FUNCTION token_mgmt._trace_quota(text, token_mgmt.quota, token_mgmt.quota)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._remove_quota(q token_mgmt.quota) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM token_mgmt.quota o WHERE o.tenant = q.tenant AND o.quota_id = q.quota_id;
    INSERT INTO token_mgmt.dropped_quota (tenant, quota_id) VALUES (q.tenant, q.quota_id);
END
$$;
COMMENT ON FUNCTION token_mgmt._remove_quota(token_mgmt.quota) IS
    'Removes a quota; its periods are the worker''s to remove, once nothing can touch them';
REVOKE ALL ON FUNCTION token_mgmt._remove_quota(token_mgmt.quota) FROM PUBLIC;

CREATE FUNCTION token_mgmt.set_quota(
    scope text, value text, period text, amount numeric, metric text DEFAULT 'tokens',
    time_zone text DEFAULT NULL, tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.quota
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(set_quota.tenant);
    before token_mgmt.quota;
    q token_mgmt.quota;
    is_other_rate boolean;
    missing text := CASE WHEN scope IS NULL THEN 'scope' WHEN value IS NULL THEN 'value'
        WHEN period IS NULL THEN 'period' WHEN amount IS NULL THEN 'amount'
        WHEN metric IS NULL THEN 'metric' END;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', missing || ' must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_object('options', options, ARRAY['kind', 'burst', 'anchor',
            'carry_over', 'soft', 'cached_weight', 'increase', 'increase_until']),
        token_mgmt._check_identity('tenant', in_tenant),
        token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._lock_config(in_tenant);
    IF metric NOT IN ('tokens', 'cost', 'requests') THEN
        PERFORM token_mgmt._raise('22023', format('unknown metric "%s"', metric),
            'Metrics are tokens, cost and requests.', NULL);
    END IF;
    IF NOT token_mgmt._is_time_zone(time_zone) THEN
        PERFORM token_mgmt._raise('22023', format('unknown time zone "%s"', time_zone), NULL,
            'Use UTC or a name of pg_timezone_names with a region, such as Europe/Berlin.');
    END IF;
    q.period := token_mgmt._period_name(period);
    IF q.period IS NULL THEN
        PERFORM token_mgmt._raise('22023', format('unknown period "%s"', period),
            'Periods are second, minute, hour, day, week, month, year and total, or an interval '
            'of months, days or time alone, from 1 second to 100 years.', NULL);
    END IF;
    q.value := token_mgmt._quota_value(scope, value, in_tenant);
    SELECT o.* INTO before FROM token_mgmt.quota o
    WHERE o.tenant = in_tenant AND o.scope = set_quota.scope AND o.value = q.value
        AND o.metric = set_quota.metric AND o.period = q.period
    FOR UPDATE;

    q.tenant := in_tenant;
    q.scope := scope;
    q.metric := metric;
    q.amount := amount;
    q.time_zone := coalesce(time_zone, before.time_zone, 'UTC');
    BEGIN
        q.kind := coalesce(token_mgmt._quota_option(options, 'kind', before.kind), 'fixed');
        q.anchor := token_mgmt._local_time('anchor',
            token_mgmt._quota_option(options, 'anchor', to_jsonb(before) ->> 'anchor'));
        q.carry_over := coalesce(
            token_mgmt._quota_option(options, 'carry_over', before.carry_over::text), '0');
        q.is_soft := coalesce(
            token_mgmt._quota_option(options, 'soft', before.is_soft::text), 'false');
        q.cached_weight := coalesce(
            token_mgmt._quota_option(options, 'cached_weight', before.cached_weight::text), '1');
        q.increase := token_mgmt._quota_option(options, 'increase', before.increase::text);
        q.increase_until :=
            token_mgmt._quota_option(options, 'increase_until',
                to_jsonb(before) ->> 'increase_until');
        IF q.kind = 'bucket' THEN
            q.burst := token_mgmt._quota_option(options, 'burst', before.burst::text);
        ELSIF options ->> 'burst' IS NOT NULL THEN
            PERFORM token_mgmt._raise('22023', 'options do not go with this quota',
                'Only a bucket has a burst.', 'Add "kind": "bucket".');
        END IF;
    EXCEPTION WHEN invalid_text_representation OR invalid_datetime_format
        OR datetime_field_overflow OR numeric_value_out_of_range
        OR invalid_time_zone_displacement_value
    THEN
        PERFORM token_mgmt._raise('22023', 'an option has a value of the wrong type', SQLERRM,
            'burst, carry_over, cached_weight and increase are numbers, soft is true or false, '
            'anchor is a timestamp, increase_until a timestamp with time zone.');
    END;
    IF q.kind <> 'fixed' AND q.period NOT IN ('month', 'year', 'total') THEN
        q.length := CASE WHEN q.period IN ('second', 'minute', 'hour', 'day', 'week')
            THEN ('1 ' || q.period)::interval ELSE q.period::interval END;
        -- In hours: a day more is 23 to 25 of them, as the zone of each session has it.
        q.length := CASE WHEN extract(year FROM q.length) * 12 + extract(month FROM q.length) = 0
            THEN make_interval(secs => extract(epoch FROM q.length)) END;
        IF q.kind = 'sliding' THEN
            -- Of 60 parts of whole microseconds.
            q.length := 60 * make_interval(secs =>
                ceil(extract(epoch FROM q.length) * 1000000 / 60) / 1000000);
        END IF;
    END IF;
    PERFORM token_mgmt._check_quota(q);
    IF token_mgmt._quota_config(before) = token_mgmt._quota_config(q) THEN
        RETURN before;
    END IF;
    IF before.kind <> q.kind THEN
        -- Periods of different kinds would meet in one row.
        PERFORM token_mgmt._remove_quota(before);
    END IF;
    is_other_rate := q.kind = 'bucket' AND q.amount <> before.amount;
    -- Two versions at a time: an increase that ends counts as a change of its own.
    INSERT INTO token_mgmt.quota AS o (tenant, scope, value, metric, period, amount, time_zone,
        anchor, kind, length, burst, carry_over, is_soft, cached_weight, increase, increase_until)
    VALUES (q.tenant, q.scope, q.value, q.metric, q.period, q.amount, q.time_zone, q.anchor, q.kind,
        q.length, q.burst, q.carry_over, q.is_soft, q.cached_weight, q.increase, q.increase_until)
    ON CONFLICT ON CONSTRAINT quota_key DO UPDATE
        SET amount = excluded.amount, time_zone = excluded.time_zone, anchor = excluded.anchor,
            kind = excluded.kind, length = excluded.length, burst = excluded.burst,
            carry_over = excluded.carry_over, is_soft = excluded.is_soft,
            cached_weight = excluded.cached_weight, increase = excluded.increase,
            increase_until = excluded.increase_until,
            slowest = CASE WHEN is_other_rate THEN least(o.slowest, o.amount) ELSE o.slowest END,
            fastest = CASE WHEN is_other_rate THEN greatest(o.fastest, o.amount) ELSE o.fastest END,
            rate_since = CASE WHEN is_other_rate THEN clock_timestamp() ELSE o.rate_since END,
            version = o.version + 2, updated_at = clock_timestamp()
    RETURNING * INTO q;
    IF q.kind = 'fixed' AND q.quota_id = before.quota_id
        AND (q.time_zone, q.anchor) IS DISTINCT FROM (before.time_zone, before.anchor)
    THEN
        -- A period that begins in both calendars goes on, and ends as the new one says.
        UPDATE token_mgmt.quota_period p SET ends_at = n.ends_at, closed_at = NULL
        FROM token_mgmt._period(q.period, q.time_zone, q.anchor, clock_timestamp()) n
        WHERE p.tenant = q.tenant AND p.quota_id = q.quota_id AND p.starts_at = n.starts_at
            AND p.ends_at <> n.ends_at;
    END IF;
    PERFORM token_mgmt._trace_quota('set', before, q);
    RETURN q;
END
$$;
COMMENT ON FUNCTION token_mgmt.set_quota(text, text, text, numeric, text, text, text, jsonb) IS
    'Sets the limit of a scope''s value (* is each one) for each period, in units of metric '
    '(tokens, cost in USD, requests); changes it when it is there. time_zone NULL and options left '
    'out keep what was there. Options: kind, burst, anchor, carry_over, soft, cached_weight, '
    'increase, increase_until. Errors: 22004, 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt.set_quota(text, text, text, numeric, text, text, text, jsonb)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt.drop_quota(
    scope text, value text, period text, metric text DEFAULT 'tokens', tenant text DEFAULT NULL
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(drop_quota.tenant);
    before token_mgmt.quota;
BEGIN
    PERFORM token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._lock_config(in_tenant);
    SELECT q.* INTO before FROM token_mgmt.quota q
    WHERE q.tenant = in_tenant AND q.scope = drop_quota.scope
        AND q.value = token_mgmt._quota_value(drop_quota.scope, drop_quota.value, in_tenant)
        AND q.metric = drop_quota.metric
        AND q.period = token_mgmt._period_name(drop_quota.period);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt._remove_quota(before),
        token_mgmt._trace_quota('drop', before, NULL);
    RETURN true;
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
    in_tenant text := token_mgmt._tenant(set_priority_share.tenant);
    before token_mgmt.priority_share;
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
    PERFORM token_mgmt._check_identity('tenant', tenant),
        token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._lock_config(in_tenant);
    SELECT s.* INTO before FROM token_mgmt.priority_share s
    WHERE s.tenant = in_tenant AND s.priority = set_priority_share.priority;
    INSERT INTO token_mgmt.priority_share AS s (tenant, priority, share)
    VALUES (in_tenant, set_priority_share.priority, set_priority_share.share)
    ON CONFLICT ON CONSTRAINT priority_share_pkey DO UPDATE SET share = excluded.share
    RETURNING * INTO result;
    PERFORM token_mgmt._trace_config(in_tenant, 'priority', priority, to_jsonb(before),
        to_jsonb(result));
    RETURN result;
END
$$;
COMMENT ON FUNCTION token_mgmt.set_priority_share(text, numeric, text) IS
    'Sets the share of what remains in each quota that one request of this priority may hold';
REVOKE ALL ON FUNCTION token_mgmt.set_priority_share(text, numeric, text) FROM PUBLIC;
