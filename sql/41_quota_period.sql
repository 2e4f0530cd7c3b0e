CREATE TABLE token_mgmt.quota_period (
    tenant text NOT NULL,
    quota_id bigint NOT NULL,
    scope_value text NOT NULL,
    starts_at timestamptz NOT NULL,
    slot smallint NOT NULL DEFAULT 0,
    ends_at timestamptz NOT NULL,
    allowance numeric NOT NULL,
    used numeric NOT NULL DEFAULT 0,
    held numeric NOT NULL DEFAULT 0,
    limit_version bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    CONSTRAINT quota_period_pkey PRIMARY KEY (tenant, quota_id, scope_value, starts_at, slot),
    CONSTRAINT quota_period_is_a_span CHECK (starts_at < ends_at),
    CONSTRAINT quota_period_balances_are_counts CHECK (used >= 0 AND held >= 0)
) WITH (fillfactor = 50); -- room for HOT updates: each reserve and each settle writes this row
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.quota_period', '');
COMMENT ON TABLE token_mgmt.quota_period IS
    'One row for each period of a quota and value that was opened: a reset is the next row, never '
    'an update of this one. Whoever comes first opens it, the worker included';
COMMENT ON COLUMN token_mgmt.quota_period.scope_value IS
    'The user, team and so on whose balance this is';
COMMENT ON COLUMN token_mgmt.quota_period.slot IS 'Part of a split period; 0 where it is whole';
COMMENT ON COLUMN token_mgmt.quota_period.allowance IS 'This slot''s part of the limit, in tokens';
COMMENT ON COLUMN token_mgmt.quota_period.used IS 'Settled tokens, charged to this period for ever';
COMMENT ON COLUMN token_mgmt.quota_period.held IS 'Tokens of open reservations';
COMMENT ON COLUMN token_mgmt.quota_period.limit_version IS
    'Quota version the allowance was taken from';
REVOKE ALL ON token_mgmt.quota_period FROM PUBLIC;
-- Serves the worker's question which periods have ended and are not closed yet.
CREATE INDEX quota_period_open_idx ON token_mgmt.quota_period (ends_at) WHERE closed_at IS NULL;
-- Serves the removal of closed short periods that nothing can touch any more.
CREATE INDEX quota_period_closed_idx ON token_mgmt.quota_period (closed_at)
    WHERE closed_at IS NOT NULL;

CREATE TYPE token_mgmt.allocation AS (
    quota_id bigint,
    scope_value text,
    starts_at timestamptz,
    slot smallint,
    amount numeric
);
COMMENT ON TYPE token_mgmt.allocation IS
    'A part of a reservation or ledger entry: the period row that it is held in or charged to';

CREATE FUNCTION token_mgmt._period(
    period text, time_zone text, at timestamptz, OUT starts_at timestamptz, OUT ends_at timestamptz
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    local_start timestamp;
    step interval;
BEGIN
    IF period = 'total' THEN
        starts_at := '-infinity';
        ends_at := 'infinity';
    ELSIF period IN ('second', 'minute', 'hour') THEN
        starts_at := date_trunc(period, at, time_zone);
        ends_at := starts_at + ('1 ' || period)::interval;
    ELSE
        step := ('1 ' || period)::interval;
        local_start := date_trunc(period, at AT TIME ZONE time_zone);
        starts_at := local_start AT TIME ZONE time_zone;
        ends_at := (local_start + step) AT TIME ZONE time_zone;
        -- Where the clock passes midnight twice, the second one starts the day.
        IF starts_at > at THEN
            ends_at := starts_at;
            starts_at := (local_start - step) AT TIME ZONE time_zone;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._period(text, text, timestamptz) IS
    'The calendar period that contains the instant, in the zone: starts_at <= at < ends_at, and '
    'each ends where the next starts. Hours and shorter have a fixed length, days 23 to 25 hours';

CREATE FUNCTION token_mgmt._charge(
    tenant text, allocations token_mgmt.allocation[], is_held boolean, tokens numeric
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    a token_mgmt.allocation;
BEGIN
    -- The one order of all writers, so that one call a transaction never deadlocks: allocations are
    -- stored by (quota_id, scope_value, starts_at, slot), and each update locks its row.
    FOREACH a IN ARRAY allocations LOOP
        UPDATE token_mgmt.quota_period p
        SET held = p.held - CASE WHEN is_held THEN a.amount ELSE 0 END,
            used = p.used + tokens
        WHERE p.tenant = _charge.tenant AND p.quota_id = a.quota_id
            AND p.scope_value = a.scope_value AND p.starts_at = a.starts_at AND p.slot = a.slot;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._charge(text, token_mgmt.allocation[], boolean, numeric) IS
    'Takes back what the allocations hold (is_held) and adds tokens to what is used, in exactly '
    'the period rows that they name, which this locks in the order of all writers';
REVOKE ALL ON FUNCTION token_mgmt._charge(text, token_mgmt.allocation[], boolean, numeric)
    FROM PUBLIC;
