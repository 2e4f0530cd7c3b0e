-- Models of one's own: register_model, prices over time, shadowing, privileges.
\pset null '(null)'
SELECT * FROM token_mgmt.register_model('house-13b', 'o200k_base', 32768, 4096, provider => 'house',
    input_usd_per_mtok => 1, output_usd_per_mtok => 2);
SELECT token_cost('house-13b', 1000000, 1000000) AS cost,
    max_completion_tokens('house-13b', 30000) AS rest,
    (count_text('house-13b', 'Your input text here')).method;
-- The same call again changes nothing; another price starts now, the old one stays in history.
SELECT (token_mgmt.register_model('house-13b', 'o200k_base', 32768, 4096, provider => 'house',
    input_usd_per_mtok => 1.0, output_usd_per_mtok => 2)).source;
SELECT * FROM token_mgmt.register_model('house-13b', 'o200k_base', 65536, provider => 'house',
    input_usd_per_mtok => 3, output_usd_per_mtok => 4, cached_input_usd_per_mtok => 0.5,
    cache_write_usd_per_mtok => 5, modality => 'chat', max_input_tokens => 60000, options => '{
        "encoding_basis": "family", "window_excludes_output": true, "is_maker": true,
        "released_on": "2026-05", "deprecated_on": "2999-01-01", "long_context_over": 1000,
        "long_input_usd_per_mtok": 6, "long_output_usd_per_mtok": 7,
        "long_cached_input_usd_per_mtok": 1}');
SELECT price FROM token_mgmt.model_price WHERE provider = 'house' ORDER BY starts_at;
SELECT token_cost('house-13b', 1000, 0) AS now, token_cost('house-13b', 1001, 0) AS long,
    (SELECT token_cost('house-13b', 1000, 0, at => starts_at)
     FROM token_mgmt.model_price WHERE provider = 'house' ORDER BY starts_at LIMIT 1) AS as_it_was;
SELECT sqlstate, message FROM show_error(
    $$SELECT token_cost('house-13b', 1, 0, at => '2000-01-01')$$);
-- Without a price the old one holds on.
SELECT (token_mgmt.register_model('house-13b', 'o200k_base', 32768, provider => 'house')).is_maker;
SELECT token_cost('house-13b', 1000, 0);
-- In one transaction the new price is seen at once, and the last one counts.
BEGIN;
SELECT count(token_mgmt.register_model('house-7b', 'o200k_base', 8192, provider => 'house',
    input_usd_per_mtok => p)) FROM unnest('{10,20}'::numeric[]) p;
SELECT token_cost('house-7b', 1000000, 0);
SELECT count(*) FROM token_mgmt.model_price WHERE model = 'house-7b';
ROLLBACK;

-- One's own row takes the place of the shipped one; the shipped price still holds.
SELECT provider, encoding, context_window, is_maker, is_builtin FROM token_mgmt.register_model(
    'gpt-4o', 'cl100k_base', 64000, provider => 'openai');
SELECT context_window, is_builtin FROM token_mgmt._resolve_model('openai/gpt-4o-2026-12-31');
SELECT count_tokens('gpt-4o', 'Your input text here') AS by_its_encoding,
    token_cost('gpt-4o', 1000, 500) AS at_the_shipped_price;
-- Under another provider the name without a provider means one's own.
SELECT count(token_mgmt.register_model('gpt-5', 'o200k_base', 1000, provider => 'house'));
SELECT (token_mgmt._resolve_model('gpt-5')).provider AS bare,
    (token_mgmt._resolve_model('openai/gpt-5')).provider AS prefixed;
SELECT token_mgmt._model_name(m) FROM token_mgmt.model m
WHERE m.model IN ('gpt-4o', 'gpt-5', 'glm-5.1') ORDER BY m.is_builtin, m.provider, m.model;
-- Two of one's own, neither the maker's.
SELECT count(token_mgmt.register_model('gpt-5', 'o200k_base', 1000));
SELECT * FROM show_error($$SELECT max_completion_tokens('gpt-5-2026-11-20', 1)$$);
SELECT (token_mgmt.register_model('gpt-5', 'o200k_base', 1000,
    options => '{"is_maker": true}')).provider;
SELECT (token_mgmt._resolve_model('gpt-5')).provider;
SELECT * FROM show_error($$SELECT token_mgmt.register_model('gpt-5', 'o200k_base', 1000,
    provider => 'house', options => '{"is_maker": true}')$$);
-- A name with a slash of its own, a window that is not known, another maker's vocabulary.
SELECT count(token_mgmt.register_model('meta-llama/Llama-9', 'llama3', NULL, provider => 'house'));
SELECT (token_mgmt._resolve_model(n)).provider,
    max_completion_tokens(n, 1) AS window_not_known
FROM unnest(ARRAY['meta-llama/Llama-9', 'house/meta-llama/Llama-9']) n;
SELECT * FROM count_text('meta-llama/Llama-9', 'Your input text here');
-- What a library built without that vocabulary makes of it.
SELECT token_mgmt._counter(jsonb_populate_record(m, '{"encoding": "not_built_in"}'))
FROM token_mgmt.model m WHERE m.provider = 'openai' AND m.model = 'gpt-4o';

-- The cheapest that fits: not too small, not unpriced, not deprecated, not an embedding model.
SELECT count(token_mgmt.register_model(n, 'o200k_base', w, o, i, 'shop', p, p, modality => m,
    options => jsonb_build_object('deprecated_on', d)))
