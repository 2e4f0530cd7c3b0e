-- What is given back to a bucket has been refilled since it was taken, or a part of it: in that
-- time the bucket might have been full without it, and what flows into a full bucket is lost. Only
-- what the inflow cannot have covered comes back, so that no burst is ever larger than the bucket;
-- of a charge that a reset has given back, nothing.
CREATE FUNCTION token_mgmt._settle_refill(
    r token_mgmt.reservation, a token_mgmt.allocation, given_back numeric, reset_before timestamptz
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    at timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM token_mgmt.quota q
        WHERE q.tenant = r.tenant AND q.quota_id = a.quota_id AND q.kind = 'bucket')
    THEN
        RETURN false;
    END IF;
    PERFORM token_mgmt._lock_slots(r.tenant, a.quota_id, a.scope_value, a.starts_at);
    at := clock_timestamp();
    UPDATE token_mgmt.quota_period p
    SET credited = token_mgmt._refill(q, p.limit_version, p.used + p.held, p.credited,
                p.credited_at, at)
            - greatest(CASE WHEN r.state = 'expired' AND p.reset_at IS DISTINCT FROM reset_before
                THEN given_back
                ELSE least(given_back, round(0.0000005 + token_mgmt._inflow(q,
                    CASE WHEN greatest(at, p.credited_at) < q.rate_since
                        THEN greatest(q.fastest, q.amount) ELSE q.fastest END,
                    r.reserved_at, greatest(at, p.credited_at)), 6)) END, 0),
        credited_at = greatest(p.credited_at, at)
    FROM token_mgmt.quota q
    WHERE q.tenant = p.tenant AND q.quota_id = p.quota_id
        AND p.tenant = r.tenant AND p.quota_id = a.quota_id AND p.scope_value = a.scope_value
        AND p.starts_at = '-infinity' AND p.slot = 0;
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._settle_refill(
    token_mgmt.reservation, token_mgmt.allocation, numeric, timestamptz
) IS
    'Refills a bucket up to now, and takes from that what flowed in for tokens that are given '
    'back, or of a charge that was not after reset_before all; false where the allocation is in no '
    'bucket';
REVOKE ALL ON FUNCTION token_mgmt._settle_refill(
    token_mgmt.reservation, token_mgmt.allocation, numeric, timestamptz
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._charge(r token_mgmt.reservation, charges numeric[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    a token_mgmt.allocation;
    charge numeric;
    freed numeric;
    split smallint;
    is_refilled boolean;
BEGIN
    -- The one order of all writers, so that one call a transaction never deadlocks: allocations are
    -- stored by (quota_id, scope_value, starts_at, slot), and each update locks its row.
    FOR i IN 1..cardinality(r.allocations) LOOP
        a := r.allocations[i];
        charge := coalesce(charges[i], 0);
        freed := CASE r.state WHEN 'held' THEN a.amount ELSE 0 END;
        IF charge > freed THEN
            split := token_mgmt._lock_slots(r.tenant, a.quota_id, a.scope_value, a.starts_at);
        END IF;
        is_refilled := a.starts_at = '-infinity'
            AND token_mgmt._settle_refill(r, a, freed - charge, r.resets[i]);
        UPDATE token_mgmt.quota_period p
        SET held = p.held - freed,
            used = p.used + charge,
            -- A correction takes back what reset_quota() gave back, if that came after the charge.
            credited = CASE WHEN charge < 0 AND NOT is_refilled
                    AND p.reset_at IS DISTINCT FROM r.resets[i]
                THEN greatest(p.credited + charge, 0) ELSE p.credited END
        WHERE p.tenant = r.tenant AND p.quota_id = a.quota_id
            AND p.scope_value = a.scope_value AND p.starts_at = a.starts_at AND p.slot = a.slot;
        -- No slot is left over its allowance while another has room.
        IF charge > freed AND split > 1 THEN
            PERFORM token_mgmt._spread(r.tenant, a.quota_id, a.scope_value, a.starts_at, (
                SELECT sum(p.allowance - p.used - p.held + p.credited)
                FROM token_mgmt.quota_period p
                WHERE p.tenant = r.tenant AND p.quota_id = a.quota_id
                    AND p.scope_value = a.scope_value AND p.starts_at = a.starts_at), a.metric);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._charge(token_mgmt.reservation, numeric[]) IS
    'Takes back what the reservation holds and adds the charges, one for each allocation (none: '
    '0), to what is used, in exactly the period rows that they name, which this locks in the order '
    'of all writers';
REVOKE ALL ON FUNCTION token_mgmt._charge(token_mgmt.reservation, numeric[]) FROM PUBLIC;
