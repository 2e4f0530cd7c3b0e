SELECT clean_books();
SELECT amount FROM token_mgmt.set_quota('user', 'sue', 'total', 1000);

-- Longer, never shorter, and only while it holds.
SELECT reservation_id AS id, expires_at AS old FROM reserve_tokens('sue', 100, 50, ttl => '1 hour') \gset
SELECT status, tokens_held, expires_at > :'old' AS longer, expires_at < now() + interval '2 hours 1 minute' AS from_now
FROM extend_reservation(:'id', '2 hours');
SELECT expires_at > :'old'::timestamptz + interval '50 minutes' AS kept FROM extend_reservation(:'id', '1 second');
SELECT * FROM show_error(format('SELECT extend_reservation(%L, NULL)', :'id'));
SELECT * FROM show_error(format('SELECT extend_reservation(%L, ''8 days'')', :'id'));
SELECT * FROM show_error(format('SELECT extend_reservation(%L, ''0'')', :'id'));
SELECT * FROM show_error(format('SELECT extend_reservation(%L, ''1 day'', ''{"a": 1}'')', :'id'));
SELECT * FROM show_error($$SELECT extend_reservation('00000000-0000-4000-8000-000000000000', '1 day')$$);
SELECT total_tokens FROM settle_tokens(:'id', 100, 0);
SELECT * FROM show_error(format('SELECT extend_reservation(%L, ''1 day'')', :'id'));
SELECT * FROM show_error(format('SELECT report_progress(%L, 1)', :'id'));
SELECT reservation_id AS id FROM reserve_tokens('sue', 10) \gset
SELECT status FROM release_tokens(:'id');
SELECT * FROM show_error(format('SELECT extend_reservation(%L, ''1 day'')', :'id'));
SELECT reservation_id AS id FROM reserve_tokens('sue', 10, ttl => '1 microsecond') \gset
SELECT * FROM show_error(format('SELECT extend_reservation(%L, ''1 day'')', :'id'));
SELECT * FROM show_error(format('SELECT report_progress(%L, 1)', :'id'));

-- Complaints 2 and 5: a stream that is cut and never settled costs its prompt and what it brought,
-- and holds nothing for ever.
SELECT reservation_id AS id FROM reserve_tokens('sue', 200, 300) \gset
SELECT status, completion_tokens FROM report_progress(:'id', 40);
SELECT status FROM report_progress(:'id', 90);
SELECT status FROM report_progress(:'id', 60);
SELECT * FROM show_error(format('SELECT report_progress(%L, NULL)', :'id'));
SELECT * FROM show_error(format('SELECT report_progress(%L, -1)', :'id'));
UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() WHERE reservation_id = :'id';
SELECT rows_done, error FROM token_mgmt.run_maintenance() WHERE job = 'expire holds';
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'sue';
SELECT kind, prompt_tokens, completion_tokens, tokens_held, flags FROM token_mgmt.usage_ledger WHERE reservation_id = :'id';
SELECT * FROM token_mgmt.audit();
SELECT * FROM show_error(format('SELECT release_tokens(%L)', :'id'));
-- Its late settlement makes the sum what was really used.
SELECT kind, prompt_tokens, completion_tokens, flags FROM settle_tokens(:'id', 190, 120);
SELECT kind, prompt_tokens, completion_tokens, flags FROM settle_tokens(:'id', 190, 120);
SELECT kind, prompt_tokens, completion_tokens, flags FROM token_mgmt.usage_ledger WHERE reservation_id = :'id' ORDER BY entry_id;
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'sue';
SELECT * FROM token_mgmt.audit();

