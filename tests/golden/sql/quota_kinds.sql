SELECT clean_books();
-- Instants are moved instead of the clock: the books as they will be when so much time has passed.
CREATE FUNCTION earlier(trace jsonb, span interval) RETURNS jsonb LANGUAGE sql AS $$
    SELECT trace || jsonb_build_object('created_at', (trace ->> 'created_at')::timestamptz - span,
        'updated_at', (trace ->> 'updated_at')::timestamptz - span)
$$;
CREATE FUNCTION pass(span interval) RETURNS void LANGUAGE sql AS $$
    UPDATE token_mgmt.quota SET created_at = created_at - span, updated_at = updated_at - span,
        increase_until = increase_until - span;
    UPDATE token_mgmt.quota_change SET before = earlier(before, span), after = earlier(after, span);
    -- In two steps, so that no period meets the one before it.
    UPDATE token_mgmt.quota_period SET starts_at = starts_at + interval '400000 days';
    UPDATE token_mgmt.quota_period SET credited_at = credited_at - span,
        starts_at = starts_at - interval '400000 days' - span, ends_at = ends_at - span;
    UPDATE token_mgmt.reservation SET allocations = ARRAY(
        SELECT (a.quota_id, a.scope_value, a.starts_at - span, a.slot, a.metric, a.cached_weight,
            a.amount)::token_mgmt.allocation FROM unnest(allocations) a)
$$;
CREATE FUNCTION try(who text, tokens integer, OUT status text, OUT tokens_remaining bigint)
LANGUAGE sql AS $$
    SELECT g.status, g.tokens_remaining FROM try_reserve_tokens(who, tokens, on_overflow => 'refuse') g
$$;

-- Where periods start and end: the 31st is the last day of every month, a week may start on Sunday,
-- intervals are counted from their anchor or from 2000, and a day of the clock's change is one day.
SELECT c.period, c.zone, c.anchor, c.at, p.starts_at, p.ends_at
FROM (VALUES
    ('month', 'UTC', '2026-01-31'::timestamp, '2026-02-28 00:00Z'::timestamptz),
    ('month', 'UTC', '2026-01-31', '2026-03-30 23:59Z'),
    ('month', 'UTC', '2026-01-31', '2028-02-29 12:00Z'),
    ('month', 'Europe/Berlin', '2026-01-15 09:00', '2026-04-15 07:00Z'),
    ('year', 'UTC', '2024-02-29', '2027-02-28 12:00Z'),
    ('year', 'UTC', '2026-04-01', '2026-03-31 23:59Z'),
    ('week', 'UTC', '2026-01-04', '2026-11-22 12:00Z'),
    ('week', 'America/New_York', '2026-01-04', '2026-11-01 12:00Z'),
    ('day', 'Europe/Berlin', '2026-01-01 02:30', '2026-03-29 12:00Z'),
    ('day', 'Europe/Berlin', '2026-01-01 02:30', '2026-10-25 12:00Z'),
    ('3 mons', 'UTC', NULL, '2026-11-20 12:00Z'),
    ('3 mons', 'UTC', '2026-02-01', '2026-11-20 12:00Z'),
    ('15 days', 'Europe/Berlin', '2026-01-01', '2026-03-29 12:00Z'),
    ('05:00:00', 'UTC', '2026-01-01', '2026-01-02 00:30Z'),
    ('hour', 'Asia/Kathmandu', NULL, '2026-01-01 00:20Z'),
    ('hour', 'UTC', '2026-01-01 00:20', '2026-01-01 05:10Z')
) c (period, zone, anchor, at)
CROSS JOIN LATERAL token_mgmt._period(c.period, c.zone, c.anchor, c.at) p;
SELECT z.zone, u.period, u.anchor,
    bool_and(p.starts_at <= t.at AND t.at < p.ends_at AND p.ends_at = n.starts_at) AS no_gap
