-- Reserving and settling one user's tokens with nothing but the statements that write the books, on
-- the books' own tables: no argument is checked, no access, model, price, request id, priority,
-- retry, late or second settlement is known, and what does not fit at once, or has no open period,
-- fails. What tables and indexes cost by themselves; never to be called where books matter. After
-- setup.sql.

CREATE FUNCTION bench.bare_reserve(name text, prompt integer, completion integer)
    RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    w token_mgmt._wanted;
    free numeric;
    taken token_mgmt.allocation[];
    granted token_mgmt.reservation_grant;
BEGIN
    FOR w IN
        SELECT q.* FROM token_mgmt._wanted_quotas('default',
            ARRAY[name, NULL, NULL, NULL, NULL, NULL, NULL, 'default', '*'], at) q
    LOOP
        UPDATE token_mgmt.quota_period p SET held = p.held + prompt + completion
        WHERE p.tenant = 'default' AND p.quota_id = w.quota_id AND p.scope_value = name
            AND p.starts_at = w.starts_at AND p.slot = 0 AND p.limit_version = w.version
            AND p.used + p.held - p.credited + prompt + completion <= p.allowance
        RETURNING p.allowance - p.used - p.held + p.credited INTO STRICT free;
        taken := taken || (w.quota_id, name, w.starts_at, 0, 'tokens', NULL,
            prompt + completion)::token_mgmt.allocation;
    END LOOP;
    INSERT INTO token_mgmt.reservation AS s (tenant, reservation_id, user_id, status, prompt_tokens,
        completion_tokens, tokens_held, tokens_remaining, allocations, reserved_at, expires_at)
    VALUES ('default', token_mgmt._new_id(), name, 'granted', prompt, completion,
        prompt + completion, free, taken, at, at + interval '10 minutes')
    RETURNING s.reservation_id, s.status, s.prompt_tokens, s.completion_tokens, s.tokens_held,
        s.tokens_remaining, s.warnings, s.expires_at INTO granted;
    RETURN granted;
END
$$;

CREATE FUNCTION bench.bare_settle(id uuid, prompt integer, completion integer)
    RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    r token_mgmt.reservation;
    e token_mgmt.usage_entry;
BEGIN
    SELECT s.* INTO STRICT r FROM token_mgmt.reservation s WHERE s.reservation_id = id FOR UPDATE;
    FOR i IN 1..cardinality(r.allocations) LOOP
        UPDATE token_mgmt.quota_period p
        SET held = p.held - (r.allocations[i]).amount, used = p.used + prompt + completion
        WHERE p.tenant = r.tenant AND p.quota_id = (r.allocations[i]).quota_id
            AND p.scope_value = (r.allocations[i]).scope_value
            AND p.starts_at = (r.allocations[i]).starts_at AND p.slot = (r.allocations[i]).slot;
        r.allocations[i].amount := prompt + completion;
    END LOOP;
    e := (nextval('token_mgmt.usage_ledger_entry_id_seq'), id, 'settlement', r.user_id, NULL,
        prompt, completion, 0, 0, 0, prompt + completion, r.tokens_held, NULL, '{}',
        clock_timestamp());
    INSERT INTO token_mgmt.usage_ledger (tenant, entry_id, recorded_at, kind, reservation_id,
        user_id, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
        reasoning_tokens, tokens_held, allocations, flags)
    VALUES (r.tenant, e.entry_id, e.recorded_at, e.kind, id, r.user_id, prompt, completion, 0, 0, 0,
        r.tokens_held, r.allocations, e.flags);
    INSERT INTO token_mgmt.ledger_unrolled VALUES (e.recorded_at, r.tenant, r.user_id, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, prompt, completion, 0, 0, 0, NULL, NULL, 1);
    UPDATE token_mgmt.reservation s SET state = 'settled', ended_at = e.recorded_at, entry = e
    WHERE s.tenant = r.tenant AND s.reservation_id = id;
    RETURN e;
END
$$;
