CREATE TYPE token_mgmt._rates AS (
    input numeric,
    output numeric
);
COMMENT ON TYPE token_mgmt._rates IS 'USD for a prompt token and a completion token of a hold';

CREATE FUNCTION token_mgmt._held_rates(
    price token_mgmt.price, model text, prompt_tokens integer, completion_tokens integer
) RETURNS token_mgmt._rates
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    rates token_mgmt._rates;
    is_long boolean := coalesce(prompt_tokens > price.long_context_over, false);
BEGIN
    rates.input := 0.000001 * greatest(price.input_usd_per_mtok, price.cache_write_usd_per_mtok,
        price.cached_input_usd_per_mtok, CASE WHEN is_long
            THEN greatest(price.long_input_usd_per_mtok, price.long_cached_input_usd_per_mtok,
                token_mgmt._long_cache_write_rate(price)) END);
    rates.output := 0.000001 * greatest(price.output_usd_per_mtok,
        CASE WHEN is_long THEN price.long_output_usd_per_mtok END);
    -- Whatever the size: a hold of nothing may settle with any number of tokens.
    IF price.input_usd_per_mtok IS NULL OR price.output_usd_per_mtok IS NULL THEN
        IF price.input_usd_per_mtok IS NOT NULL AND coalesce(completion_tokens, 0) = 0 AND EXISTS (
            SELECT FROM token_mgmt.model m
            WHERE m.provider || '/' || m.model = _held_rates.model AND m.modality = 'embedding')
        THEN
            RETURN rates;
        END IF;
        PERFORM token_mgmt._raise('22023', CASE WHEN model IS NULL
                THEN 'a quota of cost needs a model' ELSE format('model "%s" has no price', model)
            END, 'The user, team and so on of this request has a quota in USD, which a request of '
            'unknown cost would pass by.', CASE WHEN model IS NULL THEN 'Name the model.'
                ELSE 'Give it a price with token_mgmt.register_model().' END);
    END IF;
    RETURN rates;
END
$$;
COMMENT ON FUNCTION token_mgmt._held_rates(token_mgmt.price, text, integer, integer) IS
    'The dearest rates that the call can reach: all of the prompt written to the cache, at the '
    'tier of its length. Errors: 22023 without a model or a price, of which an embedding model '
    'needs none for completions';
