SELECT clean_books();
DELETE FROM token_mgmt.hot_quota;
-- As many reservations as this waited for the quota's row.
CREATE FUNCTION waits(waited text, times integer) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO token_mgmt.quota_wait
    SELECT q.tenant, q.quota_id, q.value, clock_timestamp()
    FROM token_mgmt.quota q, generate_series(1, times) WHERE q.value = waited;
    SELECT rows_done FROM token_mgmt.run_maintenance() WHERE job = 'split hot periods'
$$;
CREATE VIEW slots AS
    SELECT scope_value, count(*) AS slots, sum(allowance) AS allowance, min(allowance) AS least,
        max(allowance) AS most, sum(used) AS used, sum(held) AS held
    FROM token_mgmt.quota_period GROUP BY quota_id, scope_value ORDER BY quota_id;

SELECT amount FROM token_mgmt.set_quota('user', 'hot', 'total', 1000);
CREATE TABLE held AS SELECT 'first' AS name, reservation_id FROM reserve_tokens('hot', 100);
-- On a busy machine an UPDATE takes long with nobody in its way.
DELETE FROM token_mgmt.quota_wait;
SELECT waits('hot', 19) AS split;
SELECT count(*) FROM token_mgmt.quota_wait;
SELECT waits('hot', 20) AS split;
TABLE slots;
SELECT waits('hot', 20) AS split;
SELECT waits('hot', 20) AS split;
SELECT waits('hot', 20) AS split;
TABLE slots;
SELECT * FROM token_mgmt.audit();

-- What remains is said of all slots: by a sum of at most a tenth of a second ago, whatever the clock
-- did.
UPDATE token_mgmt.quota_period SET others_free = 0, others_at = clock_timestamp() - interval '1 second'
WHERE scope_value = 'hot';
SELECT g.tokens_remaining, r.status FROM reserve_tokens('hot', 1) g, release_tokens(g.reservation_id) r;
UPDATE token_mgmt.quota_period SET others_free = 0, others_at = clock_timestamp() + interval '1 hour'
WHERE scope_value = 'hot';
SELECT g.tokens_remaining, r.status FROM reserve_tokens('hot', 1) g, release_tokens(g.reservation_id) r;
SELECT count(*) AS summed FROM token_mgmt.quota_period
WHERE scope_value = 'hot' AND others_at <= clock_timestamp();

-- The slots are one limit: what no slot has alone is there, and one token more is not.
SELECT status FROM try_reserve_tokens('hot', 901, on_overflow => 'refuse');
INSERT INTO held SELECT 'most', reservation_id FROM reserve_tokens('hot', 890);
INSERT INTO held SELECT 'last', reservation_id FROM reserve_tokens('hot', 10);
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 1);

-- A debt is everybody's: what another hold gives back pays for it first.
SELECT flags FROM held, settle_tokens(reservation_id, 150, 0) WHERE name = 'first';
SELECT status FROM held, release_tokens(reservation_id) WHERE name = 'last';
SELECT * FROM token_mgmt.audit();
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 1);
SELECT remaining FROM token_mgmt.quota_status WHERE value = 'hot';
SELECT total_tokens FROM held, settle_tokens(reservation_id, 800, 0) WHERE name = 'most';
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 20);
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 30);
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 1);
TABLE slots;
SELECT * FROM token_mgmt.audit();

-- A limit that is changed is spread anew; a lower one lends nothing to any slot.
SELECT amount FROM token_mgmt.set_quota('user', 'hot', 'total', 990);
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 1);
SELECT amount FROM token_mgmt.set_quota('user', 'hot', 'total', 1064);
SELECT status, tokens_remaining FROM try_reserve_tokens('hot', 1);
TABLE slots;

-- Money is split to the millionth of a dollar, and adds up.
SELECT amount FROM token_mgmt.set_quota('user', 'rich', 'total', 1, metric => 'cost');
SELECT status FROM try_reserve_tokens('rich', 1, 1, model => 'gpt-4o');
SELECT waits('rich', 20) AS split;
SELECT slots, allowance FROM slots WHERE scope_value = 'rich';

-- Only fixed periods are split. Who has not been waited for in a day gets whole periods again.
SELECT amount FROM token_mgmt.set_quota('user', 'drip', 'day', 1000, options => '{"kind": "bucket"}');
SELECT status FROM try_reserve_tokens('drip', 1);
SELECT waits('drip', 20) AS split;
SELECT slots FROM slots WHERE scope_value = 'drip';
UPDATE token_mgmt.hot_quota SET seen_at = now() - interval '25 hours' WHERE slots = 32;
SELECT waits('drip', 0) AS split;
SELECT slots FROM token_mgmt.hot_quota ORDER BY quota_id;
SELECT * FROM token_mgmt.audit();
DELETE FROM token_mgmt.hot_quota;
DROP TABLE held;
DROP VIEW slots;
DROP FUNCTION waits;
