SELECT clean_books();
UPDATE token_mgmt.installation SET installed_at = installed_at - interval '2 days';
SELECT kind FROM token_mgmt.set_quota('user', '*', 'minute', 1000, options => '{"kind": "bucket"}');
SELECT kind FROM token_mgmt.set_quota('user', '*', 'day', 1000, options => '{"kind": "sliding"}');
SELECT kind FROM token_mgmt.set_quota('user', '*', 'total', 1000);
SELECT kind FROM token_mgmt.set_quota('team', 'ops', 'year', 1000);
SELECT kind FROM token_mgmt.set_quota('user', 'ann', 'year', 1000);
SELECT reservation_id AS id FROM reserve_tokens('ann', 100, team => 'ops') \gset
SELECT total_tokens FROM settle_tokens(:'id', 60, 0);
SELECT reservation_id AS held FROM reserve_tokens('bob', 100) \gset
SELECT token_mgmt._split_period(p.tenant, p.quota_id, p.scope_value, p.starts_at, 4::smallint, 'tokens')
FROM token_mgmt.quota_period p WHERE p.scope_value = 'ops';
CREATE VIEW balances AS
    SELECT scope_value, count(*) AS periods, sum(used) AS used, sum(held) AS held, q.quota_id IS NOT NULL AS is_there
    FROM token_mgmt.quota_period p LEFT JOIN token_mgmt.quota q USING (tenant, quota_id) GROUP BY 1, 5;
CREATE FUNCTION remove_dropped(max_rows integer DEFAULT 1000) RETURNS token_mgmt.maintenance_result LANGUAGE sql AS $$
    SELECT r FROM token_mgmt.run_maintenance(max_rows) r WHERE job = 'remove dropped quotas'
$$;
SELECT * FROM balances ORDER BY 1;
-- A drop, and a change of the kind, which starts a balance of its own.
SELECT token_mgmt.drop_quota('user', '*', 'minute'), token_mgmt.drop_quota('user', '*', 'day'), token_mgmt.drop_quota('team', 'ops', 'year'),
    token_mgmt.drop_quota('team', 'ops', 'year');
SELECT kind FROM token_mgmt.set_quota('user', '*', 'total', 1000);
SELECT token_mgmt.drop_quota('user', '*', 'total');
SELECT kind FROM token_mgmt.set_quota('user', '*', 'hour', 1000);
SELECT kind FROM token_mgmt.set_quota('user', '*', 'hour', 1000, options => '{"kind": "bucket"}');
SELECT count(*) FROM token_mgmt.dropped_quota;
SELECT * FROM remove_dropped();
-- A day and an hour later: what bob holds keeps the quotas that hold it.
UPDATE token_mgmt.dropped_quota SET dropped_at = dropped_at - interval '25 hours 1 minute';
SELECT * FROM remove_dropped(2);
SELECT * FROM token_mgmt.audit();
SELECT * FROM remove_dropped();
SELECT * FROM balances ORDER BY 1, 5;
SELECT * FROM token_mgmt.audit();
-- What has expired may still be settled late.
UPDATE token_mgmt.reservation SET expires_at = reserved_at WHERE state = 'held';
SELECT * FROM remove_dropped();
SELECT flags FROM settle_tokens(:'held', 40, 0);
SELECT * FROM balances ORDER BY 1, 5;
SELECT * FROM remove_dropped();
SELECT * FROM balances ORDER BY 1, 5;
SELECT count(*) FROM token_mgmt.dropped_quota;
SELECT * FROM token_mgmt.audit();
-- None in the first day of a database: it may be one that is being restored.
SELECT token_mgmt.drop_quota('user', 'ann', 'year');
UPDATE token_mgmt.dropped_quota SET dropped_at = dropped_at - interval '25 hours 1 minute';
UPDATE token_mgmt.installation SET installed_at = installed_at + interval '2 days';
SELECT * FROM remove_dropped();
DROP FUNCTION remove_dropped;
DROP VIEW balances;
DELETE FROM token_mgmt.quota_change;
