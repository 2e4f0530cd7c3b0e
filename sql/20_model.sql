CREATE TABLE token_mgmt.model (
    provider text NOT NULL,
    model text NOT NULL,
    encoding text NOT NULL,
    encoding_basis text NOT NULL,
    context_window integer,
    max_input_tokens integer,
    max_output_tokens integer,
    window_excludes_output boolean NOT NULL DEFAULT false,
    modality text NOT NULL DEFAULT 'chat',
    is_maker boolean NOT NULL DEFAULT false,
    released_on text,
    deprecated_on date,
    source text NOT NULL,
    is_builtin boolean NOT NULL DEFAULT false,
    CONSTRAINT model_pkey PRIMARY KEY (provider, model, is_builtin),
    CONSTRAINT model_provider_is_a_name CHECK (provider ~ '^[^[:space:]/]{1,100}$'),
    CONSTRAINT model_name_has_no_space CHECK (model ~ '^[^[:space:]]{1,200}$'),
    CONSTRAINT model_encoding_basis_is_known CHECK (
        encoding_basis IN ('exact', 'assumed', 'family', 'estimate')
    ),
    CONSTRAINT model_modality_is_known CHECK (
        modality IN ('chat', 'embedding', 'image', 'audio')
    ),
    CONSTRAINT model_limits_are_positive CHECK (
        context_window > 0 AND max_input_tokens > 0 AND max_output_tokens > 0
    ),
    CONSTRAINT model_limits_are_in_the_window CHECK (
        max_input_tokens <= context_window
        AND (window_excludes_output OR max_output_tokens <= context_window)
    ),
    CONSTRAINT model_released_on_is_a_date CHECK (
        released_on ~ '^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$'
    )
);
COMMENT ON TABLE token_mgmt.model IS
    'Models with their encoding and limits. Shipped rows are is_builtin; a row of one''s own, '
    'written by token_mgmt.register_model(), takes the place of the shipped one of the same name';
COMMENT ON COLUMN token_mgmt.model.provider IS 'Whose API offers the model, as in openai/gpt-4o';
COMMENT ON COLUMN token_mgmt.model.encoding IS
    'Vocabulary of the model; where it is not built in, counts are estimates';
COMMENT ON COLUMN token_mgmt.model.encoding_basis IS
    'exact: published by the vendor; assumed: a newer name of such a vendor; family: the vendor''s '
    'public vocabulary, not confirmed for this version; estimate: nearest public encoding';
COMMENT ON COLUMN token_mgmt.model.context_window IS
    'Prompt and completion together, in tokens; NULL: not known';
COMMENT ON COLUMN token_mgmt.model.max_input_tokens IS
    'Largest prompt, where the provider limits it apart from the window';
COMMENT ON COLUMN token_mgmt.model.max_output_tokens IS 'Largest completion; NULL: not known';
COMMENT ON COLUMN token_mgmt.model.window_excludes_output IS
    'The window counts the prompt alone, the completion comes on top';
COMMENT ON COLUMN token_mgmt.model.modality IS 'chat, embedding, image or audio';
COMMENT ON COLUMN token_mgmt.model.is_maker IS
    'The provider makes this model, so the name without a provider means this row';
COMMENT ON COLUMN token_mgmt.model.released_on IS 'Year, month or day, as far as it is known';
COMMENT ON COLUMN token_mgmt.model.deprecated_on IS 'First day on which it is no longer offered';
COMMENT ON COLUMN token_mgmt.model.source IS 'Collection the facts come from, or "user"';
COMMENT ON COLUMN token_mgmt.model.is_builtin IS
    'Shipped with the extension; pg_dump carries only the others, so a restore never collides';

-- A name without a provider is looked up here first, on every reservation.
CREATE INDEX model_name_idx ON token_mgmt.model (model, is_builtin, is_maker DESC);
-- At most one maker for each name is what makes that look-up unambiguous.
CREATE UNIQUE INDEX model_maker_key ON token_mgmt.model (model, is_builtin) WHERE is_maker;
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.model', 'WHERE NOT is_builtin');
REVOKE ALL ON token_mgmt.model FROM PUBLIC;
GRANT SELECT ON token_mgmt.model TO PUBLIC;

CREATE TYPE token_mgmt.price AS (
    input_usd_per_mtok numeric,
    output_usd_per_mtok numeric,
    cached_input_usd_per_mtok numeric,
    cache_write_usd_per_mtok numeric,
    long_context_over integer,
    long_input_usd_per_mtok numeric,
    long_output_usd_per_mtok numeric,
    long_cached_input_usd_per_mtok numeric
);
COMMENT ON TYPE token_mgmt.price IS
    'USD per million tokens. The long_ rates hold for the whole request once its prompt is over '
    'long_context_over tokens; a missing one falls back to the plain rate, a missing cache rate to '
    'the input rate';

CREATE TABLE token_mgmt.model_price (
    provider text NOT NULL,
    model text NOT NULL,
    starts_at timestamptz NOT NULL,
    is_builtin boolean NOT NULL DEFAULT false,
    price token_mgmt.price NOT NULL,
    CONSTRAINT model_price_pkey PRIMARY KEY (provider, model, is_builtin, starts_at),
    -- No foreign key to model: a parallel restore loads members' data in any order.
    -- BETWEEN refuses NaN and Infinity too, which sort above every number.
    CONSTRAINT model_price_rates_are_sane CHECK (
        (price).input_usd_per_mtok BETWEEN 0 AND 1000000
        AND (price).output_usd_per_mtok BETWEEN 0 AND 1000000
        AND (price).cached_input_usd_per_mtok BETWEEN 0 AND 1000000
        AND (price).cache_write_usd_per_mtok BETWEEN 0 AND 1000000
        AND (price).long_input_usd_per_mtok BETWEEN 0 AND 1000000
        AND (price).long_output_usd_per_mtok BETWEEN 0 AND 1000000
        AND (price).long_cached_input_usd_per_mtok BETWEEN 0 AND 1000000
    ),
    CONSTRAINT model_price_long_context_is_positive CHECK ((price).long_context_over > 0)
);
COMMENT ON TABLE token_mgmt.model_price IS
    'Prices by the instant they start at; the latest that has started holds, and one''s own prices '
    'precede the shipped ones. Past usage is never repriced: the ledger keeps the price it used';
COMMENT ON COLUMN token_mgmt.model_price.starts_at IS
    '1970 where it is not known since when the price holds';
COMMENT ON COLUMN token_mgmt.model_price.price IS 'Rates in USD per million tokens';
COMMENT ON COLUMN token_mgmt.model_price.is_builtin IS
    'Shipped with the extension; pg_dump carries only the others';
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.model_price', 'WHERE NOT is_builtin');
REVOKE ALL ON token_mgmt.model_price FROM PUBLIC;
GRANT SELECT ON token_mgmt.model_price TO PUBLIC;
