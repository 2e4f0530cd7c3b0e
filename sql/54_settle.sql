CREATE TYPE token_mgmt._usage AS (
    reservation_id uuid,
    prompt_tokens integer,
    completion_tokens integer,
    cached_tokens integer,
    cache_write_tokens integer,
    reasoning_tokens integer,
    breakdown jsonb,
    metadata jsonb,
    options jsonb,
    is_estimated boolean
);
COMMENT ON TYPE token_mgmt._usage IS
    'The arguments of settle_tokens under their own names, and whether they were counted here '
    'rather than reported by the API';

CREATE FUNCTION token_mgmt._check_usage(u token_mgmt._usage) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    missing text := CASE WHEN u.reservation_id IS NULL THEN 'reservation_id'
        WHEN u.prompt_tokens IS NULL THEN 'prompt_tokens'
        WHEN u.completion_tokens IS NULL THEN 'completion_tokens' END;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', missing || ' must not be null', NULL,
            'Pass what the API''s usage object says, or release_tokens() when the call failed.');
    END IF;
    PERFORM token_mgmt._check_object('options', u.options, '{}'),
        token_mgmt._check_count('prompt_tokens', u.prompt_tokens),
        token_mgmt._check_count('completion_tokens', u.completion_tokens),
        token_mgmt._check_count('cached_tokens', u.cached_tokens),
        token_mgmt._check_count('cache_write_tokens', u.cache_write_tokens),
        token_mgmt._check_count('reasoning_tokens', u.reasoning_tokens),
        token_mgmt._check_breakdown(u.breakdown);
    IF u.cached_tokens + u.cache_write_tokens > u.prompt_tokens THEN
        PERFORM token_mgmt._raise('22023', 'cached tokens are more than the prompt tokens',
            format('Found %s cached and %s cache-write of %s prompt tokens.', u.cached_tokens,
                u.cache_write_tokens, u.prompt_tokens),
            'prompt_tokens includes both; Anthropic''s input_tokens does not, so add them to it.');
    END IF;
    IF u.reasoning_tokens > u.completion_tokens THEN
        PERFORM token_mgmt._raise('22023', 'reasoning tokens are more than the completion tokens',
            format('Found %s of %s.', u.reasoning_tokens, u.completion_tokens),
            'completion_tokens includes reasoning; Gemini''s candidatesTokenCount does not, so add '
            'thoughtsTokenCount to it.');
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_usage(token_mgmt._usage) IS
    'Refuses a usage that cannot be. Errors: 22004, 22023';
