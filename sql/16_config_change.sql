CREATE TABLE token_mgmt.config_change (
    tenant text NOT NULL,
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    name text NOT NULL,
    before jsonb,
    after jsonb,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT config_change_pkey PRIMARY KEY (tenant, change_id),
    CONSTRAINT config_change_kind_is_known CHECK (
        kind IN ('priority', 'agent', 'model', 'alert', 'mute', 'access', 'api_key')
    )
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.config_change', '');
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.config_change_change_id_seq', '');
COMMENT ON TABLE token_mgmt.config_change IS
    'Who changed when what is configured beside quotas (those are in quota_change), from what to '
    'what; written by the functions that set it';
COMMENT ON COLUMN token_mgmt.config_change.tenant IS
    'Empty for what is no tenant''s: models, alerts of jobs and the worker, access to all tenants';
COMMENT ON COLUMN token_mgmt.config_change.name IS
    'The priority, agent, provider/model, role or API key; scope/value of a mute, kind/scope/value '
    'of an alert rule';
COMMENT ON COLUMN token_mgmt.config_change.before IS 'NULL: it was not there';
COMMENT ON COLUMN token_mgmt.config_change.after IS 'NULL: it was taken away';
COMMENT ON COLUMN token_mgmt.config_change.changed_by IS 'The role that called';
REVOKE ALL ON token_mgmt.config_change FROM PUBLIC;

CREATE FUNCTION token_mgmt._trace_config(
    tenant text, kind text, name text, before jsonb, after jsonb
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A row that was not found is one of nulls.
    was jsonb := nullif(jsonb_strip_nulls(before), '{}');
    is_now jsonb := nullif(jsonb_strip_nulls(after), '{}');
BEGIN
    IF was IS DISTINCT FROM is_now THEN
        INSERT INTO token_mgmt.config_change (tenant, kind, name, before, after, changed_by)
        VALUES (_trace_config.tenant, _trace_config.kind, _trace_config.name, was, is_now,
            pg_get_userbyid(token_mgmt._caller()));
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._trace_config(text, text, text, jsonb, jsonb) IS
    'Leaves a trace of a change; none where nothing changed. Not STRICT: what is made has no '
    'before, what is taken away no after';
REVOKE ALL ON FUNCTION token_mgmt._trace_config(text, text, text, jsonb, jsonb) FROM PUBLIC;

-- For the transaction, and on nothing that a reservation meets. So what a change finds is what the
-- change before it left.
CREATE FUNCTION token_mgmt._lock_config(tenant text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('token_mgmt ' || tenant, 0));
END
$$;
COMMENT ON FUNCTION token_mgmt._lock_config(text) IS
    'Lets one transaction at a time change a tenant''s configuration; with the empty name, what is '
    'no tenant''s';
REVOKE ALL ON FUNCTION token_mgmt._lock_config(text) FROM PUBLIC;
