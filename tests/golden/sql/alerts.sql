SELECT clean_books();
CREATE FUNCTION use(whose text, tokens integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id uuid := (SELECT reservation_id FROM reserve_tokens(whose, tokens));
BEGIN
    SET LOCAL client_min_messages = error; -- settled in the transaction that reserved it
    RETURN (SELECT total_tokens FROM settle_tokens(id, tokens, 0));
END
$$;
CREATE VIEW pass AS SELECT job, rows_done, error FROM token_mgmt.run_maintenance() WHERE rows_done > 0 OR error IS NOT NULL;
CREATE VIEW alert AS
    SELECT kind, scope, value, starts_at, threshold, message, numbers - 'quota_id' AS numbers FROM token_mgmt.alert_log;

SELECT amount FROM token_mgmt.set_quota('user', 'amy', 'total', 1000);
SELECT amount FROM token_mgmt.set_quota('user', '*', 'total', 100);
SELECT amount FROM token_mgmt.set_quota('tenant', 'default', 'minute', 2000);
-- Held tokens are no use yet, nor is a rate of less than an hour a budget.
SELECT status FROM reserve_tokens('amy', 950) \gset
SELECT reservation_id AS id FROM token_mgmt.open_reservations WHERE user_id = 'amy' \gset
SELECT * FROM pass WHERE job LIKE '%alerts';
SELECT released_tokens FROM (SELECT count(*) AS released_tokens FROM release_tokens(:'id')) r;

-- Each threshold is announced once, however often it is looked at and however use goes on.
SELECT use('amy', 799);
SELECT * FROM pass WHERE job LIKE '%alerts';
SELECT use('amy', 1);
SELECT * FROM pass WHERE job LIKE '%alerts';
SELECT * FROM pass WHERE job LIKE '%alerts';
SELECT use('amy', 50);
SELECT * FROM pass WHERE job LIKE '%alerts';
SELECT use('amy', 150), use('bea', 90);
SELECT * FROM pass WHERE job LIKE '%alerts';
SELECT * FROM alert ORDER BY value, threshold;

-- A period in slots is looked at as a whole.
DELETE FROM token_mgmt.alert;
INSERT INTO token_mgmt.quota_period (tenant, quota_id, scope_value, starts_at, slot, ends_at, allowance, used, limit_version)
SELECT tenant, quota_id, 'cat', '-infinity', slot, 'infinity', 50, used, 1
FROM token_mgmt.quota, (VALUES (0, 49), (1, 30)) s (slot, used) WHERE value = '*';
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT value, count(*) FROM alert GROUP BY 1 ORDER BY 1;
UPDATE token_mgmt.quota_period SET used = 31 WHERE scope_value = 'cat' AND slot = 1;
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT value, threshold, numbers FROM alert WHERE value = 'cat';
DELETE FROM token_mgmt.quota_period WHERE scope_value = 'cat';

-- Rules: the most exact one holds. A muted value is silent until then; what still holds is raised after.
DELETE FROM token_mgmt.alert;
SELECT tenant, kind, scope, value, thresholds, is_enabled FROM token_mgmt.set_alert_rule('quota_threshold', '{0.5}', scope => 'user');
SELECT thresholds, is_enabled FROM token_mgmt.set_alert_rule('quota_threshold', is_enabled => false, scope => 'user', value => 'amy');
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT value, threshold FROM alert ORDER BY value, threshold;
SELECT thresholds, is_enabled FROM token_mgmt.set_alert_rule('quota_threshold', '{1.5, 0.25, 0.25}', true, scope => 'user', value => 'amy');
SELECT token_mgmt.mute_alerts('user', 'amy', 'infinity'), token_mgmt.mute_alerts('user', 'zoe', '2000-01-01');
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT token_mgmt.mute_alerts('user', 'amy', NULL);
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT value, threshold FROM alert ORDER BY value, threshold;
-- A lowered limit is seen before anybody meets it.
SELECT amount FROM token_mgmt.set_quota('user', 'amy', 'total', 600);
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT value, threshold, message FROM alert WHERE threshold > 1;

-- The search goes on where it stopped, and finds each of many.
DELETE FROM token_mgmt.alert;
DELETE FROM token_mgmt.alert_rule;
INSERT INTO token_mgmt.quota_period (tenant, quota_id, scope_value, starts_at, ends_at, allowance, used, limit_version)
SELECT tenant, quota_id, 'user ' || i, '-infinity', 'infinity', 100, CASE WHEN i % 5000 = 0 THEN 85 ELSE 20 END, 1
FROM token_mgmt.quota, generate_series(1, 25000) i WHERE value = '*';
SELECT token_mgmt._raise_quota_alerts(2) > 0 AS raised;
DO $$
BEGIN
    LOOP
        PERFORM token_mgmt._raise_quota_alerts(2);
        EXIT WHEN (SELECT ends_at FROM token_mgmt.alert_sweep) = '-infinity';
    END LOOP;
END
$$;
SELECT count(*), count(DISTINCT value) FROM alert WHERE value LIKE 'user %';
DELETE FROM token_mgmt.quota_period WHERE scope_value LIKE 'user %';

SELECT token_mgmt.drop_quota('tenant', 'default', 'minute');
DELETE FROM token_mgmt.quota_period WHERE ends_at < 'infinity';
-- A job that fails stops no other, is shown, and is announced once until it has run well again.
DELETE FROM token_mgmt.alert;
UPDATE token_mgmt.worker_job SET failures = 0, last_error = NULL;
SELECT status FROM reserve_tokens('dan', 1, ttl => '1 microsecond');
ALTER TABLE token_mgmt.reservation ADD CONSTRAINT planted CHECK (state <> 'expired');
SELECT * FROM token_mgmt.run_maintenance();
SELECT count(*) FROM pass;
SELECT job, status, last_rows, failures, failed_in_row, last_error, hint FROM token_mgmt.worker_status WHERE status = 'failing';
SELECT kind, scope, value, threshold, regexp_replace(message, 'since .* UTC', 'since <instant>') AS message, numbers FROM alert;
ALTER TABLE token_mgmt.reservation DROP CONSTRAINT planted;
SELECT * FROM pass;
SELECT job, status, failures, failed_in_row, last_error FROM token_mgmt.worker_status WHERE failures > 0 AND job <> 'worker';
SELECT count(*) FROM alert;

-- Alerts go when their retention is over; a total's period never ends.
UPDATE token_mgmt.alert SET ends_at = ends_at - interval '91 days';
SELECT * FROM pass;

-- A limit of 0 that was passed is told of, and a sliding window has no end.
DELETE FROM token_mgmt.alert;
SELECT amount FROM token_mgmt.set_quota('user', 'amy', 'total', 0);
SELECT amount FROM token_mgmt.set_quota('team', 'ops', 'day', 100, options => '{"kind": "sliding"}');
SELECT total_tokens FROM record_usage('bea', 95, team => 'ops');
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT value, threshold, message, numbers FROM alert WHERE value IN ('amy', 'ops') ORDER BY value, threshold;
SELECT token_mgmt.drop_quota('team', 'ops', 'day');
SELECT * FROM token_mgmt.audit();

-- A limit that is passed since its increase is over is told of, though no call has met it since.
DELETE FROM token_mgmt.alert;
SELECT amount FROM token_mgmt.set_quota('user', 'inc', 'total', 100, options => jsonb_build_object(
    'increase', 50, 'increase_until', now() + interval '1 day'));
SELECT use('inc', 100);
SELECT token_mgmt._raise_quota_alerts(1000);
UPDATE token_mgmt.quota SET increase_until = clock_timestamp() WHERE value = 'inc';
SELECT token_mgmt._raise_quota_alerts(1000);
SELECT threshold, message, numbers FROM alert WHERE value = 'inc' ORDER BY threshold;

SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule(NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule('weather')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule('quota_threshold', '{}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule('quota_threshold', '{0.8,NULL}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule('quota_threshold', '{NaN}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule('quota_threshold', '{0.8}', scope => 'planet')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_alert_rule('quota_threshold', '{0.8}', value => 'amy')$$);
SELECT * FROM show_error($$SELECT token_mgmt.mute_alerts('user', '', 'infinity')$$);
SELECT * FROM show_error($$SELECT token_mgmt.mute_alerts(NULL, 'amy', 'infinity')$$);
SELECT * FROM show_error($$SELECT token_mgmt.mute_alerts('model', 'no-such-model', 'infinity')$$);
DROP VIEW pass, alert;
DROP FUNCTION use;