REVOKE ALL ON FUNCTION token_mgmt._check_usage(token_mgmt._usage) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_unknown(reservation_id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('P0002', format('reservation %s does not exist', reservation_id),
        'It was never committed, or ended longer ago than token_mgmt.reservation_retention.',
        'Commit the reservation before the call, and settle with the id that it returned.');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_unknown(uuid) IS 'Raises P0002';

CREATE FUNCTION token_mgmt._locked_reservation(reservation_id uuid) RETURNS token_mgmt.reservation
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    r token_mgmt.reservation;
BEGIN
    -- Only locked here: it is written after the period rows are locked too, so that no one who
    -- meets its request id waits for a writer that waits for them.
    SELECT s.* INTO r FROM token_mgmt.reservation s
    WHERE s.reservation_id = _locked_reservation.reservation_id
    FOR UPDATE;
    IF NOT FOUND OR NOT token_mgmt._has_access(r.tenant, r.user_id, 'app') THEN
        PERFORM token_mgmt._raise_unknown(_locked_reservation.reservation_id);
    END IF;
    RETURN r;
END
$$;
COMMENT ON FUNCTION token_mgmt._locked_reservation(uuid) IS 'Locks a reservation. Errors: P0002';
REVOKE ALL ON FUNCTION token_mgmt._locked_reservation(uuid) FROM PUBLIC;

CREATE FUNCTION token_mgmt._raise_settled(r token_mgmt.reservation) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise('TM002',
        format('reservation %s is already settled', r.reservation_id),
        format('It was settled with %s prompt + %s completion = %s tokens at %s.',
            (r.entry).prompt_tokens, (r.entry).completion_tokens, (r.entry).total_tokens,
            (r.entry).recorded_at),
        'A retry must carry the same numbers; a second call needs a reservation of its own.');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_settled(token_mgmt.reservation) IS 'Raises TM002';

CREATE FUNCTION token_mgmt._charges(
    r token_mgmt.reservation, e token_mgmt.usage_entry
) RETURNS numeric[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    a token_mgmt.allocation;
    charges numeric[] := '{}';
BEGIN
    FOR i IN 1..cardinality(r.allocations) LOOP
        a := r.allocations[i];
        charges[i] := CASE a.metric
            WHEN 'tokens' THEN e.total_tokens - e.cached_tokens * (1 - coalesce(a.cached_weight, 1))
            WHEN 'requests' THEN 1
            -- A cost that cannot be told is never 0.
            -- Of an embedding model with completion tokens, these alone have no rate.
            ELSE coalesce(e.cost, greatest(a.amount, token_mgmt._cost(r.price, e.prompt_tokens, 0,
                e.cached_tokens, e.cache_write_tokens))) END;
    END LOOP;
    RETURN charges;
END
$$;
COMMENT ON FUNCTION token_mgmt._charges(token_mgmt.reservation, token_mgmt.usage_entry) IS
    'What the call is charged in each of the reservation''s allocations, in units of its metric';
REVOKE ALL ON FUNCTION token_mgmt._charges(token_mgmt.reservation, token_mgmt.usage_entry)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._write_ledger(
    r token_mgmt.reservation, u token_mgmt._usage, e token_mgmt.usage_entry, charges numeric[]
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    charged token_mgmt.allocation[] := r.allocations;
    sections jsonb := CASE WHEN e.kind <> 'correction'
        THEN coalesce(u.breakdown, r.prepared -> 'breakdown') END;
BEGIN
    -- The size (that of a fork it has not) is asked for its lock: it waits for whoever is opening
    -- the month and can be seen already, but has not told the other sessions so; to these the
    -- entry is one of the default partition, which then refuses it (23514).
    IF pg_relation_size(to_regclass('token_mgmt.usage_ledger_'
        || to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY_MM')), 'init') IS NULL
    THEN
        PERFORM token_mgmt._open_ledger_month(e.recorded_at);
    END IF;
    FOR i IN 1..cardinality(charged) LOOP
        charged[i].amount := charges[i];
    END LOOP;
    INSERT INTO token_mgmt.usage_ledger (
        tenant, entry_id, recorded_at, kind, reservation_id, request_id, user_id, api_key, team,
        session_id, agent, endpoint, provider, model, priority, prompt_tokens, completion_tokens,
        cached_tokens, cache_write_tokens, reasoning_tokens, tokens_held, allocations, cost, price,
        breakdown, message_count, flags, metadata)
    VALUES (
        r.tenant, e.entry_id, e.recorded_at, e.kind, r.reservation_id, r.request_id, r.user_id,
        r.api_key, r.team, r.session_id, r.agent, r.endpoint, r.provider, r.model, r.priority,
        e.prompt_tokens, e.completion_tokens, e.cached_tokens, e.cache_write_tokens,
        e.reasoning_tokens, r.tokens_held, charged, e.cost, r.price,
        sections, (r.prepared ->> 'message_count')::integer, e.flags,
        CASE WHEN u.metadata IS NULL THEN r.metadata
            ELSE coalesce(r.metadata, '{}') || u.metadata END);
    INSERT INTO token_mgmt.ledger_unrolled VALUES (
        e.recorded_at, r.tenant, r.user_id, r.team, r.api_key, r.session_id, r.agent, r.endpoint,
        r.provider, r.model, e.prompt_tokens, e.completion_tokens, e.cached_tokens,
        e.cache_write_tokens, e.reasoning_tokens, e.cost,
        sections, CASE e.kind WHEN 'correction' THEN 0 ELSE 1 END);
END
$$;
COMMENT ON FUNCTION token_mgmt._write_ledger(
    token_mgmt.reservation, token_mgmt._usage, token_mgmt.usage_entry, numeric[]
) IS 'Appends the entry to its month, opening that first if nobody has';
REVOKE ALL ON FUNCTION token_mgmt._write_ledger(
    token_mgmt.reservation, token_mgmt._usage, token_mgmt.usage_entry, numeric[]
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._entry(r token_mgmt.reservation, u token_mgmt._usage, kind text)
    RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    e token_mgmt.usage_entry;
BEGIN
    e := (nextval('token_mgmt.usage_ledger_entry_id_seq'), r.reservation_id, kind, r.user_id,
        r.model, u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.cache_write_tokens,
        u.reasoning_tokens, u.prompt_tokens + u.completion_tokens, r.tokens_held, NULL, '{}',
        NULL);
    IF r.model IS NOT NULL THEN
        e.cost := token_mgmt._cost(r.price, u.prompt_tokens, u.completion_tokens, u.cached_tokens,
            u.cache_write_tokens);
    END IF;
    IF e.total_tokens > r.tokens_held THEN
        e.flags := e.flags || 'overrun'::text;
    END IF;
    IF u.is_estimated THEN
        e.flags := e.flags || 'estimated'::text;
    END IF;
    RETURN e;
END
$$;
COMMENT ON FUNCTION token_mgmt._entry(token_mgmt.reservation, token_mgmt._usage, text) IS
    'The ledger entry of this use, but for its time';
REVOKE ALL ON FUNCTION token_mgmt._entry(token_mgmt.reservation, token_mgmt._usage, text)
    FROM PUBLIC;

-- A hold that expired with progress has been charged for that: the ledger gets the difference.
CREATE FUNCTION token_mgmt._correction(e token_mgmt.usage_entry, was token_mgmt.usage_entry)
    RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    e.kind := 'correction';
    e.prompt_tokens := e.prompt_tokens - was.prompt_tokens;
    e.completion_tokens := e.completion_tokens - was.completion_tokens;
    e.cached_tokens := e.cached_tokens - was.cached_tokens;
    e.cache_write_tokens := e.cache_write_tokens - was.cache_write_tokens;
    e.reasoning_tokens := e.reasoning_tokens - was.reasoning_tokens;
    e.total_tokens := e.total_tokens - was.total_tokens;
    e.cost := e.cost - was.cost;
    RETURN e;
END
$$;
COMMENT ON FUNCTION token_mgmt._correction(token_mgmt.usage_entry, token_mgmt.usage_entry) IS
    'What the ledger lacks of the entry where it has had the other';
REVOKE ALL ON FUNCTION token_mgmt._correction(token_mgmt.usage_entry, token_mgmt.usage_entry)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._settle(u token_mgmt._usage) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    r token_mgmt.reservation;
    e token_mgmt.usage_entry;
    charges numeric[];
    charged numeric[];
    at timestamptz;
    late_interval interval;
BEGIN
    IF num_nulls(u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens) > 0 THEN
        u.cached_tokens := coalesce(u.cached_tokens, 0);
        u.cache_write_tokens := coalesce(u.cache_write_tokens, 0);
        u.reasoning_tokens := coalesce(u.reasoning_tokens, 0);
    END IF;
    IF u.reservation_id IS NULL OR u.options <> '{}' OR u.breakdown IS NOT NULL
        OR (u.prompt_tokens <= 1000000000 AND u.completion_tokens <= 1000000000
            AND u.cached_tokens::bigint + u.cache_write_tokens <= u.prompt_tokens
            AND u.reasoning_tokens <= u.completion_tokens
            AND least(u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens) >= 0) IS NOT TRUE
    THEN
        PERFORM token_mgmt._check_usage(u);
    END IF;
    r := token_mgmt._locked_reservation(u.reservation_id);
    IF r.state = 'settled' THEN
        e := r.entry;
        IF (e.prompt_tokens, e.completion_tokens, e.cached_tokens, e.cache_write_tokens,
                e.reasoning_tokens)
            <> (u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.cache_write_tokens,
                u.reasoning_tokens)
        THEN
            PERFORM token_mgmt._raise_settled(r);
        END IF;
        RETURN e;
    ELSIF r.state = 'released' THEN
        PERFORM token_mgmt._raise_released(r);
    END IF;
    e := token_mgmt._entry(r, u, 'settlement');
    charges := token_mgmt._charges(r, e);
    IF (r.entry).entry_id IS NOT NULL THEN
        charged := token_mgmt._charges(r, r.entry);
        FOR i IN 1..cardinality(charges) LOOP
            charges[i] := charges[i] - charged[i];
        END LOOP;
    END IF;
    -- This locks the period rows; an error below undoes it.
    PERFORM token_mgmt._charge(r, charges);
    at := clock_timestamp();
    e.recorded_at := at;
    -- By the clock, not by whether the worker came past: the answer is the same with no worker.
    IF r.state = 'expired' OR at >= r.expires_at THEN
        late_interval := token_mgmt._seconds_setting('late_settle_interval');
        IF at >= r.expires_at + late_interval THEN
            PERFORM token_mgmt._raise_expired(r, format(
                'Settle within %s after expiry, or reserve with a longer ttl.',
                token_mgmt._duration_text(late_interval)));
        END IF;
        e.flags := e.flags || 'late'::text;
    END IF;
    -- In a restored database the number of another server's transaction comes up again.
    IF r.reserved_xid = pg_current_xact_id() AND r.reserved_at >= transaction_timestamp() THEN
        e.flags := e.flags || 'same_transaction'::text;
        RAISE WARNING USING MESSAGE = 'reservation is settled in the transaction that made it',
            DETAIL = 'Nobody else saw the hold, and its quotas stayed locked during the call.',
            HINT = 'Commit after reserve_tokens(), and settle in a transaction of its own.';
    END IF;

    PERFORM token_mgmt._write_ledger(r, u, CASE WHEN (r.entry).entry_id IS NULL THEN e
        ELSE token_mgmt._correction(e, r.entry) END, charges);
    UPDATE token_mgmt.reservation s SET state = 'settled', ended_at = at, entry = e
    WHERE s.tenant = r.tenant AND s.reservation_id = r.reservation_id;
    RETURN e;
END
$$;
COMMENT ON FUNCTION token_mgmt._settle(token_mgmt._usage) IS
    'The one body behind every form of settle_tokens';
REVOKE ALL ON FUNCTION token_mgmt._settle(token_mgmt._usage) FROM PUBLIC;

CREATE FUNCTION @extschema@.settle_tokens(
    reservation_id uuid, prompt_tokens integer, completion_tokens integer,
    cached_tokens integer DEFAULT 0, cache_write_tokens integer DEFAULT 0,
    reasoning_tokens integer DEFAULT 0, breakdown jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN token_mgmt._settle((reservation_id, prompt_tokens, completion_tokens, cached_tokens,
        cache_write_tokens, reasoning_tokens, breakdown, metadata, options, false
        )::token_mgmt._usage);
END
$$;
COMMENT ON FUNCTION @extschema@.settle_tokens(
    uuid, integer, integer, integer, integer, integer, jsonb, jsonb, jsonb
) IS
    'Charges what the call really used to the quotas that held it, writes the ledger, frees the '
    'rest. prompt_tokens includes cached and cache-write tokens, completion_tokens reasoning. The '
    'same call again returns the same entry. Errors: TM002 to TM004, P0002, 22004, 22023';
REVOKE ALL ON FUNCTION @extschema@.settle_tokens(
    uuid, integer, integer, integer, integer, integer, jsonb, jsonb, jsonb
) FROM PUBLIC;

CREATE PROCEDURE @extschema@.settle_tokens(INOUT request jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    request := jsonb_strip_nulls(to_jsonb(token_mgmt._settle(jsonb_populate_record(
        NULL::token_mgmt._usage, token_mgmt._request_from(request, ARRAY['reservation_id',
            'prompt_tokens', 'completion_tokens', 'cached_tokens', 'cache_write_tokens',
            'reasoning_tokens', 'breakdown', 'metadata', 'options'])))));
END
$$;
COMMENT ON PROCEDURE @extschema@.settle_tokens(jsonb) IS
    'CALL form of settle_tokens: its arguments as one JSON object in, the entry as JSON out';
REVOKE ALL ON PROCEDURE @extschema@.settle_tokens(jsonb) FROM PUBLIC;
