-- Only the way to an error comes here, so it may look at every name.
CREATE FUNCTION token_mgmt._nearest_names(name text, known text[], most integer DEFAULT 3)
    RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH wanted AS (
        -- No name is longer; substr() would take quadratic time on a text.
        SELECT DISTINCT substr('  ' || lower(left(name, 200)) || ' ', i, 3) AS part
        FROM generate_series(1, length(left(name, 200)) + 1) i
    ), trigram AS (
        SELECT DISTINCT k.known_name, substr('  ' || lower(k.known_name) || ' ', i, 3) AS part
        FROM unnest(known) k (known_name), generate_series(1, length(k.known_name) + 1) i
    ), similarity AS (
        -- Shared trigrams over all trigrams of both, as pg_trgm has it. A quarter still catches two
        -- letters swapped in a short name, as in gtp-4o.
        SELECT t.known_name, count(w.part)::numeric
            / (count(*) - count(w.part) + (SELECT count(*) FROM wanted)) AS shared
        FROM trigram t LEFT JOIN wanted w ON w.part = t.part
        GROUP BY t.known_name
    )
    SELECT ARRAY(
        SELECT s.known_name FROM similarity s
        WHERE s.shared >= 0.25
        ORDER BY s.shared DESC, length(s.known_name), s.known_name
        LIMIT most)
$$;
COMMENT ON FUNCTION token_mgmt._nearest_names(text, text[], integer) IS
    'The known names most like this one, most similar first: a quarter of all trigrams are shared';

CREATE FUNCTION token_mgmt._refuse_model(model text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    near text[];
BEGIN
    IF model IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'model must not be null', NULL,
            'Name a model, such as "gpt-4o" or "openai/gpt-4o".');
    END IF;
    -- What cannot be a name may be a prompt passed in its place, and stays out of the log.
    IF model !~ '^[^[:space:]]{1,200}$' THEN
        PERFORM token_mgmt._raise('42704', 'unknown model',
            format('A name has 1 to 200 characters, no white space; this text has %s characters.',
                length(model)), 'Check the order of the arguments.');
    END IF;
    near := token_mgmt._nearest_names(regexp_replace(model, '^.*/', ''),
        ARRAY(SELECT m.model FROM token_mgmt.model m));
    PERFORM token_mgmt._raise('42704', format('unknown model "%s"', model),
        'No model has this name, with or without a provider before it or a date after it.',
        CASE WHEN near = '{}' THEN '' ELSE format('The nearest known %s %s. ',
            CASE cardinality(near) WHEN 1 THEN 'name is' ELSE 'names are' END,
            (SELECT string_agg(format('"%s"', n), ', ' ORDER BY i)
             FROM unnest(near) WITH ORDINALITY u (n, i))) END
        || 'Register a model of your own with token_mgmt.register_model().');
END
$$;
COMMENT ON FUNCTION token_mgmt._refuse_model(text) IS
    'Raises 22004 for NULL, else 42704 with the nearest known names';

CREATE FUNCTION token_mgmt._lookup_model(name text) RETURNS token_mgmt.model
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    found_model token_mgmt.model;
    providers text[];
    slash integer;
BEGIN
    SELECT m.* INTO found_model FROM token_mgmt.model m
    WHERE m.model = name
    ORDER BY m.is_builtin, m.is_maker DESC
    LIMIT 1;
    IF FOUND THEN
        IF NOT found_model.is_maker THEN
            providers := ARRAY(
                SELECT m.provider FROM token_mgmt.model m
                WHERE m.model = name AND m.is_builtin = found_model.is_builtin
                ORDER BY m.provider);
            IF cardinality(providers) > 1 THEN
                PERFORM token_mgmt._raise('42725', format('model name "%s" is ambiguous', name),
                    format('It is known under the providers %s.',
                        (SELECT string_agg(format('"%s"', p), ', ' ORDER BY p)
                         FROM unnest(providers) p)),
                    format('Say which one is meant, as in "%s/%s".', providers[1], name));
            END IF;
        END IF;
        RETURN found_model;
    END IF;
    slash := position('/' IN name);
    IF slash > 0 THEN
        SELECT m.* INTO found_model FROM token_mgmt.model m
        WHERE m.provider = left(name, slash - 1) AND m.model = substr(name, slash + 1)
        ORDER BY m.is_builtin
        LIMIT 1;
        IF FOUND THEN
            RETURN found_model;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION token_mgmt._lookup_model(text) IS
    'The model of exactly this name, else of this provider/name; NULL when there is none. A row of '
    'one''s own precedes a shipped one, the maker''s the others. Errors: 42725';