REVOKE ALL ON FUNCTION token_mgmt._held_rates(token_mgmt.price, text, integer, integer)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._units(
    metric text, prompt bigint, completion bigint, rates token_mgmt._rates
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE metric WHEN 'tokens' THEN (prompt + completion)::numeric
        WHEN 'requests' THEN 1
        ELSE prompt * coalesce(rates.input, 0) + completion * coalesce(rates.output, 0) END
$$;
COMMENT ON FUNCTION token_mgmt._units(text, bigint, bigint, token_mgmt._rates) IS
    'What these tokens are in units of a metric';

CREATE FUNCTION token_mgmt._available(w token_mgmt._wanted, share numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE w.metric WHEN 'requests' THEN w.free
        -- A bucket and cached tokens leave fractions: rounded up, but to no more than there is.
        WHEN 'tokens' THEN least(ceil(w.free * share), floor(w.free))
        ELSE w.free * share END
$$;
COMMENT ON FUNCTION token_mgmt._available(token_mgmt._wanted, numeric) IS
    'What a request with this share may hold of what is free; a request is never shared';

CREATE FUNCTION token_mgmt._most_completion(
    w token_mgmt._wanted, share numeric, prompt bigint, rates token_mgmt._rates
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN w.is_soft THEN NULL
        -- A limit of 0 refuses a request for nothing, too.
        WHEN w.amount = 0 THEN -1
        WHEN w.metric = 'tokens' THEN token_mgmt._available(w, share) - prompt
        WHEN token_mgmt._available(w, share) < token_mgmt._units(w.metric, prompt, 0, rates)
            THEN -1
        WHEN w.metric = 'cost' AND rates.output > 0 THEN floor(
            (token_mgmt._available(w, share) - prompt * coalesce(rates.input, 0)) / rates.output)
    END
$$;
COMMENT ON FUNCTION token_mgmt._most_completion(
    token_mgmt._wanted, numeric, bigint, token_mgmt._rates
) IS
    'The most completion tokens beside this prompt that the quota allows; NULL: any number, '
    'negative: not even the prompt';

CREATE FUNCTION token_mgmt._duration_text(span interval) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN s < 60 THEN s || ' s'
        WHEN s < 3600 THEN (s + 59) / 60 || ' min'
        WHEN s < 86400 THEN s / 3600 || ' h ' || s % 3600 / 60 || ' min'
        ELSE s / 86400 || ' d ' || s % 86400 / 3600 || ' h'
    END FROM (SELECT greatest(ceil(extract(epoch FROM span))::bigint, 1)) e (s)
$$;
COMMENT ON FUNCTION token_mgmt._duration_text(interval) IS 'A span as people say it: 5 h 12 min';

CREATE FUNCTION token_mgmt._frees_at(
    tenant text, w token_mgmt._wanted, needed numeric, at timestamptz
) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    increase numeric;
    increased_until timestamptz;
    most numeric;
    by_itself timestamptz;
    by_expiry timestamptz;
BEGIN
    SELECT q.increase, q.increase_until INTO increase, increased_until FROM token_mgmt.quota q
    WHERE q.tenant = _frees_at.tenant AND q.quota_id = w.quota_id AND q.increase_until > at;
    -- With an increase as long as that lasts, then without.
    LOOP
        -- More is never free, but for what this period leaves to the next.
        most := w.amount + least(w.carry_over, w.amount, greatest(w.free, 0));
        by_itself := CASE
            WHEN needed > most THEN 'infinity'
            WHEN w.kind = 'bucket' THEN CASE WHEN (needed - w.free) / w.inflow > 1000000000
                THEN 'infinity'
                -- A bucket goes by the latest instant that it has seen.
                ELSE greatest(at, (
                    SELECT p.credited_at FROM token_mgmt.quota_period p
                    WHERE p.tenant = _frees_at.tenant AND p.quota_id = w.quota_id
                        AND p.scope_value = w.scope_value AND p.starts_at = w.starts_at
                        AND p.slot = 0))
                    + make_interval(secs => ((needed - w.free) / w.inflow)::float) END
            WHEN w.kind = 'sliding' THEN coalesce((
                SELECT min(e.ends_at) FROM (
                    SELECT p.ends_at, sum(p.used + p.held - p.credited) OVER (ORDER BY p.starts_at)
                        AS freed
                    FROM token_mgmt.quota_period p
                    WHERE p.tenant = _frees_at.tenant AND p.quota_id = w.quota_id
                        AND p.scope_value = w.scope_value AND p.starts_at <> '-infinity'
                        AND p.ends_at > w.starts_at
                ) e WHERE e.freed >= needed - w.free), at)
            ELSE w.ends_at END;
        IF by_itself < coalesce(increased_until, 'infinity') THEN
            RETURN by_itself;
        END IF;
        -- Holds are mostly used. But where nothing else will help, those that run out may.
        SELECT min(h.expires_at) INTO by_expiry FROM (
            SELECT o.expires_at, sum(a.amount) OVER (ORDER BY o.expires_at, o.reservation_id)
                AS freed
            FROM (
                SELECT r.reservation_id, r.expires_at, r.allocations FROM token_mgmt.reservation r
                WHERE r.state = 'held' AND r.expires_at > at AND r.tenant = _frees_at.tenant
                ORDER BY r.expires_at LIMIT 1000
            ) o
            CROSS JOIN LATERAL unnest(o.allocations) a
            WHERE a.quota_id = w.quota_id AND a.scope_value = w.scope_value
                AND (w.kind = 'sliding' OR a.starts_at = w.starts_at)
        ) h WHERE h.freed >= needed - w.free AND w.kind <> 'bucket';
        IF increased_until IS NULL OR by_expiry < increased_until THEN
            RETURN coalesce(by_expiry, 'infinity');
        END IF;
        w.amount := w.amount - increase;
        w.free := w.free - increase;
        increased_until := NULL;
    END LOOP;
END
$$;
COMMENT ON FUNCTION token_mgmt._frees_at(text, token_mgmt._wanted, numeric, timestamptz) IS
    'When so much will be free of the quota if nobody else takes from it and what is held is used; '
    'where that is never, when holds that run out leave so much; infinity: not then either';
REVOKE ALL ON FUNCTION token_mgmt._frees_at(text, token_mgmt._wanted, numeric, timestamptz)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._needed(w token_mgmt._wanted, units numeric, share numeric)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN w.amount = 0 THEN 'infinity' WHEN w.metric = 'requests' THEN units
        WHEN units <= CASE w.metric WHEN 'tokens' THEN ceil(w.amount * share)
            ELSE w.amount * share END THEN least(units / share, w.amount)
        ELSE 'infinity' END
$$;
COMMENT ON FUNCTION token_mgmt._needed(token_mgmt._wanted, numeric, numeric) IS
    'What must be free of a quota for a request of so many units with this share';
REVOKE ALL ON FUNCTION token_mgmt._needed(token_mgmt._wanted, numeric, numeric) FROM PUBLIC;

CREATE FUNCTION token_mgmt._figures(
    tenant text, w token_mgmt._wanted, overdue numeric,
    OUT amount numeric, OUT used numeric, OUT held numeric
)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT coalesce(sum(p.used - p.credited), 0), coalesce(sum(p.held), 0) - overdue INTO used, held
    FROM token_mgmt.quota_period p
    WHERE p.tenant = _figures.tenant AND p.quota_id = w.quota_id AND p.scope_value = w.scope_value
        AND CASE w.kind WHEN 'sliding' THEN p.starts_at > '-infinity' AND p.ends_at > w.starts_at
            ELSE p.starts_at = w.starts_at END;
    IF w.kind = 'fixed' THEN
        -- With what the period before left.
        amount := w.free + used + held;
    ELSE
        amount := w.amount;
        used := greatest(amount - w.free - held, 0);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._figures(text, token_mgmt._wanted, numeric) IS
    'Limit, used and held of a quota''s span, whose free part is known; overdue: what of the held '
    'is counted as free there';
REVOKE ALL ON FUNCTION token_mgmt._figures(text, token_mgmt._wanted, numeric) FROM PUBLIC;

CREATE FUNCTION token_mgmt._quota_text(
    w token_mgmt._wanted, requested numeric, available numeric, priority text
) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN format('Requested %s %s; %s of %s remain', trim_scale(requested),
            CASE w.metric WHEN 'tokens' THEN 'tokens' WHEN 'cost' THEN 'USD' ELSE 'request' END,
            trim_scale(CASE w.metric WHEN 'cost' THEN w.free ELSE floor(w.free) END),
            trim_scale(w.amount))
        || CASE WHEN w.kind = 'bucket' THEN ' in the bucket'
            WHEN w.kind = 'sliding' THEN format(' in any %s', w.period)
            WHEN w.period = 'total' THEN ''
            ELSE format(' in the %s ending %s', w.period, w.ends_at) END
        || CASE WHEN priority IS NOT NULL AND available < w.free AND w.free > 0
            THEN format(', of which priority "%s" may hold %s', priority, trim_scale(available))
            ELSE '' END
        || '.';
END
$$;
COMMENT ON FUNCTION token_mgmt._quota_text(token_mgmt._wanted, numeric, numeric, text) IS
    'What is left of a quota, in a sentence';
REVOKE ALL ON FUNCTION token_mgmt._quota_text(token_mgmt._wanted, numeric, numeric, text)
    FROM PUBLIC;

CREATE FUNCTION token_mgmt._quota_denial(
    r token_mgmt._request, wanted token_mgmt._wanted[], rates token_mgmt._rates,
    completion integer, at timestamptz
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g token_mgmt.reservation_grant;
    w token_mgmt._wanted;
    tightest token_mgmt._wanted;
    share numeric := token_mgmt._priority_share(r.tenant, r.priority);
    -- What would have been granted at the least.
    needed integer := CASE r.on_overflow WHEN 'refuse' THEN completion
        ELSE least(completion, greatest(r.min_completion_tokens, 1)) END;
    most numeric;
    least_most numeric;
    units numeric;
    retry_at timestamptz;
    lower integer;
    balance record;
    ways text[] := '{}';
BEGIN
    FOREACH w IN ARRAY wanted LOOP
        most := token_mgmt._most_completion(w, share, r.prompt_tokens, rates);
        IF most < coalesce(least_most, 'infinity') THEN
            least_most := most;
            tightest := w;
        END IF;
        -- Every quota that is short must come to have enough.
        IF needed > most THEN
            units := token_mgmt._units(w.metric, r.prompt_tokens, needed, rates);
            retry_at := greatest(retry_at, token_mgmt._frees_at(r.tenant, w,
                token_mgmt._needed(w, units, share), at));
        END IF;
    END LOOP;
    lower := greatest(least(least_most, completion), 0);
    units := token_mgmt._available(tightest, share);
    SELECT f.* INTO balance FROM token_mgmt._figures(r.tenant, tightest, 0) f;
    tightest.amount := balance.amount;

    g.status := 'denied';
    g.sqlstate := 'TM001';
    g.reason := format('%s quota exceeded for %s "%s"',
        CASE tightest.metric WHEN 'tokens' THEN 'token' WHEN 'requests' THEN 'request'
            ELSE 'cost' END, replace(tightest.scope, '_', ' '), tightest.scope_value);
    g.prompt_tokens := r.prompt_tokens;
    g.completion_tokens := completion;
    g.tokens_held := 0;
    g.tokens_remaining := CASE tightest.metric WHEN 'tokens' THEN floor(tightest.free) END;
    g.warnings := '{}';
    IF retry_at < 'infinity' THEN
        g.retry_after := greatest(retry_at - at, '1 millisecond');
        ways := ways || format('retry in %s', token_mgmt._duration_text(g.retry_after));
    END IF;
    IF lower > 0 THEN
        ways := ways || format('lower the completion to %s tokens', lower);
    END IF;
    ways := ways || 'raise the quota with token_mgmt.set_quota()'::text;
    g.advice := jsonb_build_object(
        'detail', token_mgmt._quota_text(tightest, token_mgmt._units(tightest.metric,
            r.prompt_tokens, completion, rates), greatest(units, 0), r.priority),
        'hint', upper(left(ways[1], 1)) || substr(ways[1], 2) || CASE cardinality(ways)
            WHEN 1 THEN '' WHEN 2 THEN ', or ' || ways[2]
            ELSE ', ' || ways[2] || ', or ' || ways[3] END || '.',
        'scope', tightest.scope, 'value', tightest.scope_value, 'metric', tightest.metric,
        'period', tightest.period, 'limit', trim_scale(tightest.amount),
        'used', trim_scale(balance.used), 'held', trim_scale(balance.held),
        'remaining', trim_scale(tightest.free), 'available', trim_scale(greatest(units, 0)),
        'requested', trim_scale(token_mgmt._units(tightest.metric, r.prompt_tokens, completion,
            rates)),
        'max_completion_tokens', lower, 'resets_at',
        CASE WHEN tightest.kind = 'fixed' THEN nullif(tightest.ends_at, 'infinity') END);
    RETURN g;
END
$$;
COMMENT ON FUNCTION token_mgmt._quota_denial(
    token_mgmt._request, token_mgmt._wanted[], token_mgmt._rates, integer, timestamptz
) IS
    'The TM001 denial of the quota that has least left, with its numbers and ways out; '
    'retry_after is when all that are short will have enough, NULL where they never will';
REVOKE ALL ON FUNCTION token_mgmt._quota_denial(
    token_mgmt._request, token_mgmt._wanted[], token_mgmt._rates, integer, timestamptz
) FROM PUBLIC;

CREATE FUNCTION token_mgmt._window_denial(
    m token_mgmt.model, cause text, prompt bigint, completion bigint, max_completion bigint,
    prompt_limit bigint, is_fitted boolean
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g token_mgmt.reservation_grant;
BEGIN
    g.status := 'denied';
    g.sqlstate := 'TM006';
    g.prompt_tokens := prompt;
    g.completion_tokens := completion;
    g.tokens_held := 0;
    g.warnings := '{}';
    SELECT a.reason, a.advice INTO g.reason, g.advice
    FROM token_mgmt._window_advice(m, cause, prompt, completion, max_completion, prompt_limit,
        is_fitted) a;
    RETURN g;
END
$$;
COMMENT ON FUNCTION token_mgmt._window_denial(
    token_mgmt.model, text, bigint, bigint, bigint, bigint, boolean
) IS 'The TM006 denial with its numbers and ways out';

CREATE FUNCTION token_mgmt._raise_denial(sqlstate text, reason text, advice jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM token_mgmt._raise(sqlstate, reason, advice ->> 'detail', advice ->> 'hint');
END
$$;
COMMENT ON FUNCTION token_mgmt._raise_denial(text, text, jsonb) IS 'Raises a denial as an error';