FROM (VALUES ('UTC'), ('Europe/Berlin'), ('America/Havana'), ('Australia/Lord_Howe')) z (zone)
CROSS JOIN (VALUES ('day', '2026-01-01 02:30'::timestamp), ('week', '2026-01-04'),
    ('month', '2026-01-31'), ('year', '2024-02-29'), ('15 days', NULL), ('3 mons', '2025-11-30'),
    ('05:00:00', NULL), ('05:00:00', '2026-01-01 01:00')) u (period, anchor)
CROSS JOIN generate_series('2026-01-01 00:10Z'::timestamptz, '2028-03-31Z', interval '1170 minutes') t (at)
CROSS JOIN LATERAL token_mgmt._period(u.period, z.zone, u.anchor, t.at) p
CROSS JOIN LATERAL token_mgmt._period(u.period, z.zone, u.anchor, p.ends_at) n
GROUP BY 1, 2, 3 HAVING NOT bool_and(p.starts_at <= t.at AND t.at < p.ends_at AND p.ends_at = n.starts_at);
SELECT period FROM token_mgmt.set_quota('user', 'many', '5 hours', 1) UNION ALL
SELECT period FROM token_mgmt.set_quota('user', 'many', '15 days', 1) UNION ALL
SELECT period FROM token_mgmt.set_quota('user', 'many', '3 months', 1) UNION ALL
SELECT period FROM token_mgmt.set_quota('user', 'many', '1 month', 1) UNION ALL
SELECT period FROM token_mgmt.set_quota('user', 'many', '60 minutes', 1);

-- A bucket: all of the burst at once, then what flows in, up to the burst; a clock that went back
-- grants nothing twice.
SELECT kind, amount, burst FROM token_mgmt.set_quota('user', 'drip', '1000 days', 1000,
    options => '{"kind": "bucket", "burst": 100}');
SELECT * FROM try('drip', 101);
SELECT * FROM try('drip', 100);
SELECT * FROM try('drip', 1);
SELECT pass('10 days'), pass('12 hours');
SELECT * FROM try('drip', 11);
SELECT * FROM try('drip', 10);
SELECT pass('-5 days');
SELECT * FROM try('drip', 1);
SELECT pass('6 days');
SELECT * FROM try('drip', 1);
SELECT * FROM try('drip', 1);
SELECT pass('1000 days');
CREATE TABLE held AS SELECT reservation_id FROM reserve_tokens('drip', 10);
-- The bucket is full again when the call turns out to have been longer: it is paid for all the same.
SELECT pass('20 days');
SELECT floor(remaining) AS remaining FROM token_mgmt.quota_status WHERE value = 'drip';
SELECT flags FROM held, settle_tokens(reservation_id, 60, 0);
SELECT floor(remaining) AS remaining FROM token_mgmt.quota_status WHERE value = 'drip';
SELECT * FROM try('drip', 51);
SELECT sqlstate, advice ->> 'detail' AS detail,
    retry_after BETWEEN interval '23 hours' AND interval '1 day' AS in_a_day
FROM try_reserve_tokens('drip', 51, on_overflow => 'refuse');
SELECT * FROM try('drip', 50);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'drip', 'month', 1, options => '{"kind": "bucket"}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'x', 'day', 1, options => '{"burst": 5}')$$);

-- A sliding window: what was taken counts until all of its sixtieth has left.
SELECT kind, length FROM token_mgmt.set_quota('user', 'slide', '6000 days', 100, options => '{"kind": "sliding"}');
SELECT * FROM try('slide', 60);
SELECT pass('3000 days');
SELECT * FROM try('slide', 40);
SELECT * FROM try('slide', 1);
SELECT pass('3000 days');
SELECT * FROM try('slide', 1);
SELECT pass('100 days');
SELECT * FROM try('slide', 60);
SELECT * FROM try('slide', 1);
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'slide';

