-- Not dumped, as the mark below: learned anew from the reservations that a restore brings.
CREATE TABLE token_mgmt.completion_history (
    tenant text NOT NULL,
    user_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    recent integer[] NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT completion_history_pkey PRIMARY KEY (tenant, user_id, provider, model)
) WITH (fillfactor = 80);
COMMENT ON TABLE token_mgmt.completion_history IS
    'Completion tokens of a user''s last calls of a model, from which reserve_tokens() predicts '
    'the next where none are asked for. Written by the worker';
COMMENT ON COLUMN token_mgmt.completion_history.recent IS 'The last 64 at most, the newest last';
REVOKE ALL ON token_mgmt.completion_history FROM PUBLIC;

CREATE TABLE token_mgmt.completion_mark (
    is_only_row boolean NOT NULL DEFAULT true,
    learned_until timestamptz NOT NULL,
    CONSTRAINT completion_mark_pkey PRIMARY KEY (is_only_row),
    CONSTRAINT completion_mark_is_one_row CHECK (is_only_row)
);
COMMENT ON TABLE token_mgmt.completion_mark IS
    'The instant up to which settled reservations are in completion_history';
REVOKE ALL ON token_mgmt.completion_mark FROM PUBLIC;

-- From the reservations, which have an index by their end, and not from the ledger, which has none
-- by time. One that commits after a later one has been read is passed over: it is one of 64 samples
-- of a quantile, and no balance depends on it.
CREATE FUNCTION token_mgmt._learn_completions(max_rows integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since timestamptz;
    until timestamptz;
    learned integer;
BEGIN
    SELECT m.learned_until INTO since FROM token_mgmt.completion_mark m FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (SELECT FROM token_mgmt.completion_mark) THEN
        -- Somebody else is at it.
        RETURN 0;
    END IF;
    WITH ended AS MATERIALIZED (
        SELECT r.tenant, r.user_id, r.provider, r.model, r.state, r.ended_at,
            (r.entry).completion_tokens
        FROM token_mgmt.reservation r
        WHERE r.ended_at > coalesce(since, '-infinity')
        ORDER BY r.ended_at LIMIT max_rows
    ), fresh AS (
        SELECT e.tenant, e.user_id, e.provider, e.model,
            array_agg(e.completion_tokens ORDER BY e.ended_at) AS completions
        FROM ended e WHERE e.state = 'settled' AND e.model IS NOT NULL
        GROUP BY 1, 2, 3, 4
    ), written AS (
        INSERT INTO token_mgmt.completion_history AS h
            (tenant, user_id, provider, model, recent, updated_at)
        SELECT f.tenant, f.user_id, f.provider, f.model, f.completions[
            greatest(cardinality(f.completions) - 63, 1):], clock_timestamp()
        FROM fresh f ORDER BY 1, 2, 3, 4
        ON CONFLICT ON CONSTRAINT completion_history_pkey DO UPDATE
            SET recent = (h.recent || excluded.recent)[
                    greatest(cardinality(h.recent) + cardinality(excluded.recent) - 63, 1):],
                updated_at = excluded.updated_at
    )
    SELECT count(*), max(e.ended_at) INTO learned, until FROM ended e;
    IF learned > 0 THEN
        INSERT INTO token_mgmt.completion_mark AS m (learned_until) VALUES (until)
        ON CONFLICT ON CONSTRAINT completion_mark_pkey DO UPDATE
            SET learned_until = greatest(m.learned_until, excluded.learned_until);
    END IF;
    RETURN learned;
END
$$;
COMMENT ON FUNCTION token_mgmt._learn_completions(integer) IS
    'Takes up to max_rows reservations that ended since the last call into completion_history';
REVOKE ALL ON FUNCTION token_mgmt._learn_completions(integer) FROM PUBLIC;

CREATE FUNCTION token_mgmt._predicted_completion(r token_mgmt._request, m token_mgmt.model)
    RETURNS integer
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    -- Of fewer than five, so high a quantile says nothing.
    RETURN (
        SELECT greatest(percentile_disc(0.95) WITHIN GROUP (ORDER BY c), r.min_completion_tokens, 1)
        FROM token_mgmt.completion_history h CROSS JOIN LATERAL unnest(h.recent) c
        WHERE h.tenant = r.tenant AND h.user_id = r.user_id
            AND h.provider = m.provider AND h.model = m.model AND m.modality <> 'embedding'
        HAVING count(*) >= 5);
END
$$;
COMMENT ON FUNCTION token_mgmt._predicted_completion(token_mgmt._request, token_mgmt.model) IS
    'The completion tokens that 95 % of the user''s last calls of the model needed at most, no '
    'fewer than min_completion_tokens; NULL where there are fewer than five';
REVOKE ALL ON FUNCTION token_mgmt._predicted_completion(token_mgmt._request, token_mgmt.model)
    FROM PUBLIC;