-- What no completion is asked for is predicted from five calls on, not from those of another model.
SELECT count(*) FROM generate_series(1, 4) i, record_usage('pat', 10, i * 10, 'gpt-4o') u;
SELECT rows_done FROM token_mgmt.run_maintenance() WHERE job = 'roll up ledger';
SELECT completion_tokens, predicted_tokens FROM reserve_tokens('pat', 10, model => 'gpt-4o');
SELECT count(*) FROM generate_series(5, 100) i, record_usage('pat', 10, i * 10, 'gpt-4o') u;
SELECT rows_done FROM token_mgmt.run_maintenance(90) WHERE job = 'roll up ledger';
SELECT rows_done FROM token_mgmt.run_maintenance(90) WHERE job = 'roll up ledger';
SELECT user_id, provider, model, cardinality(recent), recent[1] AS oldest, recent[64] AS newest FROM token_mgmt.completion_history;
SELECT status, completion_tokens, predicted_tokens FROM reserve_tokens('pat', 10, model => 'gpt-4o', request_id => 'p-1');
SELECT status, completion_tokens, predicted_tokens FROM reserve_tokens('pat', 10, model => 'gpt-4o', request_id => 'p-1');
SELECT completion_tokens, predicted_tokens FROM reserve_tokens('pat', 10, model => 'gpt-4o', min_completion_tokens => 1300);
SELECT completion_tokens, predicted_tokens FROM reserve_tokens('pat', 10, 700, model => 'gpt-4o');
SELECT completion_tokens, predicted_tokens FROM reserve_tokens('pat', 10, model => 'gpt-4');
SELECT completion_tokens FROM prepare_request('pat', 'gpt-4o', '[{"role": "user", "content": "And now?"}]');
SELECT amount FROM token_mgmt.set_quota('user', 'pat', 'total', 500);
SELECT status, completion_tokens, predicted_tokens, warnings FROM reserve_tokens('pat', 10, model => 'gpt-4o');

-- Why a request does not fit, and who is in its way.
SELECT amount FROM token_mgmt.set_quota('user', 'eva', 'total', 1000);
SELECT amount FROM token_mgmt.set_quota('team', 'red', 'total', 5000, options => '{"soft": true}');
SELECT amount FROM token_mgmt.set_quota('team', 'red', 'total', 1, metric => 'requests');
SELECT amount FROM token_mgmt.set_quota('user', '*', 'hour', 600, options => '{"kind": "sliding"}');
SELECT amount FROM token_mgmt.set_quota('model', 'gpt-4o', '3 days', 50, metric => 'cost', options => '{"kind": "bucket"}');
SELECT status FROM reserve_tokens('eva', 300, team => 'red');
SELECT total_tokens FROM record_usage('eva', 100);
SELECT status FROM reserve_tokens('eva', 150, ttl => '1 microsecond');
SELECT scope, value, metric, period, kind, amount, used, held, free, available, requested, fits, fits_at IS NOT NULL AS will_fit,
    jsonb_path_query_array(holders, '$[*].amount') AS holders
FROM explain_reservation('eva', 400, 100, 'gpt-4o', priority => 'high', team => 'red');
SELECT scope, metric, requested, fits, free FROM explain_reservation('pat', 10, model => 'gpt-4o');
SELECT scope, requested, available, fits, fits_at FROM explain_reservation('zed', 9000, 10, model => 'gpt-4') WHERE scope = 'window';
SELECT count(*) FROM explain_reservation('zed', 10, tenant => 'other');
SELECT * FROM show_error($$SELECT explain_reservation('eva', NULL)$$);
SELECT * FROM show_error($$SELECT explain_reservation('eva', 1, model => 'no-such-model')$$);
BEGIN READ ONLY;
SELECT count(*) FROM explain_reservation('eva', 400, 100, 'gpt-4o');
COMMIT;