-- Requests are counted whatever their size; a soft limit warns, beside one that refuses.
SELECT amount FROM token_mgmt.set_quota('user', 'calls', 'total', 2, metric => 'requests');
SELECT status, tokens_remaining FROM try_reserve_tokens('calls', 1000000);
SELECT status, tokens_remaining FROM try_reserve_tokens('calls', 0);
SELECT status, reason, advice ->> 'detail' AS detail, advice ->> 'hint' AS hint FROM try_reserve_tokens('calls', 0);
SELECT is_soft FROM token_mgmt.set_quota('user', 'soft', 'total', 100, options => '{"soft": true}');
SELECT amount FROM token_mgmt.set_quota('team', 'strict', 'total', 150);
SELECT status, tokens_remaining, warnings FROM try_reserve_tokens('soft', 120, team => 'strict');
SELECT status, tokens_remaining FROM try_reserve_tokens('soft', 31, team => 'strict');
SELECT status, tokens_remaining, warnings FROM try_reserve_tokens('soft', 30, team => 'strict');

-- Money: the hold at the dearest the call can cost, the settlement at what it did. Never for nothing.
SELECT model FROM token_mgmt.register_model('priced', 'o200k_base', 100000, 10000, provider => 'house',
    input_usd_per_mtok => 10, output_usd_per_mtok => 100, cached_input_usd_per_mtok => 1);
SELECT model FROM token_mgmt.register_model('unpriced', 'o200k_base', 100000, 10000, provider => 'house');
SELECT amount FROM token_mgmt.set_quota('user', 'payer', 'total', 0.05, metric => 'cost');
TRUNCATE held;
INSERT INTO held SELECT reservation_id FROM reserve_tokens('payer', 1000, 300, model => 'priced');
SELECT trim_scale(held) AS held, trim_scale(remaining) AS remaining FROM token_mgmt.quota_status WHERE value = 'payer';
SELECT status, completion_tokens, advice ->> 'detail' AS detail FROM try_reserve_tokens('payer', 100, 91, model => 'priced', on_overflow => 'refuse');
SELECT status, completion_tokens FROM try_reserve_tokens('payer', 100, 91, model => 'priced');
SELECT trim_scale(cost) AS cost FROM held, settle_tokens(reservation_id, 1000, 100, cached_tokens => 500);
SELECT trim_scale(used) AS used, trim_scale(held) AS held FROM token_mgmt.quota_status WHERE value = 'payer';
SELECT * FROM show_error($$SELECT reserve_tokens('payer', 1)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('payer', 1, 1, model => 'unpriced')$$);
-- A hold of nothing may settle with a million tokens; so it needs a price, too.
SELECT * FROM show_error($$SELECT reserve_tokens('payer', 0)$$);
SELECT * FROM show_error($$SELECT reserve_tokens('payer', 0, 0, model => 'unpriced')$$);
SELECT * FROM show_error($$SELECT record_usage('payer', 0, 0, model => 'unpriced')$$);
SELECT model FROM token_mgmt.register_model('input-only', 'o200k_base', 100000, 10000, provider => 'house',
    input_usd_per_mtok => 10);
SELECT * FROM show_error($$SELECT reserve_tokens('payer', 5, 0, model => 'input-only')$$);
-- An embedding model writes no completion, and needs no price of one.
SELECT model FROM token_mgmt.register_model('embedder', 'o200k_base', 100000, NULL, provider => 'house',
    input_usd_per_mtok => 10, modality => 'embedding');
TRUNCATE held;
INSERT INTO held SELECT reservation_id FROM reserve_tokens('payer', 0, model => 'embedder');
SELECT total_tokens, cost FROM held, settle_tokens(reservation_id, 100, 1);
SELECT trim_scale(used) AS used, trim_scale(held) AS held FROM token_mgmt.quota_status WHERE value = 'payer';
-- A soft limit, too, counts every call.
SELECT amount FROM token_mgmt.set_quota('user', 'softpayer', 'total', 1, metric => 'cost', options => '{"soft": true}');
SELECT * FROM show_error($$SELECT reserve_tokens('softpayer', 10)$$);
SELECT * FROM show_error($$SELECT record_usage('softpayer', 10, endpoint => 'search')$$);