FROM (VALUES
    ('small', 1000, NULL::integer, NULL::integer, 0.001, 'chat', NULL),
    ('unpriced', 9000, NULL, NULL, NULL, 'chat', NULL),
    ('old', 9000, NULL, NULL, 0.001, 'chat', '2020-01-01'),
    ('vectors', 9000, NULL, NULL, 0.001, 'embedding', NULL),
    ('short-answers', 9000, 99, NULL, 0.001, 'chat', NULL),
    ('short-prompts', 9000, NULL, 899, 0.001, 'chat', NULL),
    ('dear', 9000, NULL, NULL, 9, 'chat', '2999-01-01'),
    ('right', 9000, NULL, NULL, 8, 'chat', NULL)) v (n, w, o, i, p, m, d);
SELECT token_mgmt._cheapest_model_that_fits(900, 101, 'shop') AS "right",
    token_mgmt._cheapest_model_that_fits(990, 99, 'shop') AS "short-answers",
    token_mgmt._cheapest_model_that_fits(899, 102, 'shop') AS "short-prompts",
    token_mgmt._cheapest_model_that_fits(899, 101, 'shop') AS small,
    token_mgmt._cheapest_model_that_fits(9000, 1, 'shop') NOT IN ('right', 'dear') AS another_shop,
    token_mgmt._cheapest_model_that_fits(9000000, 1000001, NULL) AS too_much,
    token_mgmt._cheapest_model_that_fits(
        9223372036854775807, 9223372036854775807, NULL) AS no_overflow;
-- A shipped model without a price per token is never the way out, one's own free model is.
SELECT n AS prompt, token_cost(token_mgmt._cheapest_model_that_fits(n, 1000, NULL), n, 1000) > 0
    AS priced FROM unnest('{1000,30000,100000}'::int[]) n;
SELECT count(token_mgmt.register_model('own-iron', 'o200k_base', 9000, provider => 'house',
    input_usd_per_mtok => 0, output_usd_per_mtok => 0));
SELECT token_mgmt._cheapest_model_that_fits(1000, 1000, NULL);

-- Bad input.
SELECT q, e.* FROM unnest(ARRAY[
    $$NULL, 'o200k_base', 1$$, $$'m', NULL, 1$$, $$'m', 'o300k_base', 1$$, $$'m', 'zzz', 1$$,
    $$'a model', 'o200k_base', 1$$, $$'', 'o200k_base', 1$$, $$repeat('m', 201), 'o200k_base', 1$$,
    $$'m', 'o200k_base', 1, provider => 'a/b'$$, $$'m', 'o200k_base', 0$$,
    $$'m', 'o200k_base', 1, -1$$, $$'m', 'o200k_base', 10, 11$$, $$'m', 'o200k_base', 10, 1, 11$$,
    $$'m', 'o200k_base', 1, modality => 'smell'$$, $$'m', 'o200k_base', 1, options => '{"x": 1}'$$,
    $$'m', 'o200k_base', 1, options => '[]'$$,
    $$'m', 'o200k_base', 1, options => '{"encoding_basis": "sure"}'$$,
    $$'m', 'o200k_base', 1, options => '{"released_on": "May"}'$$,
    $$'m', 'o200k_base', 1, options => '{"deprecated_on": "2026-02-30"}'$$,
    $$'m', 'o200k_base', 1, options => '{"is_maker": "perhaps"}'$$,
    $$'m', 'o200k_base', 1, options => '{"long_context_over": 99999999999}'$$,
    $$'m', 'o200k_base', 1, input_usd_per_mtok => 1, options => '{"long_context_over": 0}'$$,
    $$'m', 'o200k_base', 1, input_usd_per_mtok => -0.1$$,
    $$'m', 'o200k_base', 1, input_usd_per_mtok => 'NaN'$$,
    $$'m', 'o200k_base', 1, input_usd_per_mtok => 1, output_usd_per_mtok => 'Infinity'$$,
    $$'m', 'o200k_base', 1, output_usd_per_mtok => 1$$]) q,
    show_error('SELECT token_mgmt.register_model(' || q || ')') e;
SELECT count(*) AS left_behind FROM token_mgmt.model WHERE model = 'm';

-- Everybody may read and count; only an administrator of all tenants writes.
CREATE ROLE models_reader;
CREATE ROLE models_admin;
SELECT level, tenant FROM token_mgmt.grant_access('models_admin', 'admin');
SET ROLE models_reader;
SELECT count_tokens('gpt-4', 'Your input text here') AS counted,
    token_cost('gpt-4', 1000, 0) AS cost, max_completion_tokens('gpt-4', 8000) AS rest,
    (SELECT count(*) > 0 FROM token_mgmt.model) AS read;
SELECT q, e.sqlstate, e.message FROM unnest(ARRAY[
    $$SELECT token_mgmt.register_model('m', 'o200k_base', 1)$$, $$DELETE FROM token_mgmt.model$$,
    $$UPDATE token_mgmt.model_price SET price = NULL$$]) q, show_error(q) e;
RESET ROLE;
SET ROLE models_admin;
SELECT (token_mgmt.register_model('m', 'o200k_base', 1)).provider;
RESET ROLE;
DROP ROLE models_reader;
SELECT token_mgmt.revoke_access('models_admin');
DROP ROLE models_admin;

-- pg_dump carries one's own rows only; without its model a price of one's own says nothing.
SELECT c.relname, e.extcondition[i]
FROM pg_extension e, unnest(e.extconfig) WITH ORDINALITY u (oid, i)
JOIN pg_class c USING (oid) WHERE e.extname = 'token_mgmt' AND c.relname ~ '^model' ORDER BY 1;
DELETE FROM token_mgmt.model WHERE NOT is_builtin;
SELECT (token_mgmt._price_at('openai', 'gpt-4o', now())).input_usd_per_mtok AS shipped_price;
SELECT context_window, is_builtin FROM token_mgmt._resolve_model('gpt-4o');
DELETE FROM token_mgmt.model_price WHERE NOT is_builtin;
