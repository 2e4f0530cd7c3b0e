-- Inputs and loops for counting. After setup.sql, which has the texts.

CREATE TABLE bench.short AS SELECT text 'Your input text here' AS content;

-- Half English, half code. Neighbours are of different texts.
CREATE TABLE bench.message AS
SELECT row_number() OVER (ORDER BY i, t.n, t.kind) AS n, substr(t.content, 1 + i * 14, 300) AS content
FROM bench.text t, generate_series(0, 49) i
WHERE t.size = 1000;

-- A megabyte each.
CREATE FUNCTION bench.random_text(alphabet text) RETURNS text
    LANGUAGE sql
AS $$
    SELECT string_agg(substr(alphabet, 1 + floor(random() * length(alphabet))::integer, 1), '')
    FROM generate_series(1, 1000000)
$$;
CREATE TABLE bench.hostile (name text, content text);
INSERT INTO bench.hostile VALUES
    ('one letter', repeat('a', 1000000)),
    ('spaces', repeat(' ', 1000000)),
    ('newlines', repeat(E'\n', 1000000)),
    ('random letters', bench.random_text('abcdefghijklmnopqrstuvwxyz')),
    ('one emoji', repeat(U&'\+01F600', 250000)),
    ('base64', bench.random_text(
        'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')),
    ('dashes', repeat('-', 1000000)),
    ('x, spaces, x', 'x' || repeat(' ', 1000000) || 'x');

-- Nothing writes to these tables while something is measured.
VACUUM (ANALYZE, FREEZE) bench.short, bench.message, bench.hostile;

-- The first call and the second in one statement of PL/pgSQL, whose plan the second finds ready.
-- The texts are variables, so that no planner folds the call.
CREATE FUNCTION bench.first_calls(
    encoding text, loaded boolean, OUT first float, OUT second float
)
    LANGUAGE plpgsql
AS $$
DECLARE
    content text := 'Your input text here';
    started timestamptz;
    ended timestamptz;
    tokens bigint;
BEGIN
    IF loaded THEN
        -- Loads the library, looks at no table of tokens.
        PERFORM token_mgmt._encoding_exists(encoding);
    END IF;
    -- The turn before the first readies all but the call.
    FOR turn IN 0..2 LOOP
        started := clock_timestamp();
        IF turn > 0 THEN
            tokens := tiktoken_count(encoding, content);
        END IF;
        ended := clock_timestamp();
        first := CASE turn WHEN 1 THEN extract(epoch FROM ended - started) ELSE first END;
        second := extract(epoch FROM ended - started);
    END LOOP;
END
$$;

-- Each time the second of two passes, so that caches are as warm as they get.
CREATE FUNCTION bench.message_seconds(
    encoding text, OUT seconds float, OUT tokens bigint, OUT scan float
)
    LANGUAGE plpgsql
AS $$
DECLARE
    started timestamptz;
    bytes bigint;
BEGIN
    FOR turn IN 1..2 LOOP
        started := clock_timestamp();
        SELECT sum(octet_length(content)) INTO bytes FROM bench.message;
        scan := extract(epoch FROM clock_timestamp() - started);
        started := clock_timestamp();
        SELECT sum(tiktoken_count(encoding, content)) INTO tokens FROM bench.message;
        seconds := extract(epoch FROM clock_timestamp() - started);
    END LOOP;
END
$$;

CREATE FUNCTION bench.count_seconds(
    encoding text, texts text[], OUT seconds float, OUT tokens bigint
)
    LANGUAGE plpgsql
AS $$
DECLARE
    content text;
    started timestamptz;
    counted timestamptz;
    bytes bigint := 0;
BEGIN
    FOR turn IN 1..2 LOOP
        tokens := 0;
        started := clock_timestamp();
        FOREACH content IN ARRAY texts LOOP
            tokens := tokens + tiktoken_count(encoding, content);
        END LOOP;
        counted := clock_timestamp();
    END LOOP;
    -- The loop itself, with a function that does nothing, is taken off.
    FOREACH content IN ARRAY texts LOOP
        bytes := bytes + octet_length(content);
    END LOOP;
    seconds := extract(epoch FROM counted - started - (clock_timestamp() - counted));
END
$$;