-- Cached tokens at a tenth: the fractions that they leave are never granted.
SELECT amount FROM token_mgmt.set_quota('user', 'cacher', 'total', 100, options => '{"cached_weight": 0.1}');
TRUNCATE held;
INSERT INTO held SELECT reservation_id FROM reserve_tokens('cacher', 100);
SELECT total_tokens FROM held, settle_tokens(reservation_id, 100, 0, cached_tokens => 55);
SELECT trim_scale(used) AS used, trim_scale(remaining) AS remaining FROM token_mgmt.quota_status WHERE value = 'cacher';
SELECT * FROM try('cacher', 50);
SELECT status, tokens_held, tokens_remaining FROM try_reserve_tokens('cacher', 0, 60);

-- An increase until an instant, which ends by itself.
SELECT amount, increase FROM token_mgmt.set_quota('user', 'boost', 'total', 100,
    options => '{"increase": 50, "increase_until": "2200-01-01Z"}');
SELECT * FROM try('boost', 140);
UPDATE token_mgmt.quota SET increase_until = '2020-01-01Z' WHERE value = 'boost';
SELECT amount, remaining FROM token_mgmt.quota_status WHERE value = 'boost';
SELECT * FROM try('boost', 1);
SELECT increase, increase_until FROM token_mgmt.set_quota('user', 'boost', 'total', 150,
    options => '{"increase": null, "increase_until": null}');
SELECT * FROM try('boost', 10);

-- Carried over: what the period before left, up to the cap; all of it where nobody used that; nothing
-- from before the quota was made; not what had been carried into it, beyond the cap.
SELECT carry_over FROM token_mgmt.set_quota('user', 'saver', '7300 days', 100, options => '{"carry_over": 30}');
SELECT * FROM try('saver', 80);
SELECT pass('7300 days');
SELECT * FROM try('saver', 20);
SELECT amount, held, remaining FROM token_mgmt.quota_status WHERE value = 'saver';
SELECT pass('7300 days');
SELECT * FROM try('saver', 131);
SELECT * FROM try('saver', 130);
SELECT pass('14600 days');
SELECT * FROM try('saver', 1);
-- By the limit of the period before at its end, used or not, opened or not: whatever the limit is now,
-- or was until then.
CREATE PROCEDURE saves(who text, amount numeric DEFAULT 100, options jsonb DEFAULT '{}')
LANGUAGE sql AS $$
    SELECT token_mgmt.set_quota('user', who, '7300 days', amount, options => '{"carry_over": 1000}' || options)
