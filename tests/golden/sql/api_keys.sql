SELECT clean_books();
DELETE FROM token_mgmt.api_key;
SELECT api_key, tenant, name, user_id, team, expires_at
FROM issue_api_key('alice', 'laptop', 'red') \gset laptop_
SELECT :'laptop_api_key' ~ '^tmk_[A-Za-z0-9_-]{43}$' AS looks_right;
-- What is stored is the hash, and no view has that.
SELECT k.hash = sha256(convert_to(:'laptop_api_key', 'UTF8')) AS is_hash,
    strpos(k::text, substr(:'laptop_api_key', 5)) AS place_of_the_key FROM token_mgmt.api_key k;
SELECT tenant, name, user_id, team, api_key = 'tmk_...' || right(:'laptop_api_key', 4) AS is_shown,
    status FROM token_mgmt.api_keys;
SELECT * FROM verify_api_key(:'laptop_api_key');
SELECT * FROM verify_api_key('laptop');
SELECT * FROM verify_api_key('tmk_');
SELECT * FROM verify_api_key(:'laptop_api_key' || ' ');

-- A key says whose call it is; the books have its name.
SELECT reservation_id FROM reserve_tokens(NULL, 100, api_key => :'laptop_api_key') \gset
SELECT user_id, team, api_key FROM token_mgmt.open_reservations;
SELECT total_tokens FROM settle_tokens(:'reservation_id', 90, 0);
SELECT user_id, team, api_key FROM token_mgmt.usage_ledger;
SELECT status FROM reserve_tokens('alice', 1, team => 'red', api_key => :'laptop_api_key',
    tenant => 'default');
SELECT status FROM prepare_request(NULL, 'gpt-4o', '[{"role": "user", "content": "Hi"}]',
    api_key => :'laptop_api_key');
SELECT quota_id > 0 AS is_set FROM token_mgmt.set_quota('api_key', 'laptop', 'total', 300);
SELECT * FROM show_error(format('SELECT reserve_tokens(NULL, 400, api_key => %L)', :'laptop_api_key'));
-- A retry by the key is the same request.
SELECT reservation_id FROM reserve_tokens(NULL, 1, api_key => :'laptop_api_key', request_id => 'r1') \gset
SELECT reservation_id = :'reservation_id' AS is_same
FROM reserve_tokens(NULL, 1, api_key => :'laptop_api_key', request_id => 'r1');

-- What contradicts it, and what is no key.
SELECT a, e.* FROM unnest(ARRAY[$$user_id => 'bob'$$, $$user_id => 'alice', team => 'blue'$$,
    $$user_id => 'alice', tenant => 'acme'$$]) a,
    show_error(format('SELECT reserve_tokens(prompt_tokens => 1, api_key => %L, %s)', :'laptop_api_key', a)) e;
SELECT * FROM show_error($$SELECT reserve_tokens(NULL, 1, api_key => 'tmk_unknown')$$);
SELECT * FROM show_error($$SELECT try_reserve_tokens('alice', 1, api_key => 'tmk_')$$);
SELECT * FROM show_error($$CALL reserve_tokens('{"prompt_tokens": 1, "api_key": "tmk_a"}')$$);
SELECT * FROM show_error($$SELECT reserve_tokens(NULL, 1, api_key => 'laptop')$$);
-- Names are a gateway's own, unless keys were issued under them.
SELECT status FROM reserve_tokens('alice', 1, api_key => 'laptop');
-- Another user would use up the key's limits.
SELECT * FROM show_error($$SELECT reserve_tokens('mallory', 10, api_key => 'laptop')$$);
SELECT sqlstate FROM show_error($$SELECT record_usage('mallory', 10, api_key => 'laptop')$$);
SELECT used, held FROM token_mgmt.quota_status WHERE scope = 'api_key';
SELECT status FROM reserve_tokens('bob', 1, api_key => 'none of ours');

-- Rotated: the old one is valid for a while, and hands nothing out any more.
SELECT api_key, previous_valid_until FROM rotate_api_key(:'laptop_api_key', '1 hour') \gset new_
SELECT :'new_api_key' <> :'laptop_api_key' AS is_new;
SELECT k, v.is_valid, v.name, v.expires_at IS NULL AS for_ever, v.reason
FROM unnest(ARRAY[:'laptop_api_key', :'new_api_key']) WITH ORDINALITY u (key, k), verify_api_key(key) v;
SELECT api_key, name FROM rotate_api_key(:'laptop_api_key');
SELECT api_key IS NOT NULL AS by_its_name FROM rotate_api_key('laptop', '0') \gset
SELECT :'by_its_name' AS by_its_name;
SELECT v.is_valid, v.reason
FROM unnest(ARRAY[:'laptop_api_key', :'new_api_key']) u (key), verify_api_key(key) v;
SELECT * FROM show_error(format('SELECT rotate_api_key(%L)', :'new_api_key'));
SELECT * FROM show_error($$SELECT rotate_api_key('phone')$$);
SELECT * FROM show_error($$SELECT rotate_api_key('laptop', '-1 day')$$);
SELECT * FROM show_error($$SELECT rotate_api_key(NULL)$$);