CREATE FUNCTION token_mgmt._resolve_model(model text) RETURNS token_mgmt.model
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    found_model token_mgmt.model;
    undated text;
BEGIN
    IF model IS NOT NULL THEN
        found_model := token_mgmt._lookup_model(model);
        IF found_model.model IS NULL THEN
            undated := regexp_replace(model, '-((19|20)[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9]'
                || '|(19|20)[0-9]{2}(0[1-9]|1[0-2])[0-3][0-9]'
                || '|(0[1-9]|1[0-2])-(19|20)[0-9]{2}'
                || '|(0[1-9]|1[0-2])[0-3][0-9]|2[0-9](0[1-9]|1[0-2]))$', '');
            IF undated <> model THEN
                found_model := token_mgmt._lookup_model(undated);
            END IF;
        END IF;
    END IF;
    IF found_model.model IS NULL THEN
        PERFORM token_mgmt._refuse_model(model);
    END IF;
    RETURN found_model;
END
$$;
COMMENT ON FUNCTION token_mgmt._resolve_model(text) IS
    'The registered model that a name means: exactly this name, else provider/name, else either '
    'without a date at its end (-YYYY-MM-DD, -YYYYMMDD, -MM-YYYY, -MMDD or -YYMM). Not STRICT: '
    'NULL is 22004. Errors: 42704, 42725';