$$;
CALL saves('raised');
CALL saves('raised_used');
CALL saves('lowered', amount => 700);
CALL saves('lowered_used', amount => 700);
CALL saves('lowered_in_time', amount => 700);
CALL saves('increased');
CALL saves('boosted', options => '{"increase": 50, "increase_until": "2199-01-01Z"}');
CALL saves('idle');
CALL saves('idle_opened');
CALL saves('moved');
CALL saves('later', options => '{"carry_over": 0}');
SELECT * FROM try('raised_used', 1);
SELECT * FROM try('lowered_used', 1);
SELECT * FROM try('lowered_in_time', 1);
SELECT * FROM try('boosted', 1);
SELECT * FROM try('idle_opened', 1);
CALL saves('lowered_in_time');
SELECT pass('7300 days');
CALL saves('raised', amount => 500);
CALL saves('raised_used', amount => 500);
CALL saves('lowered');
CALL saves('lowered_used');
CALL saves('increased', options => '{"increase": 50, "increase_until": "2200-01-01Z"}');
CALL saves('later');
SELECT time_zone FROM token_mgmt.set_quota('user', 'moved', '7300 days', 100, time_zone => 'Asia/Tokyo');
SELECT who, tokens_remaining
FROM unnest('{raised,raised_used,lowered,lowered_used,lowered_in_time,increased,boosted,moved,later}'::text[]) who, try(who, 1);
SELECT * FROM try('idle_opened', 1);
SELECT pass('7300 days');
SELECT * FROM try('idle_opened', 1);
SELECT pass('7300 days');
SELECT who, tokens_remaining FROM unnest('{idle,idle_opened}'::text[]) who, try(who, 1);
-- Where the traces of its changes were deleted, nobody knows what the limit was.
CALL saves('traced', 90);
CALL saves('untraced', 90);
CALL saves('traced', 80);
CALL saves('untraced', 80);
SELECT pass('7300 days');
CALL saves('traced', 70);
CALL saves('untraced', 70);
DELETE FROM token_mgmt.quota_change WHERE after ->> 'value' = 'untraced' AND (after ->> 'amount')::numeric = 70;
SELECT who, tokens_remaining FROM unnest('{traced,untraced}'::text[]) who, try(who, 1);
-- Of a period whose row was removed nobody knows that anything was left.
SELECT carry_over FROM token_mgmt.set_quota('user', 'loser', '7300 days', 100, options => '{"carry_over": 30}');
UPDATE token_mgmt.quota SET created_at = '2010-01-01Z', removed_until = '2019-12-27Z' WHERE value = 'loser';
SELECT * FROM try('loser', 1);

-- Changes in mid-period: the limit at once, with what is carried and held kept; another kind, zone or
-- anchor is another count.
SELECT amount FROM token_mgmt.set_quota('user', 'saver', '7300 days', 200);
SELECT * FROM try('saver', 1);
SELECT amount, held, remaining FROM token_mgmt.quota_status WHERE value = 'saver';
SELECT kind FROM token_mgmt.set_quota('user', 'saver', '7300 days', 100, options => '{"kind": "bucket", "carry_over": 0}');
SELECT * FROM try('saver', 101);
SELECT * FROM try('saver', 100);
SELECT amount FROM token_mgmt.set_quota('user', 'saver', '7300 days', 300);
SELECT * FROM try('saver', 200);
SELECT amount FROM token_mgmt.set_quota('user', 'mover', '7300 days', 100);
SELECT * FROM try('mover', 100);
SELECT time_zone FROM token_mgmt.set_quota('user', 'mover', '7300 days', 100, time_zone => 'Asia/Tokyo');
-- An anchor is local time of the quota's zone: one with a zone of its own would be another instant.
SELECT a AS anchor, e.*
FROM unnest(ARRAY['2026-01-31 09:00+05', '2026-01-31T09:00:00Z', '2026-01-31 09:00 Europe/Berlin', '2026-01-31 09:00+99', 'soon']) a,
    show_error(format($$SELECT token_mgmt.set_quota('user', 'mover', 'month', 100, options => '{"anchor": "%s"}')$$, a)) e;
SELECT a, q.anchor = '2026-01-31 09:00' AS same FROM unnest(ARRAY['2026-01-31 09:00', '2026-01-31T09:00:00', '20260131T090000', 'Jan 31 9:00 AM 2026']) a,
    token_mgmt.set_quota('user', 'mover', 'month', 100, options => jsonb_build_object('anchor', a)) q;
SELECT anchor FROM token_mgmt.set_quota('user', 'mover', 'month', 200);
SELECT * FROM show_error($$SELECT token_mgmt.load_config('{"quotas": [{"scope": "user", "value": "mover", "period": "month", "amount": 200, "anchor": "2026-01-31 09:00+05"}]}')$$);
SELECT token_mgmt.drop_quota('user', 'mover', 'month');
SELECT * FROM try('mover', 100);
SELECT time_zone FROM token_mgmt.set_quota('user', 'mover', '7300 days', 100, time_zone => 'UTC');
SELECT * FROM try('mover', 1);

