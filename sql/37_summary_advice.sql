CREATE TYPE token_mgmt.summary_advice AS (
    should boolean,
    turns_left integer,
    tokens bigint,
    limit_tokens bigint,
    tokens_per_turn numeric,
    from_no bigint,
    upto_no bigint
);
COMMENT ON TYPE token_mgmt.summary_advice IS
    'Whether to summarise now, and the messages from_no to upto_no, pinned ones apart. tokens is '
    'what the history has (once over limit_tokens the rest is not counted), tokens_per_turn the '
    'median of up to 8 recent turns, turns_left how many such turns still fit';

CREATE FUNCTION token_mgmt._recent_turns(
    s token_mgmt.session, counter jsonb, most bigint, keep_tokens numeric, keep_messages bigint,
    INOUT tokens bigint, OUT turns bigint[], OUT keep_from bigint
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_no bigint := s.message_count;
    size integer := 16;
    turn bigint := 0;
    is_answered boolean := false;
    calls text[] := '{}';
    r token_mgmt._session_row;
BEGIN
    turns := '{}';
    WHILE last_no > s.summary_upto LOOP
        FOR r IN SELECT * FROM token_mgmt._session_rows(s,
            greatest(last_no - size + 1, s.summary_upto + 1), last_no, counter)
        LOOP
            turn := turn + r.tokens;
            tokens := tokens + CASE WHEN r.pinned THEN 0 ELSE r.tokens END;
            is_answered := is_answered OR r.role = 'assistant';
            calls := token_mgmt._open_calls(calls, r);
            IF r.role = 'user' AND NOT r.is_result AND calls = '{}' THEN
                -- A question that has no answer yet is no measure.
                IF is_answered AND cardinality(turns) < 8 THEN
                    turns := turns || turn;
                END IF;
                IF keep_from IS NULL OR tokens <= keep_tokens
                    AND s.message_count - r.message_no < keep_messages
                THEN
                    keep_from := r.message_no;
                END IF;
                turn := 0;
            END IF;
            IF tokens > most AND keep_from IS NOT NULL THEN
                RETURN;
            END IF;
        END LOOP;
        last_no := last_no - size;
        size := least(size * 2, 256);
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._recent_turns(
    token_mgmt.session, jsonb, bigint, numeric, bigint, bigint
) IS
    'Reads a session''s user turns backwards until its tokens are over the limit: the tokens, '
    'those of the last 8 answered turns, and the first message of the turns that a summary leaves: '
    'the last one, and further ones up to so many tokens and messages';
REVOKE ALL ON FUNCTION token_mgmt._recent_turns(
    token_mgmt.session, jsonb, bigint, numeric, bigint, bigint
) FROM PUBLIC;

CREATE FUNCTION @extschema@.should_summarize(
    session_id text, model text DEFAULT NULL, max_tokens integer DEFAULT NULL,
    tenant text DEFAULT NULL, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.summary_advice
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s token_mgmt.session := token_mgmt._session(session_id, tenant);
    by_model text := coalesce(model, s.model);
    counter jsonb := token_mgmt._session_counter(by_model);
    open_count bigint := s.message_count - s.summary_upto;
    a token_mgmt.agent;
    -- Where nothing else is said, a summary is made of what is over half the limit: each one costs
    -- a call, and there is room for as many turns again.
    keep_share numeric := 0.5;
    keep_messages bigint := 9223372036854775807;
    t record;
    result token_mgmt.summary_advice;
BEGIN
    PERFORM token_mgmt._check_count('max_tokens', max_tokens),
        token_mgmt._check_object('options', options, '{}');
    IF s.agent IS NOT NULL THEN
        a := token_mgmt._agent(s.agent, s.tenant);
    END IF;
    result.limit_tokens := token_mgmt._history_limit(s, by_model,
        coalesce(max_tokens, a.max_history_tokens));
    IF a.enable_summarization THEN
        keep_share := coalesce(a.summarize_at, 1) / 2;
        keep_messages := a.summarize_threshold / 2;
    END IF;
    SELECT r.* INTO t FROM token_mgmt._recent_turns(s, counter, result.limit_tokens,
        result.limit_tokens * keep_share, keep_messages,
        token_mgmt._fixed_tokens(s, counter)) r;
    result.tokens := t.tokens;
    SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY n)::numeric, 1)
    INTO result.tokens_per_turn
    FROM unnest(t.turns::bigint[]) n;
    result.turns_left := least(greatest(floor((result.limit_tokens - result.tokens)
        / nullif(result.tokens_per_turn, 0)), 0), 1000000000);
    IF result.tokens > result.limit_tokens THEN
        result.turns_left := 0;
    END IF;
    -- The first number that is not pinned: behind the summary, or behind a pinned one.
    SELECT min(c.message_no) INTO result.from_no
    FROM (SELECT s.summary_upto + 1 UNION ALL SELECT p.message_no + 1 FROM token_mgmt.message p
        WHERE p.tenant = s.tenant AND p.session_id = s.session_id AND p.pinned
            AND p.message_no > s.summary_upto) c (message_no)
    WHERE c.message_no < t.keep_from AND NOT EXISTS (SELECT FROM token_mgmt.message p
        WHERE p.tenant = s.tenant AND p.session_id = s.session_id AND p.pinned
            AND p.message_no = c.message_no);
    -- Half of all turns are longer than their median, so one is kept in reserve.
    result.should := result.from_no IS NOT NULL AND (coalesce(result.turns_left < 2, false)
        OR coalesce(a.enable_summarization AND (open_count >= a.summarize_threshold
            OR result.tokens >= a.summarize_at * result.limit_tokens), false));
    IF result.should THEN
        result.upto_no := t.keep_from - 1;
    ELSE
        result.from_no := NULL;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.should_summarize(text, text, integer, text, jsonb) IS
    'Whether a session''s history should be summarised now: fewer than two more turns fit into '
    'max_tokens (NULL: the agent''s max_history_tokens, else what context and window leave), or '
    'the agent''s summarize_threshold or summarize_at is reached. Names the oldest whole turns, '
    'never the last one. Not STRICT: NULL is not given. Errors: 22004, 22023, 42704, P0002';
REVOKE ALL ON FUNCTION @extschema@.should_summarize(text, text, integer, text, jsonb) FROM PUBLIC;