-- Renewed by itself: in time the first who asks has the new one.
SELECT api_key FROM issue_api_key('bob', 'robot', expires_in => '30 days', auto_rotate => '7 days') \gset robot_
SELECT is_valid, new_api_key FROM verify_api_key(:'robot_api_key');
UPDATE token_mgmt.api_key SET expires_at = now() + interval '6 days' WHERE name = 'robot';
SELECT name, user_id FROM token_mgmt._expiring_keys('7 days');
BEGIN READ ONLY;
SELECT is_valid, new_api_key FROM verify_api_key(:'robot_api_key');
COMMIT;
SELECT is_valid, new_api_key AS api_key FROM verify_api_key(:'robot_api_key') \gset next_
SELECT :'next_is_valid' AS is_valid, :'next_api_key' ~ '^tmk_' AS is_new;
SELECT is_valid, new_api_key FROM verify_api_key(:'robot_api_key');
SELECT is_valid, new_api_key, expires_at > now() + interval '29 days' AS is_renewed
FROM verify_api_key(:'next_api_key');
SELECT count(*) FROM token_mgmt._expiring_keys('7 days');
UPDATE token_mgmt.api_key SET expires_at = now(), grace_until = now() WHERE name = 'robot';
SELECT is_valid, reason FROM unnest(ARRAY[:'robot_api_key', :'next_api_key']) u (key), verify_api_key(key);
SELECT * FROM show_error(format('SELECT reserve_tokens(NULL, 1, api_key => %L)', :'next_api_key'));
SELECT sqlstate FROM show_error($$SELECT reserve_tokens('bob', 1, api_key => 'robot')$$);
SELECT sqlstate FROM show_error(format('SELECT rotate_api_key(%L)', :'next_api_key'));
SELECT api_key IS NOT NULL AS issued_anew FROM rotate_api_key('robot');

-- Revoked for ever, with the one it replaced.
SELECT revoke_api_key('laptop', 'left in a train');
SELECT revoke_api_key('laptop', 'twice');
SELECT name, status, revoke_reason FROM token_mgmt.api_keys ORDER BY name;
SELECT sqlstate FROM show_error($$SELECT reserve_tokens('alice', 1, api_key => 'laptop')$$);
SELECT sqlstate FROM show_error($$SELECT rotate_api_key('laptop')$$);
SELECT sqlstate, detail FROM show_error($$SELECT issue_api_key('carol', 'laptop')$$);
SELECT sqlstate FROM show_error($$SELECT revoke_api_key('phone')$$);
SELECT revoke_api_key(:'next_api_key', 'its holder found it in a log');
-- Of another tenant the name is free.
SELECT status FROM reserve_tokens('alice', 1, api_key => 'laptop', tenant => 'acme');
SELECT tenant, name FROM issue_api_key('alice', 'laptop', tenant => 'acme');
SELECT name ~ '^key-[0-9a-f]{8}$' AS is_made_up FROM issue_api_key('alice');

SELECT q, e.sqlstate, e.message, e.detail FROM unnest(ARRAY[
    $$issue_api_key(NULL)$$, $$issue_api_key('*')$$, $$issue_api_key('a', '')$$,
    $$issue_api_key('a', 'tmk_a')$$, $$issue_api_key('a', 'n', expires_in => '0')$$,
    $$issue_api_key('a', 'n', expires_in => '101 years')$$,
    $$issue_api_key('a', 'n', auto_rotate => '1 day')$$,
    $$issue_api_key('a', 'n', expires_in => '1 day', auto_rotate => '1 day')$$,
    $$issue_api_key('a', 'n', options => '{"x": 1}')$$, $$verify_api_key(NULL)$$,
    $$revoke_api_key('a', repeat('x', 1001))$$,
    $$token_mgmt.set_quota('api_key', 'tmk_a', 'day', 1)$$]) q, show_error('SELECT ' || q) e;
SELECT * FROM token_mgmt.audit();
DELETE FROM token_mgmt.api_key;