-- An exact value replaces * of its scope, metric and period, and nothing else.
SELECT amount FROM token_mgmt.set_quota('user', '*', 'total', 10);
SELECT amount FROM token_mgmt.set_quota('user', '*', 'total', 3, metric => 'requests');
SELECT amount FROM token_mgmt.set_quota('user', 'vip', 'total', 1000);
SELECT * FROM try('vip', 11);
SELECT * FROM try('vip', 11);
SELECT * FROM try('guest', 11);
SELECT * FROM try('vip', 1);
SELECT * FROM try('vip', 1);
SELECT * FROM token_mgmt.audit() WHERE finding <> 'used differs from the ledger';
DROP TABLE held;
DROP FUNCTION try, pass, earlier;
DROP PROCEDURE saves;

-- What is given back to a bucket does not come back twice: an hour has refilled it meanwhile.
SELECT token_mgmt.drop_quota('user', '*', 'total') AND token_mgmt.drop_quota('user', '*', 'total', 'requests') AS dropped;
CREATE PROCEDURE an_hour_passes() LANGUAGE sql AS $$
    UPDATE token_mgmt.quota_period SET credited_at = credited_at - interval '1 hour' WHERE credited_at IS NOT NULL;
    UPDATE token_mgmt.reservation SET reserved_at = reserved_at - interval '1 hour' WHERE state = 'held';
    UPDATE token_mgmt.quota SET rate_since = rate_since - interval '1 hour';
$$;
SELECT kind FROM token_mgmt.set_quota('user', 'buck', 'hour', 100, options => '{"kind": "bucket", "burst": 100}');
SELECT reservation_id AS first FROM reserve_tokens('buck', 100, ttl => '1 day') \gset
CALL an_hour_passes();
SELECT reservation_id AS second FROM reserve_tokens('buck', 100, ttl => '1 day') \gset
SELECT status FROM release_tokens(:'first');
SELECT status, tokens_remaining FROM try_reserve_tokens('buck', 50);
-- What nothing has flowed in for comes back whole.
SELECT status FROM release_tokens(:'second');
SELECT status, tokens_remaining BETWEEN 0 AND 1 AS all_of_it FROM try_reserve_tokens('buck', 99);

-- A change of the rate changes nothing of what has flowed in before, for whoever comes when.
CREATE PROCEDURE flows(who text, amount numeric) LANGUAGE sql AS $$
    SELECT token_mgmt.set_quota('user', who, 'hour', amount, options => '{"kind": "bucket", "burst": 1000}')
