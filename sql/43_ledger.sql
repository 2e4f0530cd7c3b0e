CREATE SEQUENCE token_mgmt.usage_ledger_entry_id_seq AS bigint;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.usage_ledger_entry_id_seq', '');
COMMENT ON SEQUENCE token_mgmt.usage_ledger_entry_id_seq IS 'Ids of ledger entries; not dense';
REVOKE ALL ON token_mgmt.usage_ledger_entry_id_seq FROM PUBLIC;

-- No CHECK (see quota_period), no key and no index here: a month's partition gets its own when it
-- is opened, so that the partitions, which are no members of the extension, dump and restore as
-- ordinary tables.
CREATE TABLE token_mgmt.usage_ledger (
    tenant text NOT NULL,
    entry_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text NOT NULL,
    reservation_id uuid,
    request_id text,
    user_id text NOT NULL,
    api_key text,
    team text,
    session_id text,
    agent text,
    endpoint text,
    provider text,
    model text,
    priority text,
    prompt_tokens integer NOT NULL,
    completion_tokens integer NOT NULL,
    cached_tokens integer NOT NULL,
    cache_write_tokens integer NOT NULL,
    reasoning_tokens integer NOT NULL,
    tokens_held integer NOT NULL,
    allocations token_mgmt.allocation[] NOT NULL,
    cost numeric,
    price token_mgmt.price,
    breakdown jsonb,
    message_count integer,
    document_count integer,
    flags text[] NOT NULL,
    metadata jsonb
) PARTITION BY RANGE (recorded_at);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.usage_ledger', '');
COMMENT ON TABLE token_mgmt.usage_ledger IS
    'Append-only record of every call that used tokens, partitioned by month (UTC) of recorded_at';
COMMENT ON COLUMN token_mgmt.usage_ledger.kind IS
    'settlement, usage (by record_usage), expiry (of a hold that had reported progress), or '
    'correction: what a late settlement adds to such an expiry or takes back from it';
COMMENT ON COLUMN token_mgmt.usage_ledger.prompt_tokens IS 'Includes cached and cache-write tokens';
COMMENT ON COLUMN token_mgmt.usage_ledger.completion_tokens IS 'Includes reasoning tokens';
COMMENT ON COLUMN token_mgmt.usage_ledger.allocations IS
    'The period rows charged, each with the tokens charged to it';
COMMENT ON COLUMN token_mgmt.usage_ledger.cost IS 'USD at the stored price; never computed again';
COMMENT ON COLUMN token_mgmt.usage_ledger.breakdown IS
    'Prompt tokens by section: system, history, tools';
REVOKE ALL ON token_mgmt.usage_ledger FROM PUBLIC;

-- Stays empty: it only keeps an entry from being lost should its month not be open.
CREATE TABLE token_mgmt.usage_ledger_default
    PARTITION OF token_mgmt.usage_ledger DEFAULT;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.usage_ledger_default', '');
COMMENT ON TABLE token_mgmt.usage_ledger_default IS 'Entries of months that are not open: none';
REVOKE ALL ON token_mgmt.usage_ledger_default FROM PUBLIC;

CREATE TABLE token_mgmt.ledger_carried (
    month date NOT NULL,
    tenant text NOT NULL,
    quota_id bigint NOT NULL,
    scope_value text NOT NULL,
    starts_at timestamptz NOT NULL,
    slot smallint NOT NULL,
    amount numeric NOT NULL
);
ALTER TABLE token_mgmt.ledger_carried REPLICA IDENTITY FULL;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.ledger_carried', '');
COMMENT ON TABLE token_mgmt.ledger_carried IS
    'What the entries of dropped ledger months charged to quota periods that are kept: audit() '
    'adds it to what the ledger says. Read as a whole, so without an index';
COMMENT ON COLUMN token_mgmt.ledger_carried.month IS 'First day of the dropped month (UTC)';
REVOKE ALL ON token_mgmt.ledger_carried FROM PUBLIC;