CREATE FUNCTION token_mgmt._price_at(provider text, model text, at timestamptz)
    RETURNS token_mgmt.price
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN (
        SELECT p.price FROM token_mgmt.model_price p
        WHERE p.provider = _price_at.provider AND p.model = _price_at.model
            AND p.starts_at <= _price_at.at
            AND (p.is_builtin OR EXISTS (
                SELECT FROM token_mgmt.model m
                WHERE m.provider = p.provider AND m.model = p.model AND NOT m.is_builtin))
        ORDER BY p.is_builtin, p.starts_at DESC
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION token_mgmt._price_at(text, text, timestamptz) IS
    'The price that holds at this instant: the latest of one''s own model, else the latest shipped '
    'one, else NULL';

-- Nobody lists it. Where makers publish one it has the same ratio to the plain rate.
CREATE FUNCTION token_mgmt._long_cache_write_rate(price token_mgmt.price) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(price.cache_write_usd_per_mtok * price.long_input_usd_per_mtok
        / nullif(price.input_usd_per_mtok, 0), price.cache_write_usd_per_mtok)
$$;
COMMENT ON FUNCTION token_mgmt._long_cache_write_rate(token_mgmt.price) IS
    'USD per million tokens written to the cache by a prompt above the long-context threshold: as '
    'much more than the usual rate as the input costs more';

CREATE FUNCTION token_mgmt._cost(
    price token_mgmt.price, prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint,
    cache_write_tokens bigint
) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    is_long boolean := coalesce(prompt_tokens > price.long_context_over, false);
    input_rate numeric := price.input_usd_per_mtok;
    output_rate numeric := price.output_usd_per_mtok;
    cached_rate numeric := price.cached_input_usd_per_mtok;
    written_rate numeric := price.cache_write_usd_per_mtok;
    cached bigint := coalesce(cached_tokens, 0);
    written bigint := coalesce(cache_write_tokens, 0);
    plain bigint := coalesce(prompt_tokens, 0) - cached - written;
    completion bigint := coalesce(completion_tokens, 0);
BEGIN
    IF price IS NULL THEN
        RETURN NULL;
    END IF;
    IF is_long THEN
        written_rate := token_mgmt._long_cache_write_rate(price);
        input_rate := coalesce(price.long_input_usd_per_mtok, input_rate);
        output_rate := coalesce(price.long_output_usd_per_mtok, output_rate);
        cached_rate := coalesce(price.long_cached_input_usd_per_mtok, cached_rate);
    END IF;
    -- A rate is needed only for tokens that there are: an embedding model has no output rate.
    RETURN trim_scale(0.000001 * (
        CASE plain WHEN 0 THEN 0 ELSE plain * input_rate END
        + CASE cached WHEN 0 THEN 0 ELSE cached * coalesce(cached_rate, input_rate) END
        + CASE written WHEN 0 THEN 0
            ELSE written * coalesce(written_rate, input_rate) END
        + CASE completion WHEN 0 THEN 0 ELSE completion * output_rate END
        + CASE WHEN price IS NULL THEN NULL ELSE 0 END));
END
$$;
COMMENT ON FUNCTION token_mgmt._cost(token_mgmt.price, bigint, bigint, bigint, bigint) IS
    'USD, exact. prompt_tokens includes the cached and cache-write tokens; NULL counts are 0. NULL '
    'where the price, or a rate that these tokens need, is not known';

CREATE FUNCTION token_mgmt._model_name(model token_mgmt.model) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (
        SELECT FROM token_mgmt.model o
        WHERE o.model = model.model AND o.provider <> model.provider
            AND (NOT o.is_builtin AND model.is_builtin
                OR o.is_builtin = model.is_builtin AND NOT model.is_maker)
    ) THEN model.provider || '/' || model.model ELSE model.model END
$$;
COMMENT ON FUNCTION token_mgmt._model_name(token_mgmt.model) IS
    'The shortest name that means this model: its own, or provider/name where that means another';

CREATE FUNCTION token_mgmt._models_that_fit(prompt bigint, completion bigint)
    RETURNS TABLE (m token_mgmt.model, cost numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 200
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH fitting AS MATERIALIZED (
        SELECT m, token_mgmt._price_at(m.provider, m.model, now()) AS price
        FROM token_mgmt.model m
        WHERE m.modality = 'chat'
            AND (m.deprecated_on IS NULL OR m.deprecated_on > current_date)
            AND prompt <= least(m.context_window, m.max_input_tokens)
            AND (m.window_excludes_output OR coalesce(completion, 0) <= m.context_window - prompt)
            AND (m.max_output_tokens IS NULL OR coalesce(completion, 0) <= m.max_output_tokens)
            AND NOT (m.is_builtin AND EXISTS (
                SELECT FROM token_mgmt.model o
                WHERE o.provider = m.provider AND o.model = m.model AND NOT o.is_builtin))
    )
    SELECT f.m, c.cost
    FROM fitting f, token_mgmt._cost(f.price, prompt, completion, 0, 0) c (cost)
    -- Shipped models for which nothing is charged are trials and previews, no way out to name.
    WHERE c.cost IS NOT NULL AND (NOT (f.m).is_builtin OR c.cost > 0
        OR greatest((f.price).input_usd_per_mtok, (f.price).output_usd_per_mtok) > 0)
$$;
COMMENT ON FUNCTION token_mgmt._models_that_fit(bigint, bigint) IS
    'The chat models that take so many prompt and completion tokens (NULL is 0), are priced and '
    'not deprecated, and what that costs, in no order';

CREATE FUNCTION token_mgmt._cheapest_model_that_fits(
    prompt bigint, completion bigint, prefer_provider text
) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT token_mgmt._model_name(f.m)
    FROM token_mgmt._models_that_fit(prompt, completion) f
    ORDER BY (f.m).provider IS NOT DISTINCT FROM prefer_provider DESC, f.cost,
        length((f.m).model), (f.m).model, (f.m).provider
    LIMIT 1
$$;
COMMENT ON FUNCTION token_mgmt._cheapest_model_that_fits(bigint, bigint, text) IS
    'Name of the cheapest chat model, of this provider if it has one, that takes so many prompt '
    'and completion tokens, is priced and not deprecated; NULL when there is none';

CREATE FUNCTION @extschema@.token_cost(
    model text, prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint DEFAULT 0,
    cache_write_tokens bigint DEFAULT 0, at timestamptz DEFAULT now()
) RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m token_mgmt.model := token_mgmt._resolve_model(model);
    cached bigint := coalesce(cached_tokens, 0);
    written bigint := coalesce(cache_write_tokens, 0);
    price token_mgmt.price;
    cost numeric;
BEGIN
    IF prompt_tokens IS NULL OR completion_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN prompt_tokens IS NULL THEN 'prompt_tokens' ELSE 'completion_tokens' END),
            NULL, 'Pass 0 where there are none.');
    END IF;
    IF least(prompt_tokens, completion_tokens, cached, written) < 0 THEN
        PERFORM token_mgmt._raise('22023', 'token counts must not be negative', format(
            'Found %s prompt, %s completion, %s cached and %s cache-write tokens.',
            prompt_tokens, completion_tokens, cached, written), 'Pass 0 where there are none.');
    END IF;
    -- Compared without a sum, which could overflow.
    IF cached > prompt_tokens OR written > prompt_tokens - cached THEN
        PERFORM token_mgmt._raise('22023', 'more cached tokens than prompt tokens', format(
            'Found %s cached and %s cache-write tokens in a prompt of %s.',
            cached, written, prompt_tokens),
            'prompt_tokens includes both; add them where the provider reports them apart.');
    END IF;
    price := token_mgmt._price_at(m.provider, m.model, coalesce(at, now()));
    cost := token_mgmt._cost(price, prompt_tokens, completion_tokens, cached, written);
    IF cost IS NULL THEN
        PERFORM token_mgmt._raise('22023', format('no price is known for model "%s"', m.model),
            CASE WHEN price IS NULL THEN format('Provider "%s" has no price at %s.', m.provider,
                coalesce(at, now()))
            ELSE format('Provider "%s" has no %s price.', m.provider,
                CASE WHEN price.input_usd_per_mtok IS NULL THEN 'input' ELSE 'output' END) END,
            'Register one with token_mgmt.register_model() and its input_usd_per_mtok.');
    END IF;
    RETURN cost;