$$;
CALL flows('quickened', 10);
CALL flows('quickened_idle', 10);
CALL flows('quickened_held', 10);
CALL flows('quickened_twice', 10);
CALL flows('slowed', 200);
CALL flows('slowed_held', 1000);
SELECT sum(total_tokens) FROM unnest('{quickened,quickened_idle,quickened_twice,slowed}'::text[]) who, record_usage(who, 1000);
SELECT reservation_id AS first FROM reserve_tokens('quickened_held', 1000, ttl => '1 day') \gset
SELECT reservation_id AS second FROM reserve_tokens('slowed_held', 1000, ttl => '1 day') \gset
CALL an_hour_passes();
SELECT status FROM reserve_tokens('slowed_held', 1000, ttl => '1 day');
CALL flows('quickened', 200);
CALL flows('quickened_idle', 200);
CALL flows('quickened_held', 200);
CALL flows('quickened_twice', 200);
CALL flows('quickened_twice', 190);
CALL flows('slowed', 10);
CALL flows('slowed_held', 10);
SELECT value, floor(remaining) AS remaining FROM token_mgmt.quota_status
WHERE value = ANY ('{quickened,quickened_held,quickened_twice,slowed}') AND period = 'hour' ORDER BY 1;
SELECT fits, floor(free) AS free FROM explain_reservation('quickened', 11) WHERE period = 'hour';
SELECT status, tokens_remaining FROM try_reserve_tokens('quickened', 11);
SELECT status, tokens_remaining FROM try_reserve_tokens('quickened', 10);
SELECT flags FROM record_usage('quickened_twice', 10);
SELECT total_tokens FROM settle_tokens(:'first', 1000, 0);
SELECT status, tokens_remaining FROM try_reserve_tokens('quickened_held', 11);
-- What is given back had flowed in again at the rate of its time.
SELECT status FROM release_tokens(:'second');
SELECT status, tokens_remaining FROM try_reserve_tokens('slowed_held', 11);
CALL an_hour_passes();
SELECT value, floor(remaining) AS remaining FROM token_mgmt.quota_status
WHERE value = ANY ('{quickened,quickened_idle,quickened_held,quickened_twice,slowed,slowed_held}') AND period = 'hour' ORDER BY 1;
DROP PROCEDURE flows;
-- A burst that was said stays, even where it was as large as the amount; else it is as the amount is.
SELECT value, burst FROM token_mgmt.set_quota('user', 'said', 'hour', 60, options => '{"kind": "bucket", "burst": 60}') UNION ALL
SELECT value, burst FROM token_mgmt.set_quota('user', 'unsaid', 'hour', 60, options => '{"kind": "bucket"}');
SELECT value, burst FROM token_mgmt.set_quota('user', 'said', 'hour', 600) UNION ALL
SELECT value, burst FROM token_mgmt.set_quota('user', 'unsaid', 'hour', 600);
SELECT token_mgmt.load_config(token_mgmt.dump_config());
SELECT value, amount, remaining FROM token_mgmt.quota_status WHERE value IN ('said', 'unsaid') ORDER BY 1;
SELECT (token_mgmt.set_quota('user', 'said', 'hour', 600, options => '{"burst": null}')).burst;
SELECT fits, amount FROM explain_reservation('said', 600) WHERE period = 'hour';

-- A hold of nothing keeps its period too: what it settles with has to go there.
SELECT amount FROM token_mgmt.set_quota('user', 'zero', 'minute', 100);
SELECT reservation_id AS id FROM reserve_tokens('zero', 0, ttl => '2 hours') \gset
UPDATE token_mgmt.quota_period SET closed_at = clock_timestamp() - interval '1 hour' WHERE scope_value = 'zero';
SELECT FROM token_mgmt.run_maintenance();
SELECT total_tokens, flags FROM settle_tokens(:'id', 500, 0);
SELECT used FROM token_mgmt.quota_period WHERE scope_value = 'zero' ORDER BY 1;

-- What was charged after a reset is not taken off what the reset gave back.
SELECT amount FROM token_mgmt.set_quota('user', 'late', 'total', 1000);
SELECT total_tokens FROM record_usage('late', 500);
SELECT token_mgmt.reset_quota('user', 'late', 'total');
SELECT reservation_id AS id FROM reserve_tokens('late', 300, 300) \gset
SELECT status FROM report_progress(:'id', 300);
UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() WHERE reservation_id = :'id';
SELECT FROM token_mgmt.run_maintenance();
SELECT used, remaining FROM token_mgmt.quota_status WHERE value = 'late';
SELECT total_tokens FROM settle_tokens(:'id', 10, 0);
SELECT used, remaining FROM token_mgmt.quota_status WHERE value = 'late';

-- A day's window is 24 hours, whatever the zone of the session that opens a part of it.
SELECT kind FROM token_mgmt.set_quota('user', 'zone', 'day', 100, options => '{"kind": "sliding"}');
SET TimeZone = 'AAA0BBB-23,J1/0,J365/23';
SELECT status FROM reserve_tokens('zone', 60);
RESET TimeZone;
SELECT DISTINCT extract(epoch FROM ends_at - starts_at) / 3600 AS hours FROM token_mgmt.quota_period
WHERE scope_value = 'zone' AND starts_at > '-infinity';
SELECT * FROM token_mgmt.audit();
DROP PROCEDURE an_hour_passes;
DELETE FROM token_mgmt.quota_change;
