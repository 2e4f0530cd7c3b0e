SELECT clean_books();
SELECT tenant, scope, value, metric, period, amount, time_zone, version
FROM token_mgmt.set_quota('user', 'alice', 'day', 1000);
SELECT amount, time_zone, version
FROM token_mgmt.set_quota('user', 'alice', 'day', 1200, time_zone => 'Europe/Berlin');
SELECT amount, time_zone, version
FROM token_mgmt.set_quota('user', 'alice', 'day', 1000, 'tokens', NULL, NULL, '{}');
-- A model's quota is kept under the name that its requests resolve to.
SELECT value FROM token_mgmt.set_quota('model', 'openai/gpt-4o', 'day', 5000);
SELECT value FROM token_mgmt.set_quota('tenant', 'acme', 'day', 5000, tenant => 'acme');
SELECT share FROM token_mgmt.set_priority_share('low', 0.1);

SELECT * FROM show_error($$SELECT token_mgmt.set_quota(NULL, 'a', 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', NULL, 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', NULL)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('planet', 'a', 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', '', 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', repeat('x', 256), 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'fortnight', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1, metric => 'speed')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', -1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1.5)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 'NaN')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1e30)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1, time_zone => 'Mars/Base')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1, time_zone => 'FOO+3')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1, options => '{"x": 1}')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1, options => '[]')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('user', 'a', 'day', 1, tenant => '*')$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('model', 'no-such-model', 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_quota('tenant', 'other', 'day', 1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_priority_share('urgent', 0.1)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_priority_share('low', 0)$$);
SELECT * FROM show_error($$SELECT token_mgmt.set_priority_share('low', NULL)$$);

-- An exact value replaces *; quotas of other scopes and periods apply together.
SELECT quota_id > 0 AS is_set FROM token_mgmt.set_quota('user', '*', 'day', 50);
SELECT quota_id > 0 AS is_set FROM token_mgmt.set_quota('team', 'red', 'total', 300);
SELECT status, tokens_held, tokens_remaining FROM reserve_tokens('alice', 100);
SELECT status, tokens_held, tokens_remaining FROM reserve_tokens('alice', 100, team => 'red');
SELECT status, reason FROM try_reserve_tokens('zoe', 100, team => 'red');
SELECT status, tokens_remaining FROM try_reserve_tokens('zoe', 50, team => 'red');
SELECT scope, value, is_wildcard, metric, period, amount, used, held, remaining, time_zone
FROM token_mgmt.quota_status WHERE tenant = 'default' ORDER BY scope, value;

-- A lower limit takes nothing back and refuses what is new; a higher one lets it in at once.
SELECT amount FROM token_mgmt.set_quota('team', 'red', 'total', 120);
SELECT status, tokens_remaining, advice ->> 'detail' AS detail FROM try_reserve_tokens('alice', 1, team => 'red');
SELECT amount, held, remaining FROM token_mgmt.quota_status WHERE value = 'red';
SELECT amount FROM token_mgmt.set_quota('team', 'red', 'total', 151);
SELECT status, tokens_remaining FROM try_reserve_tokens('alice', 1, team => 'red');

-- A limit of 0 refuses all.
SELECT amount FROM token_mgmt.set_quota('user', 'nobody', 'total', 0);
SELECT * FROM show_error($$SELECT reserve_tokens('nobody', 1)$$);
SELECT status, tokens_held FROM try_reserve_tokens('nobody', 0);
-- So it does where something was carried over and a call that was never reserved has been charged.
SELECT amount FROM token_mgmt.set_quota('user', 'spent', '7300 days', 100, options => '{"carry_over": 100}');
UPDATE token_mgmt.quota SET created_at = '2010-01-01Z' WHERE value = 'spent';
SELECT status, tokens_remaining FROM reserve_tokens('spent', 1);
SELECT amount FROM token_mgmt.set_quota('user', 'spent', '7300 days', 0);
SELECT status FROM try_reserve_tokens('spent', 5);
SELECT flags FROM record_usage('spent', 1);
SELECT status FROM try_reserve_tokens('spent', 5);
SELECT status FROM try_reserve_tokens('spent', 0);
SELECT fits FROM explain_reservation('spent', 5) WHERE period <> 'day';

-- Tenants are apart, by argument and by setting.
SELECT status, tokens_remaining FROM try_reserve_tokens('alice', 4000, tenant => 'acme');
SET token_mgmt.tenant = 'acme';
SELECT status, tokens_remaining FROM try_reserve_tokens('alice', 1000);
RESET token_mgmt.tenant;

SELECT token_mgmt.drop_quota('user', '*', 'day'), token_mgmt.drop_quota('user', '*', 'day');
SELECT status, tokens_remaining FROM try_reserve_tokens('zoe', 1000000);
SELECT * FROM token_mgmt.audit();
