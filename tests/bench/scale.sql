-- The books as they are after months, in a database of their own: :rows settled calls in ledger and
-- reservations, and :users users with a quota and an open period each. The rows are written as
-- reserve and settle would leave them; calling those would take hours.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT token_mgmt._open_ledger_month(clock_timestamp() - age)
FROM unnest(ARRAY[interval '0', '30 days', '60 days']) age \g /dev/null

-- 60 days of calls, of which the reservations' 30 days are half.
CREATE TEMPORARY VIEW call AS
SELECT n, 'user' || 1 + n % 10000 AS user_id,
    clock_timestamp() - interval '60 days' * (1 - n / (:rows + 1.0)) AS at
FROM generate_series(1, :rows) n;

INSERT INTO token_mgmt.reservation (
    tenant, reservation_id, user_id, state, status, prompt_tokens, completion_tokens, tokens_held,
    tokens_remaining, allocations, reserved_at, expires_at, ended_at, entry)
SELECT 'default', i.id, c.user_id, 'settled', 'granted', 1000, 200, 1200, 999999998800,
    ARRAY[(1, c.user_id, date_trunc('day', c.at), 0, 'tokens', NULL, 1200)::token_mgmt.allocation],
    c.at, c.at + interval '10 min', c.at + interval '1 min',
    (c.n, i.id, 'settlement', c.user_id, NULL, 900, 150, 0, 0, 0, 1050, 1200, NULL, '{}',
        c.at + interval '1 min')::token_mgmt.usage_entry
FROM call c, LATERAL (SELECT overlay(gen_random_uuid()::text
    PLACING left(token_mgmt._first_id(c.at)::text, 13) FROM 1)::uuid) i (id)
WHERE c.n > :rows / 2;

INSERT INTO token_mgmt.usage_ledger (
    tenant, entry_id, recorded_at, kind, reservation_id, user_id, prompt_tokens, completion_tokens,
    cached_tokens, cache_write_tokens, reasoning_tokens, tokens_held, allocations, flags)
SELECT 'default', c.n, least(c.at + interval '1 min', clock_timestamp()), 'settlement',
    gen_random_uuid(), c.user_id, 900, 150, 0, 0, 0, 1200,
    ARRAY[(1, c.user_id, date_trunc('day', c.at), 0, 'tokens', NULL, 1050)::token_mgmt.allocation],
    '{}'
FROM call c;
SELECT setval('token_mgmt.usage_ledger_entry_id_seq', :rows + 1000) \g /dev/null

INSERT INTO token_mgmt.quota (tenant, scope, value, period, amount)
SELECT 'default', 'user', 'many' || n, 'day', 1000000000000 FROM generate_series(1, :users) n;
-- Of all users: opening a period is a user's first call of the day, not the others.
INSERT INTO token_mgmt.quota_period
    (tenant, quota_id, scope_value, starts_at, ends_at, allowance, limit_version)
SELECT q.tenant, q.quota_id, q.value, p.starts_at, p.ends_at, q.amount, q.version
FROM token_mgmt.quota q, token_mgmt._period('day', 'UTC', NULL, clock_timestamp()) p
WHERE q.value NOT LIKE 'split%';
VACUUM (ANALYZE, FREEZE) token_mgmt.quota, token_mgmt.quota_period, token_mgmt.reservation,
    token_mgmt.usage_ledger;
CHECKPOINT;
