-- A backend that counted one text, or that called length() on it: counting, encoding.
SET plan_cache_mode = force_generic_plan;
\if :counting
PREPARE call(text, text) AS SELECT tiktoken_count($1, $2);
\else
PREPARE call(text, text) AS SELECT length($2);
\endif
EXECUTE call(:'encoding', 'Your input text here');
SELECT pg_backend_pid() AS pid \gset
\setenv PID :pid
\! ./snapshot first
