CREATE TABLE token_mgmt.quota (
    tenant text NOT NULL,
    quota_id bigint GENERATED ALWAYS AS IDENTITY,
    scope text NOT NULL,
    value text NOT NULL,
    metric text NOT NULL DEFAULT 'tokens',
    period text NOT NULL,
    amount numeric NOT NULL,
    time_zone text NOT NULL DEFAULT 'UTC',
    anchor timestamp,
    kind text NOT NULL DEFAULT 'fixed',
    length interval,
    burst numeric,
    carry_over numeric NOT NULL DEFAULT 0,
    is_soft boolean NOT NULL DEFAULT false,
    cached_weight numeric NOT NULL DEFAULT 1,
    increase numeric,
    increase_until timestamptz,
    slowest numeric,
    fastest numeric,
    rate_since timestamptz,
    version bigint NOT NULL DEFAULT 1,
    removed_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT quota_pkey PRIMARY KEY (tenant, quota_id),
    CONSTRAINT quota_key UNIQUE (tenant, scope, value, metric, period),
    CONSTRAINT quota_scope_is_known CHECK (
        scope IN ('user', 'api_key', 'team', 'session', 'agent', 'model', 'endpoint', 'tenant')
    ),
    CONSTRAINT quota_metric_is_known CHECK (metric IN ('tokens', 'cost', 'requests')),
    CONSTRAINT quota_kind_is_known CHECK (kind IN ('fixed', 'sliding', 'bucket')),
    CONSTRAINT quota_amounts_are_sane CHECK (
        amount BETWEEN 0 AND 1e15 AND coalesce(burst BETWEEN 0 AND 1e15, true)
        AND carry_over BETWEEN 0 AND 1e15 AND coalesce(increase BETWEEN 0 AND 1e15, true)
        AND cached_weight BETWEEN 0 AND 1
    ),
    CONSTRAINT quota_burst_is_a_buckets CHECK (burst IS NULL OR kind = 'bucket'),
    CONSTRAINT quota_length_is_fixed CHECK ((length IS NULL) = (kind = 'fixed')),
    CONSTRAINT quota_increase_has_an_end CHECK ((increase IS NULL) = (increase_until IS NULL))
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota', '');
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota_quota_id_seq', '');
COMMENT ON TABLE token_mgmt.quota IS
    'Limits: at most amount of metric for each period, for one value of a scope or, with value *, '
    'for each of its values. Written by token_mgmt.set_quota()';
COMMENT ON COLUMN token_mgmt.quota.value IS
    'The user, team and so on that is limited, a model as provider/model; * is each one of them';
COMMENT ON COLUMN token_mgmt.quota.metric IS 'tokens, cost (USD) or requests';
COMMENT ON COLUMN token_mgmt.quota.period IS
    'second, minute, hour, day, week, month, year, total, or an interval';
COMMENT ON COLUMN token_mgmt.quota.amount IS 'Limit of one period, in units of the metric';
COMMENT ON COLUMN token_mgmt.quota.time_zone IS 'Zone in which calendar periods start';
COMMENT ON COLUMN token_mgmt.quota.anchor IS
    'Local time at which a period starts, and from which all others are counted; NULL is the '
    'calendar: midnight, Monday, the first of the month';
COMMENT ON COLUMN token_mgmt.quota.kind IS
    'fixed: periods follow each other. sliding: at most amount in any span of the period''s '
    'length. bucket: burst at once, refilled by amount in each period';
COMMENT ON COLUMN token_mgmt.quota.length IS
    'Length of a sliding window, or the time in which amount flows into a bucket';
COMMENT ON COLUMN token_mgmt.quota.burst IS 'What a full bucket holds; NULL: amount';
COMMENT ON COLUMN token_mgmt.quota.carry_over IS
    'Most that the next period gets of what a fixed one left of its own amount';
COMMENT ON COLUMN token_mgmt.quota.is_soft IS 'Warns when the limit is passed, and refuses nothing';
COMMENT ON COLUMN token_mgmt.quota.cached_weight IS
    'What a cached prompt token counts for in a quota of tokens, 0 to 1';
COMMENT ON COLUMN token_mgmt.quota.increase IS 'Added to amount until increase_until';
COMMENT ON COLUMN token_mgmt.quota.slowest IS
    'The least amount that a bucket had before rate_since';
COMMENT ON COLUMN token_mgmt.quota.fastest IS 'The greatest';
COMMENT ON COLUMN token_mgmt.quota.rate_since IS
    'When amount of a bucket was changed last; NULL: never. What flowed in before, and was not '
    'counted yet, counts as if amount had been slowest';
COMMENT ON COLUMN token_mgmt.quota.version IS
    'Raised by each change; a period row with an older one is adjusted by the next call that '
    'meets it. One more once an increase has ended';
COMMENT ON COLUMN token_mgmt.quota.removed_until IS
    'No period before this instant is opened any more: its row, spent or not, has been removed';
REVOKE ALL ON token_mgmt.quota FROM PUBLIC;
-- Serves reservations: every quota that a request may meet, in one scan.
CREATE INDEX quota_value_idx ON token_mgmt.quota (tenant, value);

CREATE TABLE token_mgmt.quota_change (
    tenant text NOT NULL,
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    quota_id bigint NOT NULL,
    action text NOT NULL,
    before jsonb,
    after jsonb,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT quota_change_pkey PRIMARY KEY (tenant, change_id),
    CONSTRAINT quota_change_action_is_known CHECK (action IN ('set', 'drop', 'reset'))
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota_change', '');
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota_change_change_id_seq', '');
COMMENT ON TABLE token_mgmt.quota_change IS
    'Who changed which quota when, from what to what; written by set_quota(), drop_quota() and '
    'reset_quota()';
COMMENT ON COLUMN token_mgmt.quota_change.changed_by IS 'The role that called';
REVOKE ALL ON token_mgmt.quota_change FROM PUBLIC;
-- Serves the opening of periods that carry over: what the quota was when the one before ended.
CREATE INDEX quota_change_quota_idx ON token_mgmt.quota_change (tenant, quota_id, change_id);

CREATE FUNCTION token_mgmt._quota_at(tenant text, quota_id bigint, at timestamptz)
    RETURNS token_mgmt.quota
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    q token_mgmt.quota;
BEGIN
    SELECT o.* INTO q FROM token_mgmt.quota o
    WHERE o.tenant = _quota_at.tenant AND o.quota_id = _quota_at.quota_id;
    IF q.version > 1 AND q.updated_at > at THEN
        SELECT b.* INTO q
        FROM token_mgmt.quota_change c
        CROSS JOIN LATERAL jsonb_populate_record(NULL::token_mgmt.quota, c.before) b
        WHERE c.tenant = _quota_at.tenant AND c.quota_id = _quota_at.quota_id
            AND c.action = 'set' AND c.before IS NOT NULL
            AND (c.after ->> 'updated_at')::timestamptz > at
        ORDER BY c.change_id LIMIT 1;
    END IF;
    -- The traces may have been deleted.
    IF (CASE q.version WHEN 1 THEN q.created_at ELSE q.updated_at END) > at THEN
        RETURN NULL;
    END IF;
    RETURN q;
END
$$;
COMMENT ON FUNCTION token_mgmt._quota_at(text, bigint, timestamptz) IS
    'The quota as it was at an instant; NULL where nobody knows any more';
REVOKE ALL ON FUNCTION token_mgmt._quota_at(text, bigint, timestamptz) FROM PUBLIC;

CREATE TABLE token_mgmt.dropped_quota (
    tenant text NOT NULL,
    quota_id bigint NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT dropped_quota_pkey PRIMARY KEY (tenant, quota_id)
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.dropped_quota', '');
COMMENT ON TABLE token_mgmt.dropped_quota IS
    'Quotas that are gone and whose periods are still there, for the worker to remove. Written by '
    'drop_quota() and, where it changes the kind, set_quota()';
REVOKE ALL ON token_mgmt.dropped_quota FROM PUBLIC;

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
    -- Tenant, user and request id must fit together into an index row of 2700 bytes.
    IF value = '*' OR value = '' OR length(value) > 255 OR octet_length(value) > 600 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s is not a valid name', what),
            DETAIL = CASE WHEN value = '*' THEN 'The value "*" stands for every one in a quota.'
                WHEN value = '' THEN 'The value is empty.'
                ELSE format('The value has %s characters, %s bytes.', length(value),
                    octet_length(value)) END,
            HINT = 'Use a name of 1 to 255 characters, at most 600 bytes, other than "*".';
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_identity(text, text) IS
    'Refuses (22023) an empty name, one of over 255 characters or 600 bytes, and *';
