-- Models that take a request, cheapest first: limits, prices, own models, errors.
\pset null '(null)'
SELECT provider, model, context_window, max_input_tokens, max_output_tokens, max_completion_tokens,
    cost
FROM models_that_fit(900000, 20000) WHERE provider IN ('openai', 'google', 'anthropic') LIMIT 6;
SELECT provider, model, max_completion_tokens, cost FROM models_that_fit(prompt_tokens => 1000000)
WHERE provider = 'openai' LIMIT 3;
-- Each of them takes it, costs what token_cost() says, and the order is that of the cost.
SELECT count(*) > 50 AS many,
    bool_and(100000 <= max_completion_tokens) AS fits,
    bool_and(cost = token_cost(provider || '/' || model, 120000, 100000)) AS costs,
    bool_and(coalesce(cost >= before, true)) AS ordered
FROM (SELECT *, lag(cost) OVER () AS before FROM models_that_fit(120000, 100000)) f;
-- gpt-5 takes 272,000 tokens of its 400,000 as a prompt.
SELECT n AS prompt, count(*) FILTER (WHERE f.model = 'gpt-5') AS fits
FROM unnest('{272000,272001}'::int[]) n, models_that_fit(n, 128000) f GROUP BY n ORDER BY n;
-- One's own model takes the place of a shipped one, and may be free; deprecated ones are out.
BEGIN;
SELECT FROM token_mgmt.register_model('gpt-4o', 'o200k_base', 64000, 16384, provider => 'openai',
    input_usd_per_mtok => 0, output_usd_per_mtok => 0);
SELECT provider, model, context_window, cost FROM models_that_fit(60000, 1000) LIMIT 1;
SELECT count(*) FROM models_that_fit(64001) WHERE provider = 'openai' AND model = 'gpt-4o';
SELECT FROM token_mgmt.register_model('gpt-4o', 'o200k_base', 64000, 16384, provider => 'openai',
    input_usd_per_mtok => 0, options => '{"deprecated_on": "2020-01-01"}');
SELECT count(*) FROM models_that_fit(1) WHERE provider = 'openai' AND model = 'gpt-4o';
ROLLBACK;
-- An empty prompt costs nothing, and as many models take it.
SELECT n.empty = n.one AS same, n.empty > 300 AS many
FROM (SELECT (SELECT count(*) FROM models_that_fit(0, 0)) AS empty, (SELECT count(*) FROM models_that_fit(1, 0)) AS one) n;
SELECT count(*) AS none FROM models_that_fit(2147483647, 2147483647);
-- TM006 names the first of them that the same provider has.
SELECT model = token_mgmt._cheapest_model_that_fits(900000, 20000, 'google') AS same
FROM models_that_fit(900000, 20000) WHERE provider = 'google' LIMIT 1;

SELECT * FROM show_error($$SELECT models_that_fit(NULL)$$);
SELECT * FROM show_error($$SELECT models_that_fit(-1, 5)$$);
SELECT * FROM show_error($$SELECT models_that_fit(1, -5)$$);
