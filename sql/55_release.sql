CREATE TYPE token_mgmt.release_result AS (
    reservation_id uuid,
    status text,
    tokens_released integer,
    released_at timestamptz
);
COMMENT ON TYPE token_mgmt.release_result IS 'A reservation given back; status is released';

CREATE FUNCTION @extschema@.release_tokens(reservation_id uuid, options jsonb DEFAULT '{}')
    RETURNS token_mgmt.release_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    r token_mgmt.reservation;
    result token_mgmt.release_result;
    at timestamptz;
BEGIN
    IF reservation_id IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'reservation_id must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_object('options', options, '{}');
    r := token_mgmt._locked_reservation(release_tokens.reservation_id);
    IF r.state = 'settled' THEN
        PERFORM token_mgmt._raise_settled(r);
    ELSIF r.state <> 'released' THEN
        -- This locks the period rows; an error below undoes it.
        PERFORM token_mgmt._charge(r, '{}');
        at := clock_timestamp();
        IF r.state = 'expired' OR at >= r.expires_at THEN
            PERFORM token_mgmt._raise_expired(r, 'There is nothing to release: expiry frees it.');
        END IF;
        UPDATE token_mgmt.reservation s SET state = 'released', ended_at = at
        WHERE s.tenant = r.tenant AND s.reservation_id = r.reservation_id;
        r.ended_at := at;
    END IF;
    result.reservation_id := r.reservation_id;
    result.status := 'released';
    result.tokens_released := r.tokens_held;
    result.released_at := r.ended_at;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.release_tokens(uuid, jsonb) IS
    'Gives a reservation back whose call failed, and charges nothing. The same call again returns '
    'the same. Errors: TM002, TM004, P0002, 22004';
REVOKE ALL ON FUNCTION @extschema@.release_tokens(uuid, jsonb) FROM PUBLIC;

-- Never waits: whoever ends holds on his way has locked period rows, and one who waits for those
-- may have locked these.
CREATE FUNCTION token_mgmt._lock_at_once(r token_mgmt.reservation, charges numeric[])
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a token_mgmt.allocation;
    split smallint;
    locked integer;
BEGIN
    FOR i IN 1..cardinality(r.allocations) LOOP
        a := r.allocations[i];
        split := 1;
        IF charges[i] > a.amount THEN
            -- A debt may be taken from every slot.
            SELECT p.slots INTO split FROM token_mgmt.quota_period p
            WHERE p.tenant = r.tenant AND p.quota_id = a.quota_id
                AND p.scope_value = a.scope_value AND p.starts_at = a.starts_at AND p.slot = 0
            FOR UPDATE SKIP LOCKED;
        END IF;
        SELECT count(*) INTO locked FROM (
            SELECT FROM token_mgmt.quota_period p
            WHERE p.tenant = r.tenant AND p.quota_id = a.quota_id
                AND p.scope_value = a.scope_value AND p.starts_at = a.starts_at
                AND (p.slot = a.slot OR split > 1)
            FOR UPDATE SKIP LOCKED) l;
        -- Fewer are there: locked by others, or still to come in a restore that is under way.
        IF locked IS DISTINCT FROM split::integer THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION token_mgmt._lock_at_once(token_mgmt.reservation, numeric[]) IS
    'Locks the period rows that these charges change, or says that somebody else has one';
REVOKE ALL ON FUNCTION token_mgmt._lock_at_once(token_mgmt.reservation, numeric[]) FROM PUBLIC;

CREATE FUNCTION token_mgmt._expire_holds(
    max_rows integer, tenant text DEFAULT NULL, within token_mgmt._wanted[] DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r token_mgmt.reservation;
    u token_mgmt._usage;
    e token_mgmt.usage_entry;
    charges numeric[];
    at timestamptz;
    looked integer := 0;
    expired integer := 0;
    began constant timestamptz := clock_timestamp();
BEGIN
    FOR r IN
        SELECT s.* FROM token_mgmt.reservation s
        WHERE s.state = 'held' AND s.expires_at <= began
            AND (_expire_holds.tenant IS NULL OR s.tenant = _expire_holds.tenant)
            AND (within IS NULL OR EXISTS (
                SELECT FROM unnest(s.allocations) l
                JOIN unnest(within) w ON w.quota_id = l.quota_id
                    AND w.scope_value = l.scope_value
                    AND (w.kind = 'sliding' OR w.starts_at = l.starts_at)))
        ORDER BY s.expires_at
        FOR UPDATE SKIP LOCKED
    LOOP
        -- Those that a long transaction keeps locked must not hide the others for ever.
        looked := looked + 1;
        EXIT WHEN expired >= max_rows OR looked > 20 * max_rows;
        e := NULL;
        charges := '{}';
        IF r.progress_tokens IS NOT NULL THEN
            u := (r.reservation_id, r.prompt_tokens, r.progress_tokens, 0, 0, 0, NULL, NULL, NULL,
                true)::token_mgmt._usage;
            e := token_mgmt._entry(r, u, 'expiry');
            e.flags := e.flags || 'expired'::text;
            charges := token_mgmt._charges(r, e);
        END IF;
        CONTINUE WHEN NOT token_mgmt._lock_at_once(r, charges);
        PERFORM token_mgmt._charge(r, charges);
        at := clock_timestamp();
        IF e.entry_id IS NOT NULL THEN
            e.recorded_at := at;
            PERFORM token_mgmt._write_ledger(r, u, e, charges);
        END IF;
        UPDATE token_mgmt.reservation s SET state = 'expired', ended_at = at,
            entry = CASE WHEN e.entry_id IS NOT NULL THEN e END,
            resets = CASE WHEN e.entry_id IS NOT NULL THEN ARRAY(
                SELECT p.reset_at
                FROM unnest(r.allocations) WITH ORDINALITY a
                LEFT JOIN token_mgmt.quota_period p ON p.tenant = r.tenant
                    AND p.quota_id = a.quota_id AND p.scope_value = a.scope_value
                    AND p.starts_at = a.starts_at AND p.slot = a.slot
                ORDER BY a.ordinality) END
        WHERE s.tenant = r.tenant AND s.reservation_id = r.reservation_id;
        expired := expired + 1;
    END LOOP;
    RETURN expired;
END
$$;
COMMENT ON FUNCTION token_mgmt._expire_holds(integer, text, token_mgmt._wanted[]) IS
    'Ends up to max_rows holds that are past expires_at (of a tenant, in these periods); charges '
    'nothing but the prompt and progress of those that reported any. Skips what is locked. Returns '
    'how many it ended';
REVOKE ALL ON FUNCTION token_mgmt._expire_holds(integer, text, token_mgmt._wanted[])
    FROM PUBLIC;
