-- The registry: what is shipped, how names resolve, what calls cost, models of one's own.
\pset null '(null)'
-- All of data/models.csv is there, and what is derived from it.
SELECT count(*) AS models, count(DISTINCT model) AS names, count(DISTINCT provider) AS providers,
    count(*) FILTER (WHERE is_maker) AS makers, bool_and(is_builtin) AS builtin
FROM token_mgmt.model;
SELECT encoding_basis, count(*) FROM token_mgmt.model GROUP BY 1 ORDER BY 1;
SELECT modality, count(*) FROM token_mgmt.model GROUP BY 1 ORDER BY 1;
SELECT count(*) AS prices, min(starts_at) = '1970-01-01Z' AND max(starts_at) = '1970-01-01Z' AS for_ever
FROM token_mgmt.model_price;
SELECT provider, model FROM token_mgmt.model WHERE window_excludes_output;
SELECT encoding, context_window, max_input_tokens, max_output_tokens, released_on, deprecated_on,
    source
FROM token_mgmt.model WHERE (provider, model) IN (('openai', 'gpt-5'), ('moonshotai', 'kimi-k2.5'))
ORDER BY model;
-- A cache rate of 0 beside a paid prompt is a gap in the data; a free model stays free.
SELECT model, price FROM token_mgmt.model_price
WHERE (provider, model) IN (('deepseek', 'deepseek-chat'), ('zai', 'glm-4.5-flash')) ORDER BY 1;

-- Every row is reached by provider/model, and every name without a provider means one of them.
SELECT count(*) AS wrong FROM token_mgmt.model m
WHERE token_mgmt._resolve_model(m.provider || '/' || m.model) IS DISTINCT FROM m;
SELECT count(*) AS resolved FROM (SELECT DISTINCT model FROM token_mgmt.model) n
WHERE (token_mgmt._resolve_model(n.model)).model = n.model;
-- A name that two providers offer means the maker's.
SELECT n.model, n.providers, (token_mgmt._resolve_model(n.model)).provider AS means
FROM (SELECT model, array_agg(provider ORDER BY provider) AS providers FROM token_mgmt.model
      GROUP BY model HAVING count(*) > 1) n
ORDER BY 1;
-- Prefix, date, both; what is there under its dated name is not stripped.
SELECT n AS name, (token_mgmt._resolve_model(n)).provider, (token_mgmt._resolve_model(n)).model
FROM unnest(ARRAY['gpt-4o', 'openai/gpt-4o', 'gpt-4o-2024-08-06', 'gpt-4o-2026-12-31',
    'gpt-4o-20261231', 'openai/gpt-4o-2026-12-31', 'gpt-4-0314', 'mistral-small-2409',
    'gpt-4o-08-2026', 'alibaba/glm-5.1', 'alibaba/glm-5.1-2026-10-01', 'claude-opus-4-5']) n;

-- Never by guess.
SELECT message, detail, hint FROM show_error($$SELECT token_mgmt._resolve_model('gpt4o')$$);
SELECT n AS name, e.sqlstate, e.message, e.hint
FROM unnest(ARRAY['gtp-4o', 'GPT-4o', 'azure/gpt-4o', 'openai/glm-5.1', 'gpt-4o-2026-13-01',
    'gpt-4o-latest', 'gpt-4o-', '/gpt-4o', 'openai/', 'no such words', 'zzzz', '']) n,
    show_error(format('SELECT token_mgmt._resolve_model(%L)', n)) e;
SELECT * FROM show_error($$SELECT token_mgmt._resolve_model(repeat('x', 201))$$);
SELECT * FROM show_error('SELECT token_mgmt._resolve_model(NULL)');

-- Costs: plain, cached, written to the cache, without and with a rate of their own.
SELECT token_cost('gpt-4o', 1000, 500) AS plain,
    token_cost('gpt-4o', 1000, 500, 400) AS cached,
    token_cost('gpt-4o', 1000, 500, 400, 100) AS written_at_input_rate,
    token_cost('claude-haiku-4-5', 1000, 500, cache_write_tokens => 100) AS written,
    token_cost('gpt-4', 1000, 0, 1000) AS cached_at_input_rate,
    token_cost('text-embedding-3-small', 1000, 0) AS embedding,
    token_cost('glm-4.5-flash', 1000, 1000) AS free,
    token_cost('gpt-4o', 0, 0) AS nothing;
