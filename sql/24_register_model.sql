CREATE FUNCTION token_mgmt._price_of(
    input numeric, output numeric, cached_input numeric, cache_write numeric, options jsonb
) RETURNS token_mgmt.price
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    price token_mgmt.price := jsonb_populate_record(NULL::token_mgmt.price, options);
    bad record;
BEGIN
    price.input_usd_per_mtok := input;
    price.output_usd_per_mtok := output;
    price.cached_input_usd_per_mtok := cached_input;
    price.cache_write_usd_per_mtok := cache_write;
    -- to_jsonb writes NaN and Infinity as strings, so they come back as what they are.
    SELECT r.key, r.value INTO bad
    FROM jsonb_each_text(to_jsonb(price)) r
    WHERE r.key <> 'long_context_over' AND r.value::numeric NOT BETWEEN 0 AND 1000000
        OR r.key = 'long_context_over' AND r.value::numeric <= 0
    LIMIT 1;
    IF FOUND THEN
        PERFORM token_mgmt._raise('22023', format('%s is out of range', bad.key),
            format('Found %s.', bad.value), CASE bad.key
                WHEN 'long_context_over' THEN 'It is a number of prompt tokens, at least 1.'
                ELSE 'A price is 0 to 1000000 USD per million tokens.' END);
    END IF;
    IF price IS NULL THEN
        RETURN NULL;
    END IF;
    IF price.input_usd_per_mtok IS NULL THEN
        PERFORM token_mgmt._raise('22023', 'a price needs input_usd_per_mtok', NULL,
            'Pass 0 where the prompt is free.');
    END IF;
    RETURN price;
END
$$;
COMMENT ON FUNCTION token_mgmt._price_of(numeric, numeric, numeric, numeric, jsonb) IS
    'The price made of these rates and of the long-context ones in the options; NULL when none is '
    'given. Errors: 22023';
REVOKE ALL ON FUNCTION token_mgmt._price_of(numeric, numeric, numeric, numeric, jsonb) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_model(m token_mgmt.model) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known text[];
    near text[];
