-- A backend that counted much in all of OpenAI's encodings, or that called length() on the same.
-- Neither compiled code nor parallel workers, which are PostgreSQL's own memory and time.
SET plan_cache_mode = force_generic_plan;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
\if :counting
PREPARE messages(text) AS SELECT sum(tiktoken_count($1, content)) FROM bench.message;
PREPARE hostile(text) AS SELECT sum(tiktoken_count($1, content)) FROM bench.hostile;
\else
PREPARE messages(text) AS SELECT sum(length(content)) FROM bench.message;
PREPARE hostile(text) AS SELECT sum(length(content)) FROM bench.hostile;
\endif
SELECT pg_backend_pid() AS pid \gset
\setenv PID :pid
EXECUTE messages('r50k_base');
EXECUTE messages('p50k_base');
EXECUTE messages('p50k_edit');
EXECUTE messages('cl100k_base');
EXECUTE messages('o200k_base');
EXECUTE messages('o200k_harmony');
\! ./snapshot messages
EXECUTE hostile('r50k_base');
EXECUTE hostile('p50k_base');
EXECUTE hostile('p50k_edit');
EXECUTE hostile('cl100k_base');
EXECUTE hostile('o200k_base');
EXECUTE hostile('o200k_harmony');
\! ./snapshot hostile
