SELECT clean_books();
SELECT status, runs, hint FROM token_mgmt.worker_status WHERE job = 'worker';
SELECT amount FROM token_mgmt.set_quota('user', 'mia', 'minute', 1000);
SELECT amount FROM token_mgmt.set_quota('user', '*', 'minute', 500);
SELECT reservation_id AS id FROM reserve_tokens('mia', 100) \gset
SELECT status FROM reserve_tokens('noa', 100, ttl => '1 microsecond');
-- Two minutes pass: periods move back in time.
UPDATE token_mgmt.quota_period SET starts_at = starts_at - interval '2 minutes', ends_at = ends_at - interval '2 minutes';
UPDATE token_mgmt.reservation r SET allocations = ARRAY(
    SELECT (a.quota_id, a.scope_value, a.starts_at - interval '2 minutes', a.slot, a.metric,
        a.cached_weight, a.amount)::token_mgmt.allocation
    FROM unnest(r.allocations) a);
-- The named value's next period is opened, that of * is not.
SELECT * FROM token_mgmt.run_maintenance();
SELECT scope_value, used, held, closed_at IS NOT NULL AS is_closed FROM token_mgmt.quota_period ORDER BY scope_value, starts_at;
SELECT * FROM token_mgmt.run_maintenance();
-- A hold from before the reset is charged to its own period.
SELECT total_tokens FROM settle_tokens(:'id', 60, 0);
SELECT scope_value, used, held FROM token_mgmt.quota_period ORDER BY scope_value, starts_at;
SELECT remaining FROM token_mgmt.quota_status WHERE value = 'mia';
SELECT * FROM token_mgmt.audit();
-- Closed short periods go once nothing can touch them; noa's can still be settled late.
UPDATE token_mgmt.quota_period SET closed_at = closed_at - interval '10 minutes';
SELECT * FROM token_mgmt.run_maintenance() WHERE job = 'remove periods';
SELECT scope_value, used, held FROM token_mgmt.quota_period ORDER BY scope_value, starts_at;
UPDATE token_mgmt.reservation SET reservation_id = token_mgmt._first_id(reserved_at - interval '40 days'), ended_at = ended_at - interval '40 days', expires_at = expires_at - interval '40 days' WHERE user_id = 'noa';
SELECT * FROM token_mgmt.run_maintenance();
SELECT * FROM token_mgmt.run_maintenance() WHERE job = 'remove periods';
SELECT scope_value, used, held FROM token_mgmt.quota_period ORDER BY scope_value, starts_at;
SELECT count(*) FROM token_mgmt.reservation WHERE user_id = 'noa';
SELECT * FROM token_mgmt.audit();
SELECT * FROM show_error($$SELECT token_mgmt.run_maintenance(0)$$);
SELECT * FROM show_error($$SELECT token_mgmt.run_maintenance(NULL)$$);

-- The month of an expiry is dropped before that of its late settlement: the books are right all the same.
SELECT clean_books();
SELECT date_trunc('month', now(), 'UTC') - interval '1 day' AS last_month \gset
SELECT amount FROM token_mgmt.set_quota('user', 'late', 'total', 1000);
SELECT reservation_id AS id FROM reserve_tokens('late', 100, 100) \gset
SELECT status FROM report_progress(:'id', 50);
UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() WHERE reservation_id = :'id';
SELECT rows_done FROM token_mgmt.run_maintenance() WHERE job = 'expire holds';
SELECT total_tokens, flags FROM settle_tokens(:'id', 100, 70);
SELECT token_mgmt._open_ledger_month(:'last_month') IS NOT NULL AS is_open;
SET session_replication_role = replica; -- no trigger that keeps history
UPDATE token_mgmt.usage_ledger SET recorded_at = :'last_month' WHERE kind = 'expiry';
RESET session_replication_role;
DELETE FROM token_mgmt.usage_rollup;
DELETE FROM token_mgmt.session_rollup;
DELETE FROM token_mgmt.ledger_unrolled;
INSERT INTO token_mgmt.ledger_unrolled SELECT recorded_at, tenant, user_id, team, api_key, session_id, agent, endpoint, provider,
    model, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost, breakdown,
    (kind <> 'correction')::integer FROM token_mgmt.usage_ledger;
UPDATE token_mgmt.reservation SET expires_at = :'last_month' WHERE reservation_id = :'id';
SELECT * FROM token_mgmt.audit();
SELECT token_mgmt._drop_ledger_month(date_trunc('month', :'last_month'::timestamptz AT TIME ZONE 'UTC'));
SELECT kind, prompt_tokens, completion_tokens FROM token_mgmt.usage_ledger;
SELECT * FROM token_mgmt.audit();
-- Without its entry of this month it is still found out.
SET session_replication_role = replica;
DELETE FROM token_mgmt.usage_ledger;
DELETE FROM token_mgmt.ledger_unrolled;
RESET session_replication_role;
SELECT finding, expected, actual FROM token_mgmt.audit() ORDER BY finding;
SELECT clean_books();