CREATE TABLE token_mgmt.installation (
    installed_at timestamptz NOT NULL
);
ALTER TABLE token_mgmt.installation REPLICA IDENTITY FULL;
-- Not dumped: a restored database is a new installation.
COMMENT ON TABLE token_mgmt.installation IS
    'One row: since when this database has the extension. In its first day no ledger month is '
    'dropped, as the database may be one that is being restored';
INSERT INTO token_mgmt.installation VALUES (clock_timestamp());
REVOKE ALL ON token_mgmt.installation FROM PUBLIC;

CREATE FUNCTION token_mgmt._refuse_ledger_change() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = 'usage ledger is append-only',
        DETAIL = format('%s of its entries is refused.', initcap(TG_OP)),
        HINT = 'History is corrected by further entries; old months are dropped whole.';
END
$$;
COMMENT ON FUNCTION token_mgmt._refuse_ledger_change() IS
    'Trigger: refuses UPDATE, DELETE and TRUNCATE (55000)';
CREATE TRIGGER usage_ledger_is_append_only
    BEFORE UPDATE OR DELETE ON token_mgmt.usage_ledger
    FOR EACH ROW EXECUTE FUNCTION token_mgmt._refuse_ledger_change();
COMMENT ON TRIGGER usage_ledger_is_append_only ON token_mgmt.usage_ledger IS
    'Keeps history as it was written';
-- Unlike that one it is not cloned for partitions: each has its own.
CREATE TRIGGER usage_ledger_is_not_truncated
    BEFORE TRUNCATE ON token_mgmt.usage_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION token_mgmt._refuse_ledger_change();
COMMENT ON TRIGGER usage_ledger_is_not_truncated ON token_mgmt.usage_ledger IS
    'Keeps history as it was written';
CREATE TRIGGER usage_ledger_default_is_not_truncated
    BEFORE TRUNCATE ON token_mgmt.usage_ledger_default
    FOR EACH STATEMENT EXECUTE FUNCTION token_mgmt._refuse_ledger_change();
COMMENT ON TRIGGER usage_ledger_default_is_not_truncated ON token_mgmt.usage_ledger_default IS
    'Keeps history as it was written';

CREATE FUNCTION token_mgmt._open_ledger_month(at timestamptz) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    first_day timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
    name text := 'usage_ledger_' || to_char(first_day, 'YYYY_MM');
BEGIN
    -- One opener at a time; those who only write do not wait for this lock.
    LOCK TABLE token_mgmt.usage_ledger IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('token_mgmt.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE token_mgmt.%I (LIKE token_mgmt.usage_ledger '
        'INCLUDING CONSTRAINTS INCLUDING COMMENTS)', name);
    EXECUTE format('ALTER TABLE token_mgmt.%I ADD CONSTRAINT %I PRIMARY KEY (tenant, entry_id)',
        name, name || '_pkey');
    -- Serves reports whose span begins or ends within an hour.
    EXECUTE format('CREATE INDEX %I ON token_mgmt.%I USING brin (recorded_at) '
        'WITH (pages_per_range = 32, autosummarize = on)', name || '_recorded_idx', name);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON token_mgmt.%I FOR EACH STATEMENT '
        'EXECUTE FUNCTION token_mgmt._refuse_ledger_change()', name || '_is_not_truncated', name);
    EXECUTE format('REVOKE ALL ON token_mgmt.%I FROM PUBLIC', name);
    -- CREATE ... PARTITION OF would take ACCESS EXCLUSIVE on the parent and stop every writer.
    EXECUTE format('ALTER TABLE token_mgmt.usage_ledger ATTACH PARTITION token_mgmt.%I '
        'FOR VALUES FROM (%L) TO (%L)', name, first_day AT TIME ZONE 'UTC',
        (first_day + interval '1 month') AT TIME ZONE 'UTC');
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._open_ledger_month(timestamptz) IS
    'Opens the ledger partition of the instant''s month (UTC); false when another session just did';
