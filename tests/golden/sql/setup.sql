-- What the other tests use.

-- An error as a row. Ids and instants that differ from run to run are replaced by a word.
CREATE TYPE shown_error AS (sqlstate text, message text, detail text, hint text);
CREATE FUNCTION show_error(statement text) RETURNS shown_error
LANGUAGE plpgsql AS $$
DECLARE
    e shown_error;
    id constant text := '[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f-]{21}';
    instant constant text := '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.0-9]*\+\d\d';
BEGIN
    EXECUTE statement;
    e.sqlstate := 'no error';
    RETURN e;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS e.sqlstate = RETURNED_SQLSTATE, e.message = MESSAGE_TEXT,
        e.detail = PG_EXCEPTION_DETAIL, e.hint = PG_EXCEPTION_HINT;
    e.message := regexp_replace(e.message, id, '<id>', 'g');
    e.detail := regexp_replace(regexp_replace(e.detail, id, '<id>', 'g'), instant, '<instant>', 'g');
    RETURN e;
END
$$;

-- Empty books and one way to show instants, so that no test sees what another left, nor the runner's
-- own settings.
CREATE FUNCTION clean_books() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    month regclass;
BEGIN
    PERFORM set_config('timezone', 'UTC', false), set_config('datestyle', 'ISO', false),
        set_config('intervalstyle', 'postgres', false);
    FOR month IN SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'token_mgmt.usage_ledger'::regclass
            AND inhrelid <> 'token_mgmt.usage_ledger_default'::regclass
    LOOP
        EXECUTE format('DROP TABLE %s', month);
    END LOOP;
    DELETE FROM token_mgmt.ledger_unrolled;
    DELETE FROM token_mgmt.usage_rollup;
    DELETE FROM token_mgmt.session_rollup;
    DELETE FROM token_mgmt.ledger_carried;
    DELETE FROM token_mgmt.reservation;
    DELETE FROM token_mgmt.completion_history;
    DELETE FROM token_mgmt.quota_period;
    DELETE FROM token_mgmt.quota;
    DELETE FROM token_mgmt.dropped_quota;
    DELETE FROM token_mgmt.config_change;
    DELETE FROM token_mgmt.priority_share;
    DELETE FROM token_mgmt.alert;
    DELETE FROM token_mgmt.alert_rule;
    DELETE FROM token_mgmt.alert_mute;
    DELETE FROM token_mgmt.message;
    DELETE FROM token_mgmt.session;
    DELETE FROM token_mgmt.agent WHERE tenant <> '*';
    DELETE FROM token_mgmt.model WHERE NOT is_builtin;
    DELETE FROM token_mgmt.model_price WHERE NOT is_builtin;
END
$$;