-- A reset gives back what is used and leaves what is held; the ledger stays.
SELECT token_mgmt.reset_quota('user', 'eva', 'total'), token_mgmt.reset_quota('user', 'eva', 'total');
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'eva' AND kind = 'fixed';
-- Of a sliding window every part: one more, as if from ten minutes ago.
INSERT INTO token_mgmt.quota_period (tenant, quota_id, scope_value, starts_at, ends_at, allowance, used, limit_version)
SELECT tenant, quota_id, scope_value, starts_at - interval '10 minutes', ends_at - interval '10 minutes', 0, 70, 1
FROM token_mgmt.quota_period WHERE scope_value = 'eva' AND starts_at > '-infinity' ORDER BY starts_at LIMIT 1;
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'eva' AND kind = 'sliding';
SELECT token_mgmt.reset_quota('user', '*', 'hour', options => '{"value": "eva"}');
SELECT value, used, held, remaining FROM token_mgmt.quota_status WHERE scope = 'user' AND kind = 'sliding' ORDER BY value;
DELETE FROM token_mgmt.quota_period WHERE used = 70;
SELECT token_mgmt.reset_quota('user', '*', 'hour') AS others;
-- One that has got a quota of its own is not of * any more.
SELECT total_tokens FROM record_usage('kim', 10);
SELECT total_tokens FROM record_usage('lee', 20);
SELECT amount FROM token_mgmt.set_quota('user', 'kim', 'hour', 50);
SELECT token_mgmt.reset_quota('user', '*', 'hour');
SELECT value, used, held FROM token_mgmt.quota_status WHERE value IN ('kim', 'lee') ORDER BY quota_id, value;
SELECT token_mgmt.drop_quota('user', 'kim', 'hour');
SELECT token_mgmt.drop_quota('user', '*', 'hour');
SELECT amount FROM token_mgmt.set_quota('user', 'bea', '100 days', 800, options => '{"kind": "bucket"}');
SELECT total_tokens FROM record_usage('bea', 500);
SELECT status FROM reserve_tokens('bea', 200);
SELECT token_mgmt.reset_quota('user', 'bea', '100 days');
SELECT round(used) AS used, round(held) AS held, round(remaining) AS remaining FROM token_mgmt.quota_status WHERE value = 'bea' AND kind = 'bucket';
SELECT amount FROM token_mgmt.set_quota('user', 'hot', 'total', 100);
INSERT INTO token_mgmt.hot_quota SELECT tenant, quota_id, 'hot', 4, now() FROM token_mgmt.quota WHERE value = 'hot';
SELECT reservation_id AS id FROM reserve_tokens('hot', 40) \gset
SELECT total_tokens, flags FROM record_usage('hot', 90);
SELECT token_mgmt.reset_quota('user', 'hot', 'total');
SELECT slot, allowance, used, held, credited FROM token_mgmt.quota_period WHERE scope_value = 'hot'
    ORDER BY slot;
SELECT total_tokens FROM settle_tokens(:'id', 30, 0);
SELECT status, tokens_remaining FROM reserve_tokens('hot', 70);
SELECT status, sqlstate FROM try_reserve_tokens('hot', 1);
-- What a late settlement takes back was given back by the reset, once.
SELECT amount FROM token_mgmt.set_quota('user', 'ivy', 'total', 1000);
SELECT reservation_id AS id FROM reserve_tokens('ivy', 300, 700) \gset
SELECT status FROM report_progress(:'id', 600);
UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() WHERE reservation_id = :'id';
SELECT rows_done FROM token_mgmt.run_maintenance() WHERE job = 'expire holds';
SELECT token_mgmt.reset_quota('user', 'ivy', 'total');
SELECT total_tokens FROM record_usage('ivy', 100);
SELECT total_tokens FROM settle_tokens(:'id', 300, 0);
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'ivy';
SELECT status, tokens_remaining FROM try_reserve_tokens('ivy', 900);

