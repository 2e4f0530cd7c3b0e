SELECT clean_books();
SELECT amount FROM token_mgmt.set_quota('user', 'sam', 'total', 10000);
SELECT amount FROM token_mgmt.set_quota('team', 'ops', 'total', 10000);
SELECT model FROM token_mgmt.register_model('priced', 'o200k_base', 100000, max_output_tokens => 10000,
    input_usd_per_mtok => 2, output_usd_per_mtok => 10, cached_input_usd_per_mtok => 0.5);

-- What was really used is charged to every quota that held it, the rest comes free.
SELECT reservation_id AS id FROM reserve_tokens('sam', 800, 200, model => 'priced', team => 'ops', priority => 'high',
    session_id => 'chat-1', agent => 'scribe', endpoint => '/v1/chat', api_key => 'key-1', request_id => 'q-1',
    metadata => '{"a": 1}') \gset
SELECT kind, user_id, model, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens,
    total_tokens, tokens_held, cost, flags, entry_id > 0 AS has_id, reservation_id = :'id' AS of_reservation
FROM settle_tokens(:'id', 700, 150, cached_tokens => 100, reasoning_tokens => 50, breakdown => '{"history": 600}',
    metadata => '{"b": 2}');
SELECT scope, used, held, remaining FROM token_mgmt.quota_status ORDER BY scope;
SELECT tenant, kind, request_id, user_id, api_key, team, session_id, agent, endpoint, provider, model, priority,
    prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, tokens_held, cost, breakdown, flags, metadata,
    (price).input_usd_per_mtok, cardinality(allocations) AS allocations
FROM token_mgmt.usage_ledger \gx
SELECT tableoid::regclass::text = 'token_mgmt.usage_ledger_' || to_char(now(), 'YYYY_MM') AS in_its_month
FROM token_mgmt.usage_ledger;

-- The same again is the same entry; anything else is an error.
SELECT total_tokens, cost FROM settle_tokens(:'id', 700, 150, 100, 0, 50);
SELECT * FROM show_error(format('SELECT settle_tokens(%L, 701, 150, 100, 0, 50)', :'id'));
SELECT * FROM show_error(format('SELECT settle_tokens(%L, 700, 150)', :'id'));
SELECT * FROM show_error(format('SELECT release_tokens(%L)', :'id'));
SELECT count(*) FROM token_mgmt.usage_ledger;

-- More than was held is recorded, not refused; nothing at all is, too.
SELECT reservation_id AS id FROM reserve_tokens('sam', 100) \gset
SELECT total_tokens, flags, cost FROM settle_tokens(:'id', 9000, 3000);
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE scope = 'user';
SELECT * FROM show_error($$SELECT reserve_tokens('sam', 1)$$);
SELECT reservation_id AS id FROM reserve_tokens('tim', 100) \gset
SELECT total_tokens, flags FROM settle_tokens(:'id', 0, 0);

-- A price that changes later changes no entry.
SELECT reservation_id AS id FROM reserve_tokens('tim', 1000, 0, model => 'priced') \gset
SELECT model FROM token_mgmt.register_model('priced', 'o200k_base', 100000, max_output_tokens => 10000,
    input_usd_per_mtok => 200, output_usd_per_mtok => 1000);
SELECT cost FROM settle_tokens(:'id', 1000, 0);

-- Release charges nothing, and once.
SELECT amount FROM token_mgmt.set_quota('user', 'rob', 'total', 100);
SELECT reservation_id AS id FROM reserve_tokens('rob', 60) \gset
SELECT status, tokens_released, reservation_id = :'id' AS same, released_at IS NOT NULL AS at FROM release_tokens(:'id');
SELECT status, tokens_released FROM release_tokens(:'id');
SELECT * FROM show_error(format('SELECT settle_tokens(%L, 1, 1)', :'id'));
SELECT used, held FROM token_mgmt.quota_status WHERE value = 'rob';

