CREATE TYPE token_mgmt._request AS (
    user_id text,
    prompt_tokens integer,
    completion_tokens integer,
    model text,
    priority text,
    api_key text,
    team text,
    session_id text,
    agent text,
    endpoint text,
    request_id text,
    min_completion_tokens integer,
    on_overflow text,
    ttl interval,
    max_wait interval,
    metadata jsonb,
    tenant text,
    options jsonb,
    messages jsonb,
    tools jsonb,
    max_prompt_tokens integer,
    strategy text,
    session jsonb
);
COMMENT ON TYPE token_mgmt._request IS
    'The arguments of reserve_tokens and prepare_request under their own names; NULL is the '
    'default';

CREATE TYPE token_mgmt.reservation_grant AS (
    reservation_id uuid,
    status text,
    prompt_tokens integer,
    completion_tokens integer,
    tokens_held integer,
    tokens_remaining bigint,
    warnings text[],
    expires_at timestamptz,
    sqlstate text,
    reason text,
    retry_after interval,
    advice jsonb,
    predicted_tokens integer
);
COMMENT ON TYPE token_mgmt.reservation_grant IS
    'What was granted: send completion_tokens as the API''s limit. status is granted or reduced; '
    'from try_reserve_tokens also denied, with sqlstate, reason, retry_after and advice (detail, '
    'hint, numbers). tokens_remaining is that of the tightest quota, NULL where none applies. '
    'predicted_tokens: the completion that was predicted, where none was asked for';

CREATE TYPE token_mgmt.usage_entry AS (
    entry_id bigint,
    reservation_id uuid,
    kind text,
    user_id text,
    model text,
    prompt_tokens integer,
    completion_tokens integer,
    cached_tokens integer,
    cache_write_tokens integer,
    reasoning_tokens integer,
    total_tokens integer,
    tokens_held integer,
    cost numeric,
    flags text[],
    recorded_at timestamptz
);
COMMENT ON TYPE token_mgmt.usage_entry IS
    'A settled call as the usage ledger has it; cost in USD, NULL where no price is known; flags '
    'are overrun, late, estimated (not reported by the API), expired, same_transaction and '
    'unreserved (by record_usage)';

CREATE FUNCTION token_mgmt._new_id() RETURNS uuid
    LANGUAGE c VOLATILE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_new_id_wrapper';
COMMENT ON FUNCTION token_mgmt._new_id() IS
    'A UUID of version 7: ids in the order of time keep an index of millions in few pages';
REVOKE ALL ON FUNCTION token_mgmt._new_id() FROM PUBLIC;

CREATE FUNCTION token_mgmt._first_id(at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION token_mgmt._first_id(timestamptz) IS
    'Below every id that _new_id() gives from this instant on, and above those before';
REVOKE ALL ON FUNCTION token_mgmt._first_id(timestamptz) FROM PUBLIC;

CREATE TABLE token_mgmt.reservation (
    tenant text NOT NULL,
    reservation_id uuid NOT NULL,
    user_id text NOT NULL,
    request_id text,
    request_hash bytea,
    state text NOT NULL DEFAULT 'held',
    status text NOT NULL,
    provider text,
    model text,
    price token_mgmt.price,
    api_key text,
    team text,
    session_id text,
    agent text,
    endpoint text,
    priority text,
    prompt_tokens integer NOT NULL,
    completion_tokens integer NOT NULL,
    progress_tokens integer,
    tokens_held integer NOT NULL,
    tokens_remaining bigint,
    warnings text[] NOT NULL DEFAULT '{}',
    allocations token_mgmt.allocation[] NOT NULL DEFAULT '{}',
    prepared jsonb,
    metadata jsonb,
    reserved_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    reserved_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    entry token_mgmt.usage_entry,
    resets timestamptz[],
    -- The id leads: settle and release are given nothing else. Ids are in the order of time, so
    -- that this serves the removal of what is past its retention, too: each index is a part of
    -- what a settlement costs. No CHECK: see quota_period.
    CONSTRAINT reservation_pkey PRIMARY KEY (reservation_id, tenant)
) WITH (fillfactor = 50); -- its settlement finds room on the same page
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.reservation', '');
COMMENT ON TABLE token_mgmt.reservation IS
    'Every hold with its one end: settled, released or expired (expired may still be settled '
    'late). Ended ones are kept for token_mgmt.reservation_retention; not partitioned, so that a '
    'request id is unique';
COMMENT ON COLUMN token_mgmt.reservation.allocations IS
    'The period rows that hold these tokens; settlement charges exactly them, whenever it comes';
COMMENT ON COLUMN token_mgmt.reservation.progress_tokens IS
    'Completion tokens that report_progress() told of: what expiry charges beside the prompt';
COMMENT ON COLUMN token_mgmt.reservation.price IS 'Price at the time of the reservation';
COMMENT ON COLUMN token_mgmt.reservation.prepared IS
    'What prepare_request fitted with (budget, breakdown, receipt), for replays and the ledger; '
    'what reserve_tokens predicted';
COMMENT ON COLUMN token_mgmt.reservation.entry IS 'The settlement, as the ledger has it';
COMMENT ON COLUMN token_mgmt.reservation.resets IS
    'Of one that expired and was charged, when the period of each allocation had been reset last: '
    'another reset since has given the charge back';
REVOKE ALL ON token_mgmt.reservation FROM PUBLIC;
-- Serves replays of a request id, and is what makes them one reservation.
CREATE UNIQUE INDEX reservation_request_key
    ON token_mgmt.reservation (tenant, user_id, request_id) WHERE request_id IS NOT NULL;
-- Serves expiry, and the question which closed periods a late settlement can still touch.
CREATE INDEX reservation_open_idx ON token_mgmt.reservation (state, expires_at)
    WHERE state IN ('held', 'expired');
-- Serves budgets that follow what a session's calls of an agent used lately.
CREATE INDEX reservation_session_idx ON token_mgmt.reservation (tenant, session_id, reserved_at)
    WHERE state = 'settled' AND session_id IS NOT NULL AND agent IS NOT NULL;

CREATE FUNCTION token_mgmt._grant_of(r token_mgmt.reservation)
    RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    g token_mgmt.reservation_grant;
BEGIN
    g.reservation_id := r.reservation_id;
    g.status := r.status;
    g.prompt_tokens := r.prompt_tokens;
    g.completion_tokens := r.completion_tokens;
    g.tokens_held := r.tokens_held;
    g.tokens_remaining := r.tokens_remaining;
    g.warnings := r.warnings;
    g.expires_at := r.expires_at;
    g.predicted_tokens := r.prepared ->> 'predicted_tokens';
    RETURN g;
END
$$;
COMMENT ON FUNCTION token_mgmt._grant_of(token_mgmt.reservation) IS
    'The grant that this reservation was answered with';
REVOKE ALL ON FUNCTION token_mgmt._grant_of(token_mgmt.reservation) FROM PUBLIC;