REVOKE ALL ON FUNCTION token_mgmt._open_ledger_month(timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._ledger_month(at timestamptz) RETURNS regclass
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_regclass('token_mgmt.usage_ledger_' || to_char(at AT TIME ZONE 'UTC', 'YYYY_MM'))
$$;
COMMENT ON FUNCTION token_mgmt._ledger_month(timestamptz) IS
    'The ledger partition of the instant''s month; NULL where it is not open, or was dropped';
REVOKE ALL ON FUNCTION token_mgmt._ledger_month(timestamptz) FROM PUBLIC;

CREATE FUNCTION token_mgmt._drop_ledger_month(first_day timestamp) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '100ms'
AS $$
DECLARE
    month regclass := token_mgmt._ledger_month(first_day AT TIME ZONE 'UTC');
BEGIN
    -- Whoever wrote into this month is done, and nobody begins before the sums are carried.
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', month);
    INSERT INTO token_mgmt.ledger_carried
        (month, tenant, quota_id, scope_value, starts_at, slot, amount)
    SELECT first_day, tenant, quota_id, scope_value, starts_at, slot, c.amount
    FROM (
        SELECT l.tenant, a.quota_id, a.scope_value, a.starts_at, a.slot, sum(a.amount) AS amount
        FROM token_mgmt.usage_ledger l CROSS JOIN LATERAL unnest(l.allocations) a
        WHERE l.recorded_at >= first_day AT TIME ZONE 'UTC'
            AND l.recorded_at < (first_day + interval '1 month') AT TIME ZONE 'UTC'
        GROUP BY 1, 2, 3, 4, 5
    ) c
    JOIN token_mgmt.quota_period p USING (tenant, quota_id, scope_value, starts_at, slot);
    EXECUTE format('DROP TABLE %s', month);
END
$$;
COMMENT ON FUNCTION token_mgmt._drop_ledger_month(timestamp) IS
    'Drops the ledger partition of the month (UTC), its charges to kept periods carried; 55P03 '
    'where somebody is on the ledger for longer than 100 ms';
REVOKE ALL ON FUNCTION token_mgmt._drop_ledger_month(timestamp) FROM PUBLIC;

CREATE FUNCTION token_mgmt._drop_ledger_months(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    retention interval := token_mgmt._seconds_setting('ledger_retention');
    first_day timestamp;
BEGIN
    -- The sums must see what was committed before the month was locked: no older snapshot.
    IF retention = '0' OR current_setting('transaction_isolation') <> 'read committed'
        OR NOT EXISTS (SELECT FROM token_mgmt.installation i
            WHERE i.installed_at < clock_timestamp() - interval '1 day')
    THEN
        RETURN 0;
    END IF;
    -- One month a call, the oldest first: sums of a large one take their time.
    SELECT min(to_timestamp(right(c.relname, 7) || ' +00', 'YYYY_MM TZH') AT TIME ZONE 'UTC')
    INTO first_day
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'token_mgmt.usage_ledger'::regclass
        AND c.relname ~ '^usage_ledger_[0-9]{4}_[0-9]{2}$';
    -- Who has been on the ledger for a while would keep the month from being dropped; to wait for
    -- them would hold up all who come after, at every pass.
    IF first_day + interval '1 month' < clock_timestamp() AT TIME ZONE 'UTC' - retention
        AND NOT EXISTS (
            SELECT FROM pg_locks k LEFT JOIN pg_stat_activity a USING (pid)
            WHERE k.relation = 'token_mgmt.usage_ledger'::regclass AND k.database = (
                    SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                AND (k.pid IS NULL OR k.pid <> pg_backend_pid()
                    AND a.xact_start < clock_timestamp() - interval '100 ms'))
    THEN
        PERFORM token_mgmt._drop_ledger_month(first_day);
        RETURN 1;
    END IF;
    RETURN 0;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$$;
COMMENT ON FUNCTION token_mgmt._drop_ledger_months(integer) IS
    'Drops the oldest ledger month once it ended longer ago than token_mgmt.ledger_retention; '
    'rollups stay. One a call, whatever max_rows says';
REVOKE ALL ON FUNCTION token_mgmt._drop_ledger_months(integer) FROM PUBLIC;