END
$$;
COMMENT ON FUNCTION @extschema@.token_cost(text, bigint, bigint, bigint, bigint, timestamptz) IS
    'Cost in USD, exact, at the price that holds at this instant. prompt_tokens includes cached '
    'and cache-write tokens, completion_tokens includes reasoning. Not STRICT: a NULL model or '
    'count is 22004. Errors: 22004, 22023 (no price is known), 42704, 42725';

CREATE FUNCTION @extschema@.max_completion_tokens(model text, prompt_tokens integer) RETURNS integer
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m token_mgmt.model := token_mgmt._resolve_model(model);
BEGIN
    IF prompt_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'prompt_tokens must not be null', NULL,
            'Count the prompt with count_tokens() or count_messages().');
    END IF;
    IF prompt_tokens < 0 THEN
        PERFORM token_mgmt._raise('22023', 'prompt_tokens must not be negative',
            format('Found %s.', prompt_tokens), 'Pass 0 for an empty prompt.');
    END IF;
    IF m.modality = 'embedding' OR prompt_tokens > least(m.max_input_tokens, m.context_window) THEN
        RETURN 0;
    END IF;
    IF m.context_window IS NULL OR m.window_excludes_output THEN
        RETURN CASE WHEN m.context_window IS NOT NULL THEN m.max_output_tokens END;
    END IF;
    RETURN least(m.max_output_tokens, m.context_window - prompt_tokens);
END
$$;
COMMENT ON FUNCTION @extschema@.max_completion_tokens(text, integer) IS
    'The most completion tokens, reasoning included, that can be asked for beside such a prompt; 0 '
    'when nothing is left or the model writes no text; NULL when the context window is not known. '
    'Not STRICT: a NULL argument is 22004. Errors: 22004, 22023, 42704, 42725';