BEGIN
    IF m.model !~ '^[^[:space:]]{1,200}$' OR m.provider !~ '^[^[:space:]/]{1,100}$' THEN
        PERFORM token_mgmt._raise('22023', 'model or provider is not a valid name', format(
            'Found a model of %s and a provider of %s characters.',
            length(m.model), length(m.provider)),
            'A model has 1 to 200 characters, a provider 1 to 100; neither has white space, and '
            || 'the provider has no slash.');
    END IF;
    IF least(m.context_window, m.max_input_tokens, m.max_output_tokens) < 1 THEN
        PERFORM token_mgmt._raise('22023', 'limits of a model must be positive', format(
            'Found a smallest one of %s tokens.',
            least(m.context_window, m.max_input_tokens, m.max_output_tokens)),
            'Pass NULL for a limit that is not known.');
    END IF;
    IF m.max_input_tokens > m.context_window THEN
        PERFORM token_mgmt._raise('22023', 'max_input_tokens is over the context window',
            format('Found %s in a window of %s tokens.', m.max_input_tokens, m.context_window),
            'The context window is prompt and completion together.');
    END IF;
    IF m.max_output_tokens > m.context_window AND NOT m.window_excludes_output THEN
        PERFORM token_mgmt._raise('22023', 'max_output_tokens is over the context window',
            format('Found %s in a window of %s tokens.', m.max_output_tokens, m.context_window),
            'Where the window counts the prompt alone, pass options => '
            || '''{"window_excludes_output": true}''.');
    END IF;
    IF m.modality NOT IN ('chat', 'embedding', 'image', 'audio') THEN
        PERFORM token_mgmt._raise('22023', format('unknown modality "%s"', m.modality), NULL,
            'Known are chat, embedding, image and audio.');
    END IF;
    IF m.encoding_basis NOT IN ('exact', 'assumed', 'family', 'estimate') THEN
        PERFORM token_mgmt._raise('22023', format('unknown encoding_basis "%s"', m.encoding_basis),
            NULL, 'Known are exact, assumed, family and estimate.');
    END IF;
    IF m.released_on !~ '^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$' THEN
        PERFORM token_mgmt._raise('22023', 'released_on is not a date',
            format('Found "%s".', m.released_on), 'Write it as 2026, 2026-11 or 2026-11-20.');
    END IF;
    IF NOT token_mgmt._encoding_exists(m.encoding) THEN
        known := ARRAY(SELECT DISTINCT r.encoding FROM token_mgmt.model r
                       WHERE r.is_builtin ORDER BY r.encoding);
        IF m.encoding <> ALL (known) THEN
            near := token_mgmt._nearest_names(m.encoding, known, 1);
            PERFORM token_mgmt._raise('42704', format('unknown encoding "%s"', m.encoding),
                format('Models here use %s.', array_to_string(known, ', ')),
                CASE WHEN near = '{}' THEN '' ELSE format('Did you mean "%s"? ', near[1]) END
                || 'Where the vocabulary is none of these, pass o200k_base with options => '
                || '''{"encoding_basis": "estimate"}''.');
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_model(token_mgmt.model) IS
    'Refuses a row that token_mgmt.model cannot take, saying why. Errors: 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt._check_model(token_mgmt.model) FROM PUBLIC;

-- SECURITY DEFINER, so that EXECUTE on it is all that an administrator needs.
CREATE FUNCTION token_mgmt.register_model(
    model text, encoding text, context_window integer, max_output_tokens integer DEFAULT NULL,
    max_input_tokens integer DEFAULT NULL, provider text DEFAULT 'custom',
    input_usd_per_mtok numeric DEFAULT NULL, output_usd_per_mtok numeric DEFAULT NULL,
    cached_input_usd_per_mtok numeric DEFAULT NULL, cache_write_usd_per_mtok numeric DEFAULT NULL,
    modality text DEFAULT 'chat', options jsonb DEFAULT '{}'
) RETURNS token_mgmt.model
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m token_mgmt.model;
    new_price token_mgmt.price;
    before jsonb;
    missing text := CASE WHEN register_model.model IS NULL THEN 'model'
        WHEN register_model.encoding IS NULL THEN 'encoding' END;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM token_mgmt._raise('22004', missing || ' must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_access(NULL, NULL, 'admin'),
        token_mgmt._lock_config('');
    PERFORM token_mgmt._check_object('options', options,
        ARRAY['encoding_basis', 'window_excludes_output',
        'is_maker', 'released_on', 'deprecated_on', 'long_context_over', 'long_input_usd_per_mtok',
        'long_output_usd_per_mtok', 'long_cached_input_usd_per_mtok']);
    BEGIN
        m := jsonb_populate_record(NULL::token_mgmt.model, coalesce(options, '{}'));
        new_price := token_mgmt._price_of(input_usd_per_mtok, output_usd_per_mtok,
            cached_input_usd_per_mtok, cache_write_usd_per_mtok, coalesce(options, '{}'));
    EXCEPTION WHEN invalid_text_representation OR invalid_datetime_format
        OR datetime_field_overflow OR numeric_value_out_of_range THEN
        PERFORM token_mgmt._raise('22023', 'options hold a value of the wrong type',
            upper(left(sqlerrm, 1)) || substr(sqlerrm, 2) || '.',
            'Rates and limits are numbers, flags true or false, dates like "2026-11-20".');
    END;
    m.model := register_model.model;
    m.provider := coalesce(register_model.provider, 'custom');
    m.encoding := register_model.encoding;
    m.encoding_basis := coalesce(m.encoding_basis, 'exact');
    m.context_window := register_model.context_window;
    m.max_input_tokens := register_model.max_input_tokens;
    m.max_output_tokens := register_model.max_output_tokens;
    m.window_excludes_output := coalesce(m.window_excludes_output, false);
    m.modality := coalesce(register_model.modality, 'chat');
    m.is_maker := coalesce(m.is_maker, (
        SELECT r.is_maker FROM token_mgmt.model r
        WHERE r.provider = m.provider AND r.model = m.model AND r.is_builtin), false);
    m.source := 'user';
    m.is_builtin := false;
    PERFORM token_mgmt._check_model(m);
    IF m.is_maker AND EXISTS (
        SELECT FROM token_mgmt.model r
        WHERE r.model = m.model AND r.provider <> m.provider AND r.is_maker AND NOT r.is_builtin
    ) THEN
        PERFORM token_mgmt._raise('22023', format('model "%s" has another maker', m.model), NULL,
            'Register the other one again with options => ''{"is_maker": false}'' first.');
    END IF;
    SELECT to_jsonb(r) || jsonb_build_object('price',
        token_mgmt._price_at(m.provider, m.model, now())) INTO before
    FROM token_mgmt.model r
    WHERE r.provider = m.provider AND r.model = m.model AND NOT r.is_builtin;
    INSERT INTO token_mgmt.model SELECT m.*
    ON CONFLICT (provider, model, is_builtin) DO UPDATE SET
        (encoding, encoding_basis, context_window, max_input_tokens, max_output_tokens,
         window_excludes_output, modality, is_maker, released_on, deprecated_on, source)
        = (excluded.encoding, excluded.encoding_basis, excluded.context_window,
           excluded.max_input_tokens, excluded.max_output_tokens, excluded.window_excludes_output,
           excluded.modality, excluded.is_maker, excluded.released_on, excluded.deprecated_on,
           excluded.source);
    -- now() rather than the wall clock: token_cost(), whose default is now(), sees the price in the
    -- very transaction that registers it, and the last of several calls in one is what counts.
    IF NOT new_price IS NULL
        AND new_price IS DISTINCT FROM token_mgmt._price_at(m.provider, m.model, now()) THEN
        INSERT INTO token_mgmt.model_price (provider, model, starts_at, is_builtin, price)
        VALUES (m.provider, m.model, now(), false, new_price)
        ON CONFLICT (provider, model, is_builtin, starts_at) DO UPDATE SET price = excluded.price;
    END IF;
    PERFORM token_mgmt._trace_config('', 'model', m.provider || '/' || m.model, before, to_jsonb(m)
        || jsonb_build_object('price', token_mgmt._price_at(m.provider, m.model, now())));
    RETURN m;
END
$$;
COMMENT ON FUNCTION token_mgmt.register_model(
    text, text, integer, integer, integer, text, numeric, numeric, numeric, numeric, text, jsonb
) IS
    'Adds or replaces a model of one''s own, which takes the place of a shipped one of the same '
    'provider and name. Limits in tokens, NULL: not known; a price in USD per million tokens holds '
    'from now on. options: encoding_basis (exact), window_excludes_output, is_maker, released_on, '
    'deprecated_on, long_context_over, long_input_usd_per_mtok, long_output_usd_per_mtok, '
    'long_cached_input_usd_per_mtok. Errors: 22004, 22023, 42704';
REVOKE ALL ON FUNCTION token_mgmt.register_model(
    text, text, integer, integer, integer, text, numeric, numeric, numeric, numeric, text, jsonb
) FROM PUBLIC;