-- Expiry frees the hold whether the worker comes by or not; it can be settled late, once, and is then
-- charged to the period that held it.
SELECT reservation_id AS id FROM reserve_tokens('rob', 90, ttl => '1 microsecond') \gset
SELECT * FROM show_error(format('SELECT release_tokens(%L)', :'id'));
SELECT is_overdue FROM token_mgmt.open_reservations WHERE user_id = 'rob';
SELECT status, tokens_remaining FROM reserve_tokens('rob', 100);
SELECT count(*) FROM token_mgmt.open_reservations WHERE user_id = 'rob';
SELECT total_tokens, flags FROM settle_tokens(:'id', 90, 5);
SELECT total_tokens, flags FROM settle_tokens(:'id', 90, 5);
SELECT used, held, remaining FROM token_mgmt.quota_status WHERE value = 'rob';
SELECT reservation_id AS id FROM reserve_tokens('tim', 90, ttl => '1 microsecond') \gset
UPDATE token_mgmt.reservation SET expires_at = expires_at - interval '25 hours' WHERE reservation_id = :'id';
SELECT * FROM show_error(format('SELECT settle_tokens(%L, 1, 1)', :'id'));

-- In the transaction that reserved: warned of and flagged.
BEGIN;
SELECT reservation_id AS id FROM reserve_tokens('tim', 10) \gset
SELECT flags FROM settle_tokens(:'id', 10, 0);
COMMIT;

-- A rolled-back transaction leaves nothing.
BEGIN;
SELECT status FROM reserve_tokens('una', 10);
ROLLBACK;
SELECT count(*) FROM token_mgmt.reservation WHERE user_id = 'una';

-- The CALL form.
SELECT reservation_id AS id FROM reserve_tokens('tim', 10) \gset
CALL settle_tokens(jsonb_build_object('reservation_id', :'id', 'prompt_tokens', 7, 'completion_tokens', 2)) \gset
SELECT :'request'::jsonb - 'reservation_id' - 'entry_id' - 'recorded_at' AS entry;
SELECT * FROM show_error($$CALL settle_tokens('{"reservation": 1}')$$);
SELECT * FROM show_error($$CALL settle_tokens(NULL)$$);

-- Bad input.
SELECT * FROM show_error($$SELECT settle_tokens(NULL, 1, 1)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', NULL, 1)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', 1, NULL)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', 1, 1)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', -1, 1)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', 1, 2000000000)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', 10, 1, 8, 3)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', 10, 1, 0, 0, 2)$$);
SELECT * FROM show_error($$SELECT settle_tokens('00000000-0000-0000-0000-000000000000', 10, 1, options => '{"x": 1}')$$);
SELECT * FROM show_error($$SELECT release_tokens(NULL)$$);
SELECT * FROM show_error($$SELECT release_tokens('00000000-0000-0000-0000-000000000000')$$);
SELECT * FROM show_error($$SELECT release_tokens('00000000-0000-0000-0000-000000000000', '{"x": 1}')$$);

-- History stays as it was written.
SELECT * FROM show_error($$UPDATE token_mgmt.usage_ledger SET cost = 0$$);
SELECT * FROM show_error($$DELETE FROM token_mgmt.usage_ledger$$);
SELECT count(*) FROM ONLY token_mgmt.usage_ledger_default;

-- The audit sees what is wrong.
SELECT * FROM token_mgmt.audit();
BEGIN;
UPDATE token_mgmt.quota_period SET used = used + 1, held = held + 2 WHERE scope_value = 'rob';
UPDATE token_mgmt.reservation SET state = 'released', entry = NULL WHERE request_id = 'q-1';
SELECT finding, tenant, expected, actual FROM token_mgmt.audit() ORDER BY 1, 3;
ROLLBACK;

-- An expired hold holds nothing any more, even if the clock has since moved back to before its end.
SELECT amount FROM token_mgmt.set_quota('user', 'uma', 'total', 100);
SELECT reservation_id AS id FROM reserve_tokens('uma', 5, ttl => '1 microsecond') \gset
SELECT rows_done FROM token_mgmt.run_maintenance() WHERE job = 'expire holds';
UPDATE token_mgmt.reservation SET expires_at = expires_at + interval '1 hour' WHERE reservation_id = :'id';
SELECT * FROM show_error(format('SELECT release_tokens(%L)', :'id'));
SELECT flags FROM settle_tokens(:'id', 5, 0);
SELECT * FROM token_mgmt.audit();
