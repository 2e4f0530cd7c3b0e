CREATE TABLE token_mgmt.alert (
    alert_id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant text NOT NULL,
    kind text NOT NULL,
    scope text NOT NULL,
    value text NOT NULL,
    subject text NOT NULL DEFAULT '',
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    threshold numeric NOT NULL,
    message text NOT NULL,
    numbers jsonb NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    installed_at timestamptz NOT NULL,
    CONSTRAINT alert_pkey PRIMARY KEY (alert_id),
    CONSTRAINT alert_is_once UNIQUE
        (tenant, kind, scope, value, subject, starts_at, threshold, installed_at)
);
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.alert', '');
COMMENT ON TABLE token_mgmt.alert IS
    'Alerts that were raised: one for each threshold of a value and period, however often it is '
    'looked at. Each was also a NOTIFY of its alert_id on token_mgmt_alerts and a line in '
    'the server log';
COMMENT ON COLUMN token_mgmt.alert.tenant IS 'Empty for jobs and the worker, who have none';
COMMENT ON COLUMN token_mgmt.alert.subject IS
    'What it is about where scope and value do not say: the quota_id of quota_threshold';
COMMENT ON COLUMN token_mgmt.alert.starts_at IS
    'Start of the quota''s period, the hour of the anomaly, when the key expires, since when the '
    'job fails or the worker is silent';
COMMENT ON COLUMN token_mgmt.alert.ends_at IS
    'Until when the same could be found again; the row is kept for token_mgmt.alert_retention more';
COMMENT ON COLUMN token_mgmt.alert.installed_at IS
    'When the extension was installed in the database that raised it: a restored copy raises what '
    'still holds once more, and never meets a row that is being restored';
REVOKE ALL ON token_mgmt.alert FROM PUBLIC;
-- Serves the reader who looks at the latest alerts.
CREATE INDEX alert_raised_idx ON token_mgmt.alert (raised_at);
-- Serves the removal of those past their retention.
CREATE INDEX alert_ends_idx ON token_mgmt.alert (ends_at);

CREATE VIEW token_mgmt.alert_log WITH (security_barrier) AS
    WITH mine AS MATERIALIZED (SELECT * FROM token_mgmt._my_access)
    SELECT a.alert_id, a.tenant, a.kind, a.scope, a.value, a.subject, a.starts_at, a.ends_at,
        a.threshold, a.message, a.numbers, a.raised_at
    FROM token_mgmt.alert a
    WHERE EXISTS (SELECT FROM mine m WHERE (m.tenant IS NULL OR m.tenant = a.tenant)
        AND (m.user_id IS NULL OR m.user_id = CASE a.scope WHEN 'user' THEN a.value
            WHEN 'api_key' THEN a.numbers ->> 'user_id' END));
COMMENT ON VIEW token_mgmt.alert_log IS
    'Alerts that were raised, as far as the reader may see whom they are about';
REVOKE ALL ON token_mgmt.alert_log FROM PUBLIC;

CREATE TABLE token_mgmt.alert_sweep (
    is_only_row boolean NOT NULL DEFAULT true,
    installed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at timestamptz NOT NULL DEFAULT '-infinity',
    tenant text NOT NULL DEFAULT '',
    quota_id bigint NOT NULL DEFAULT 0,
    scope_value text NOT NULL DEFAULT '',
    slot smallint NOT NULL DEFAULT -1,
    CONSTRAINT alert_sweep_pkey PRIMARY KEY (is_only_row),
    CONSTRAINT alert_sweep_is_one_row CHECK (is_only_row)
);
-- Not dumped: a restored database looks from the start.
COMMENT ON TABLE token_mgmt.alert_sweep IS
    'The open quota period after which the search for passed thresholds goes on. Its row is locked '
    'by the one transaction that raises alerts';
REVOKE ALL ON token_mgmt.alert_sweep FROM PUBLIC;
INSERT INTO token_mgmt.alert_sweep DEFAULT VALUES;

CREATE FUNCTION token_mgmt._raise_alert(
    tenant text, kind text, scope text, value text, subject text, starts_at timestamptz,
    ends_at timestamptz, threshold numeric, message text, numbers jsonb
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    books_since timestamptz;
    id uuid;
BEGIN
    SELECT s.installed_at INTO books_since FROM token_mgmt.alert_sweep s;
    IF EXISTS (
        SELECT FROM token_mgmt.alert l
        WHERE l.tenant = _raise_alert.tenant AND l.kind = _raise_alert.kind
            AND l.scope = _raise_alert.scope AND l.value = _raise_alert.value
            AND l.subject = _raise_alert.subject AND l.starts_at = _raise_alert.starts_at
            AND l.threshold = _raise_alert.threshold AND l.installed_at = books_since)
    THEN
        RETURN false;
    END IF;
    -- Whoever raises alerts in a transaction that stays open is not waited for: this one is raised
    -- by a later pass.
    PERFORM FROM token_mgmt.alert_sweep s FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO token_mgmt.alert (tenant, kind, scope, value, subject, starts_at, ends_at,
        threshold, message, numbers, installed_at)
    VALUES (_raise_alert.tenant, _raise_alert.kind, _raise_alert.scope, _raise_alert.value,
        _raise_alert.subject, _raise_alert.starts_at, _raise_alert.ends_at, _raise_alert.threshold,
        _raise_alert.message, _raise_alert.numbers, books_since)
    ON CONFLICT ON CONSTRAINT alert_is_once DO NOTHING
    RETURNING alert_id INTO id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- A full queue, where some session listens and never reads, would fail the commit.
    IF pg_notification_queue_usage() < 0.5 THEN
        -- Every role of the database may listen: whom it is about is in the view alone.
        PERFORM pg_notify('token_mgmt_alerts', jsonb_build_object('alert_id', id)::text);
    END IF;
    RAISE LOG USING MESSAGE = format('token_mgmt alert (%s): %s', _raise_alert.kind,
            _raise_alert.message),
        DETAIL = _raise_alert.numbers::text;
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_alert(
    text, text, text, text, text, timestamptz, timestamptz, numeric, text, jsonb
) IS
    'Raises an alert once: a row, a NOTIFY, a log line; false when it has been raised before, or '
    'another transaction is raising alerts. Not STRICT: all arguments are given';
REVOKE ALL ON FUNCTION token_mgmt._raise_alert(
    text, text, text, text, text, timestamptz, timestamptz, numeric, text, jsonb
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._remove_alerts(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed integer;
BEGIN
    DELETE FROM token_mgmt.alert l
    USING (
        SELECT o.alert_id FROM token_mgmt.alert o
        WHERE o.ends_at < clock_timestamp() - token_mgmt._seconds_setting('alert_retention')
        ORDER BY o.ends_at LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ) d
    WHERE l.alert_id = d.alert_id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION token_mgmt._remove_alerts(integer) IS
    'Removes up to max_rows alerts that ended more than token_mgmt.alert_retention ago';
REVOKE ALL ON FUNCTION token_mgmt._remove_alerts(integer) FROM PUBLIC;