-- The long-context tier starts above the threshold and holds for the whole request.
SELECT token_cost('gpt-5.5', 272000, 1000, 1000) AS at_the_threshold,
    token_cost('gpt-5.5', 272001, 1000, 1000) AS above_it,
    token_cost('gpt-5.5-pro', 272001, 0, 272001) AS cached_at_long_input_rate;
SELECT token_mgmt._cost('(1,2,0.5,,100,10,,)', 101, 1, 1, 1) AS missing_long_rates_fall_back,
    token_mgmt._cost('(1,2,,,,,,)', NULL, NULL, NULL, NULL) AS null_counts,
    token_mgmt._cost(NULL, 1, 1, 0, 0) AS no_price,
    token_mgmt._cost('(1,,,,,,,)', 1, 1, 0, 0) AS no_output_rate,
    token_mgmt._cost('(,2,,,,,,)', 1, 1, 0, 0) AS no_input_rate,
    token_mgmt._cost('(0.123456789,2,,,,,,)', 9223372036854775807, 0, 0, 0) AS exact;
SELECT q, e.* FROM unnest(ARRAY[
    $$token_cost('qwen-plus-latest', 1000, 1, at => '2026-11-20 12:00+00')$$,
    $$token_cost('text-embedding-3-small', 1000, 1)$$,
    $$token_cost('gpt-4o', 10, 1, 5, 6)$$, $$token_cost('gpt-4o', 10, 1, 11)$$,
    $$token_cost('gpt-4o', -1, 1)$$, $$token_cost('gpt-4o', 1, 1, 0, -1)$$,
    $$token_cost('gpt-4o', NULL, 1)$$, $$token_cost('gpt-4o', 1, NULL)$$,
    $$token_cost(NULL, 1, 1)$$, $$token_cost('gtp-4o', 1, 1)$$]) q,
    show_error('SET LOCAL TimeZone = ''UTC''; SELECT ' || q) e;
SELECT token_cost('gpt-4o', 1000, 500, NULL, NULL, NULL) AS optional_nulls_mean_none;

-- What is left for the completion.
SELECT max_completion_tokens('gpt-4o', 0) AS max_output,
    max_completion_tokens('gpt-4o', 127000) AS rest_of_window,
    max_completion_tokens('gpt-4o', 128000) AS nothing_left,
    max_completion_tokens('gpt-4o', 2000000000) AS far_over,
    max_completion_tokens('gpt-5', 272000) AS at_max_input,
    max_completion_tokens('gpt-5', 272001) AS over_max_input,
    max_completion_tokens('gemini-2.5-pro-preview-tts', 8192) AS output_apart,
    max_completion_tokens('gemini-3-pro-image-preview', 31072) AS no_max_output,
    max_completion_tokens('text-embedding-3-small', 10) AS embedding;
SELECT q, e.sqlstate, e.message, e.detail FROM unnest(ARRAY[
    $$max_completion_tokens('gpt-4o', -1)$$, $$max_completion_tokens('gpt-4o', NULL)$$,
    $$max_completion_tokens(NULL, 1)$$, $$max_completion_tokens('gtp-4o', 1)$$]) q,
    show_error('SELECT ' || q) e;

-- How a model's text is counted, and the counts.
SELECT n AS model, token_mgmt._counter(token_mgmt._resolve_model(n)) AS counter
FROM unnest(ARRAY['gpt-4', 'gpt-6-sol', 'qwen3-max', 'claude-opus-5']) n;
SELECT n AS model, c.* FROM unnest(ARRAY['gpt-4', 'gpt-4o', 'gpt-6-sol', 'qwen3-max',
    'claude-opus-5']) n, count_text(n, 'Your input text here') c;
SELECT count_tokens('gpt-4', 'Your input text here') AS text, count_tokens('gpt-4', '') AS empty,
    count_tokens('gpt-4', '<|endoftext|>') > 1 AS special_tokens_are_text;
SELECT q, e.* FROM unnest(ARRAY[
    $$count_tokens(NULL, 'x')$$, $$count_tokens('gpt-4o', NULL)$$, $$count_text('gpt-4o', NULL)$$,
    $$count_text('gtp-4o', 'x')$$, $$count_tokens('my secret prompt', 'gpt-4o')$$]) q,
    show_error('SELECT ' || q) e;

-- What is written to the cache above the long-context threshold costs as much more as the input.
SELECT token_cost('gpt-5.6', 200000, 0, cache_write_tokens => 200000) AS usual,
    token_cost('gpt-5.6', 300000, 0) AS long_plain, token_cost('gpt-5.6', 300000, 0, cache_write_tokens => 300000) AS long_written;
