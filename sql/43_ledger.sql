CREATE SEQUENCE token_mgmt.usage_ledger_entry_id_seq AS bigint;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.usage_ledger_entry_id_seq', '');
COMMENT ON SEQUENCE token_mgmt.usage_ledger_entry_id_seq IS 'Ids of ledger entries; not dense';
REVOKE ALL ON token_mgmt.usage_ledger_entry_id_seq FROM PUBLIC;

-- No CHECKs (see quota_period). No key and no index here: a month's partition gets its own when it
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
    'Trigger: refuses UPDATE and DELETE (55000)';
CREATE TRIGGER usage_ledger_is_append_only
    BEFORE UPDATE OR DELETE ON token_mgmt.usage_ledger
    FOR EACH ROW EXECUTE FUNCTION token_mgmt._refuse_ledger_change();
COMMENT ON TRIGGER usage_ledger_is_append_only ON token_mgmt.usage_ledger IS
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
