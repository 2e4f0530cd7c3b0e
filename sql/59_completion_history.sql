-- Not dumped: it is learned anew.
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
    'the next where none are asked for. Written as the ledger is rolled up';
COMMENT ON COLUMN token_mgmt.completion_history.recent IS 'The last 64 at most, the newest last';
REVOKE ALL ON token_mgmt.completion_history FROM PUBLIC;

CREATE FUNCTION token_mgmt._predicted_completion(r token_mgmt._request, m token_mgmt.model)
    RETURNS integer
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    -- Of fewer than five, so high a quantile says nothing. A quarter more is room to change: what
    -- is granted is the API's limit, and no completion would be longer than those before.
    RETURN (
        SELECT greatest(ceil(1.25 * percentile_disc(0.95) WITHIN GROUP (ORDER BY c)), 256)
        FROM token_mgmt.completion_history h CROSS JOIN LATERAL unnest(h.recent) c
        WHERE h.tenant = r.tenant AND h.user_id = r.user_id
            AND h.provider = m.provider AND h.model = m.model AND m.modality <> 'embedding'
        HAVING count(*) >= 5);
END
$$;
COMMENT ON FUNCTION token_mgmt._predicted_completion(token_mgmt._request, token_mgmt.model) IS
    'The completion tokens that 95 % of the user''s last calls of the model needed at most, and a '
    'quarter more, at least 256; NULL where there are fewer than five';
REVOKE ALL ON FUNCTION token_mgmt._predicted_completion(token_mgmt._request, token_mgmt.model)
    FROM PUBLIC;