SELECT before - '{periods,used}'::text[] AS before, before -> 'periods' AS periods, round((before ->> 'used')::numeric) AS used, after, changed_by = session_user AS by_me
FROM token_mgmt.quota_change WHERE action = 'reset' ORDER BY change_id;
SELECT * FROM show_error($$SELECT token_mgmt.reset_quota('user', 'nobody', 'total')$$);
SELECT * FROM show_error($$SELECT token_mgmt.reset_quota('user', 'eva', 'total', options => '{"value": "x"}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.reset_quota(NULL, 'eva', 'total')$$);
SELECT * FROM token_mgmt.audit();

-- What is explained is what reserve does: the expiry of an overdue hold charges its progress, and gives
-- a bucket no more than it holds.
SELECT amount FROM token_mgmt.set_quota('user', 'oda', 'total', 100);
SELECT reservation_id AS id FROM reserve_tokens('oda', 60, 40) \gset
SELECT status FROM report_progress(:'id', 30);
UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() WHERE reservation_id = :'id';
SELECT amount, used, held, free, fits FROM explain_reservation('oda', 50);
SELECT status, tokens_remaining FROM try_reserve_tokens('oda', 50);
SELECT status FROM try_reserve_tokens('oda', 10);
-- One that told of more than it holds is not ended by who has enough beside it.
SELECT amount FROM token_mgmt.set_quota('user', 'odo', 'total', 100);
SELECT reservation_id AS id FROM reserve_tokens('odo', 10) \gset
SELECT status FROM report_progress(:'id', 50);
UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() WHERE reservation_id = :'id';
SELECT free, fits FROM explain_reservation('odo', 90);
SELECT status FROM try_reserve_tokens('odo', 90);
SELECT amount FROM token_mgmt.set_quota('user', 'una', 'minute', 600, options => '{"kind": "bucket", "burst": 100}');
SELECT reservation_id AS id FROM reserve_tokens('una', 100) \gset
UPDATE token_mgmt.reservation SET reserved_at = reserved_at - interval '5 seconds', expires_at = clock_timestamp() WHERE reservation_id = :'id';
UPDATE token_mgmt.quota_period SET credited_at = credited_at - interval '5 seconds' WHERE scope_value = 'una';
SELECT e.requested, round(e.free) AS free, e.fits, e.fits_at IS NOT NULL AS will_fit
FROM unnest(ARRAY[100, 110]) n, explain_reservation('una', n) e;
SELECT status, retry_after FROM try_reserve_tokens('una', 110);
SELECT status FROM try_reserve_tokens('una', 100);
SELECT amount FROM token_mgmt.set_quota('user', 'ole', 'hour', 100, options => '{"kind": "sliding"}');
SELECT reservation_id AS id FROM reserve_tokens('ole', 80) \gset
-- What has left the window is not in it a second time: two hours pass.
UPDATE token_mgmt.quota_period SET starts_at = starts_at - interval '2 hours', ends_at = ends_at - interval '2 hours'
WHERE scope_value = 'ole' AND starts_at > '-infinity';
UPDATE token_mgmt.reservation r SET expires_at = clock_timestamp(), allocations = ARRAY(
    SELECT (a.quota_id, a.scope_value, a.starts_at - interval '2 hours', a.slot, a.metric, a.cached_weight, a.amount)::token_mgmt.allocation
    FROM unnest(r.allocations) a)
WHERE reservation_id = :'id';
SELECT amount, used, held, free, fits FROM explain_reservation('ole', 150);
SELECT status FROM try_reserve_tokens('ole', 150);

-- Nobody is told to wait for what never comes: an increase that ends before the period does, or more
-- than the share of a priority.
SELECT count(*) FROM unnest(ARRAY['ike', 'ilo']) u, token_mgmt.set_quota('user', u, '100 years', 100,
    options => jsonb_build_object('increase', 50, 'increase_until', now() + interval '1 minute'));
SELECT status FROM reserve_tokens('ike', 100);
SELECT n, status, retry_after > '1 hour' AS waits FROM unnest(ARRAY[90, 100, 101, 120]) n, try_reserve_tokens('ike', n);
SELECT n, fits_at > now() + interval '1 hour' AS waits FROM unnest(ARRAY[90, 100, 101, 120]) n, explain_reservation('ike', n);
-- While it lasts, a hold that runs out may leave enough.
SELECT status FROM reserve_tokens('ilo', 100, ttl => '20 seconds');
SELECT n, status, retry_after <= '20 seconds' AS waits FROM unnest(ARRAY[120, 151]) n, try_reserve_tokens('ilo', n);
SELECT FROM token_mgmt.register_model('dollar', 'o200k_base', 1000000, input_usd_per_mtok => 1, output_usd_per_mtok => 1);
SELECT amount FROM token_mgmt.set_quota('user', 'cal', '100 years', 1, 'cost');
SELECT status FROM reserve_tokens('cal', 100000, 0, 'dollar');
SELECT n, status, retry_after > '1 hour' AS waits
FROM unnest(ARRAY[200000, 250000]) n, try_reserve_tokens('cal', n, 0, 'dollar', priority => 'low');
DELETE FROM token_mgmt.model WHERE model = 'dollar';
DELETE FROM token_mgmt.model_price WHERE model = 'dollar';
SELECT * FROM token_mgmt.audit();

-- The configuration of a tenant, as a whole.
SELECT token_mgmt.load_config('{"tenant": "shop", "priorities": {"low": 0.1},
    "agents": [{"agent": "clerk", "max_context_tokens": 9000, "precedence": ["user", "system", "story", "history", "rag"]}],
    "quotas": [{"scope": "user", "value": "*", "period": "day", "amount": 1000, "time_zone": "Europe/Berlin", "carry_over": 50},
        {"scope": "model", "value": "gpt-4o", "period": "hour", "amount": 2.5, "metric": "cost", "kind": "bucket", "burst": 9},
        {"scope": "team", "value": "a", "period": "month", "amount": 5, "anchor": "2026-01-15 06:00", "soft": true,
            "increase": 7, "increase_until": "2027-01-01 00:00+00"}]}') AS changed;
SELECT jsonb_pretty(token_mgmt.dump_config('shop'));
SELECT token_mgmt.dump_config('shop') AS config \gset
SELECT token_mgmt.load_config(:'config') AS changed;
SELECT token_mgmt.load_config(jsonb_set(:'config', '{tenant}', '"branch"')) AS changed;
SELECT token_mgmt.dump_config('branch') - 'tenant' = :'config'::jsonb - 'tenant' AS is_same;
SELECT token_mgmt.load_config(jsonb_set(:'config', '{quotas,1,amount}', '6')) AS changed;
SELECT token_mgmt.load_config('{}'), token_mgmt.dump_config('empty');
\set SHOW_CONTEXT never
SELECT token_mgmt.load_config(NULL);
\set SHOW_CONTEXT errors
-- What is said in another way is the same: nothing is written.
SELECT token_mgmt.load_config('{"tenant": "shop", "quotas": [{"scope": "team", "value": "b", "period": "1 mon", "amount": 5, "increase": 2, "increase_until": "2027-01-01", "soft": "off"}],
    "alerts": [{"kind": "quota_threshold", "scope": "model", "value": "gpt-4o", "thresholds": [1, 0.5]}, {"kind": "job_failing", "thresholds": [3]},
        {"kind": "usage_anomaly", "is_enabled": false}],
    "mutes": [{"scope": "user", "value": "*", "until": "infinity"}, {"scope": "job", "value": "roll up", "until": "2999-01-01"}]}') AS changed;
SELECT token_mgmt.load_config('{"tenant": "shop", "quotas": [{"scope": "team", "value": "b", "period": "month", "amount": 5.0, "increase": "2", "increase_until": "2027-01-01 01:00+01", "soft": null},
        {"scope": "model", "value": "gpt-4o", "period": "01:00:00", "amount": 2.50, "metric": "cost"}],
    "alerts": [{"kind": "quota_threshold", "scope": "model", "value": "openai/gpt-4o", "thresholds": [0.50, 1.0], "is_enabled": true}, {"kind": "job_failing", "scope": "job", "thresholds": null}],
    "mutes": [{"scope": "job", "value": "roll up", "until": "2999-01-01 02:00+02"}]}') AS changed;
SELECT token_mgmt.dump_config('shop') - '{tenant,quotas,agents,priorities}'::text[] AS alerts;
SELECT token_mgmt.load_config(token_mgmt.dump_config('shop')) AS changed;
SELECT p, e.* FROM unnest(ARRAY['"quotas": [{"scope": "user", "value": "x", "period": "day", "amount": 1}, {"scope": "user", "value": "x", "period": "1 day", "amount": 2}]',
    '"quotas": [{"scope": "model", "value": "gpt-4o", "period": "day", "amount": 1}, {"scope": "model", "value": "openai/gpt-4o", "period": "day", "amount": 1}]',
    '"alerts": [{"kind": "quota_threshold"}, {"kind": "usage_anomaly"}, {"kind": "quota_threshold", "scope": "*"}]', '"alerts": [{"kind": "weather"}]',
    '"alerts": [{"kind": "job_failing", "thresholds": 1}]', '"alerts": [{"kind": "job_failing", "thresholds": []}]', '"mutes": [{"scope": "user", "until": "infinity"}]',
    '"mutes": [{"scope": "user", "value": "x"}]', '"quotas": [{"scope": "team", "value": "b", "period": "month", "amount": 5, "increase_until": "soon"}]',
    '"quotas": [{"scope": "team", "value": "c", "period": "month"}]']) p,
    show_error(format('SELECT token_mgmt.load_config(%L)', '{"tenant": "shop", ' || p || '}')) e;
DELETE FROM token_mgmt.alert_rule;
DELETE FROM token_mgmt.alert_mute;
SELECT * FROM show_error($$SELECT token_mgmt.load_config(NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('[]')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"quota": []}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"quotas": {}}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"priorities": {"urgent": 1}}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"agents": [{"agent": "a", "max_tokens": 1}]}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"quotas": [{"scope": "user", "value": "x", "period": "day",
    "amount": 1}, {"scope": "user", "value": "x", "period": "day", "limit": 1}]}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"quotas": [{"scope": "user", "value": "x", "period": "day",
    "amount": 1}, {"scope": "user", "value": "x", "period": "fortnight", "amount": 1}]}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"quotas": [{"scope": "user", "value": "x", "period": "day",
    "amount": "many"}]}')$$);
SELECT count(*) FROM token_mgmt.quota WHERE value = 'x';
