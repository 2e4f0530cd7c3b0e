-- Locks the span of one value and gives back what is used in it. The sliding window's older parts
-- are locked after its newest: nobody else holds two of them.
CREATE FUNCTION token_mgmt._give_back(
    tenant text, quota_id bigint, scope_value text, OUT given numeric
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w token_mgmt._wanted;
    at timestamptz;
BEGIN
    LOOP
        SELECT q.* INTO w
        FROM token_mgmt._quota_wanted(tenant, quota_id, scope_value, clock_timestamp()) q;
        w := token_mgmt._locked_span(tenant, w);
        at := clock_timestamp();
        EXIT WHEN at < w.ends_at;
    END LOOP;
    -- A bucket may have been refilled for what is held, too.
    WITH span AS (
        SELECT p.tenant, p.quota_id, p.scope_value, p.starts_at, p.slot,
            CASE w.kind WHEN 'bucket' THEN greatest(p.used, token_mgmt._credit(p.used + p.held,
                p.credited, p.credited_at, w.inflow, at)) ELSE p.used END AS credit,
            p.used - CASE w.kind WHEN 'bucket' THEN token_mgmt._credit(p.used + p.held,
                p.credited, p.credited_at, w.inflow, at) ELSE p.credited END AS counted
        FROM token_mgmt.quota_period p
        WHERE p.tenant = _give_back.tenant AND p.quota_id = _give_back.quota_id
            AND p.scope_value = _give_back.scope_value
            AND CASE w.kind WHEN 'sliding' THEN p.starts_at > '-infinity'
                AND p.ends_at > w.starts_at ELSE p.starts_at = w.starts_at END
        FOR UPDATE
    ), credited AS (
        UPDATE token_mgmt.quota_period p
        SET credited = s.credit,
            credited_at = CASE w.kind WHEN 'bucket' THEN greatest(p.credited_at, at)
                ELSE p.credited_at END,
            reset_at = greatest(p.reset_at + interval '1 microsecond', at)
        FROM span s
        WHERE p.tenant = s.tenant AND p.quota_id = s.quota_id AND p.scope_value = s.scope_value
            AND p.starts_at = s.starts_at AND p.slot = s.slot
    )
    SELECT sum(s.counted) INTO given FROM span s;
    IF w.kind = 'fixed' THEN
        PERFORM token_mgmt._spread(tenant, quota_id, scope_value, w.starts_at, w.free + given,
            w.metric, 0, w.version);
    END IF;
    given := greatest(given, 0);
END
$$;
COMMENT ON FUNCTION token_mgmt._give_back(text, bigint, text) IS
    'Sets what one value of a quota used in its current period to not count any more, and says how '
    'much that was';
REVOKE ALL ON FUNCTION token_mgmt._give_back(text, bigint, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.reset_quota(
    scope text, value text, period text, metric text DEFAULT 'tokens', tenant text DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(reset_quota.tenant);
    q token_mgmt.quota;
    only_value text;
    scope_value text;
    given numeric := 0;
    periods integer := 0;
    missing text := CASE WHEN scope IS NULL THEN 'scope' WHEN value IS NULL THEN 'value'
        WHEN period IS NULL THEN 'period' WHEN metric IS NULL THEN 'metric' END;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', missing || ' must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_object('options', options, '{value}'),
        token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._lock_config(in_tenant);
    SELECT o.* INTO q FROM token_mgmt.quota o
    WHERE o.tenant = in_tenant AND o.scope = reset_quota.scope
        AND o.value = token_mgmt._quota_value(reset_quota.scope, reset_quota.value, in_tenant)
        AND o.metric = reset_quota.metric
        AND o.period = token_mgmt._period_name(reset_quota.period);
    IF NOT FOUND THEN
        PERFORM token_mgmt._raise('P0002', format('there is no such quota of %s "%s"',
            replace(scope, '_', ' '), value),
            format('Tenant "%s" has none of metric "%s" and period "%s".', in_tenant, metric,
                period), 'See token_mgmt.quota_status for those there are.');
    END IF;
    IF options ->> 'value' IS NOT NULL THEN
        IF q.value <> '*' THEN
            PERFORM token_mgmt._raise('22023', 'option value is for a quota of *',
                format('This is the quota of "%s" alone.', q.value), 'Leave the option out.');
        END IF;
        only_value := token_mgmt._quota_value(scope, options ->> 'value', in_tenant);
    END IF;
    FOR scope_value IN
        SELECT DISTINCT p.scope_value FROM token_mgmt.quota_period p
        WHERE p.tenant = q.tenant AND p.quota_id = q.quota_id AND p.used <> p.credited
            AND p.ends_at > clock_timestamp() AND coalesce(p.scope_value = only_value, true)
            -- One that has got a quota of its own is not of * any more.
            AND EXISTS (SELECT FROM token_mgmt._quota_wanted(q.tenant, q.quota_id, p.scope_value,
                clock_timestamp()))
        ORDER BY p.scope_value
    LOOP
        given := given + token_mgmt._give_back(q.tenant, q.quota_id, scope_value);
        periods := periods + 1;
    END LOOP;
    INSERT INTO token_mgmt.quota_change (tenant, quota_id, action, before, after, changed_by)
    VALUES (q.tenant, q.quota_id, 'reset', jsonb_strip_nulls(jsonb_build_object('scope', q.scope,
        'value', coalesce(only_value, q.value), 'metric', q.metric, 'period', q.period,
        'periods', periods, 'used', given)), '{"used": 0}',
        pg_get_userbyid(token_mgmt._caller()));
    RETURN periods;
END
$$;
COMMENT ON FUNCTION token_mgmt.reset_quota(text, text, text, text, text, jsonb) IS
    'Gives back what is used in the current period of a quota, of each of its values where it is '
    'of * (option value: of one), and says in how many periods; what is held stays held, ledger '
    'and past periods stay as they are. Errors: P0002, 22004, 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt.reset_quota(text, text, text, text, text, jsonb) FROM PUBLIC;
