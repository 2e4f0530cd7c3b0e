-- Conversations and loops for fitting. After setup.sql, which has the texts.

-- A user asks, the assistant calls a tool, reads its result and answers: about 1 KB a message.
CREATE FUNCTION bench.with_tools(messages integer) RETURNS jsonb
    LANGUAGE sql
AS $$
    SELECT jsonb_agg(CASE n.n % 4
        WHEN 0 THEN jsonb_build_object('role', 'user', 'content', p.content)
        WHEN 1 THEN jsonb_build_object('role', 'assistant', 'content', NULL, 'tool_calls',
            jsonb_build_array(jsonb_build_object('id', 'call_' || n.n, 'type', 'function',
                'function', jsonb_build_object('name', 'get_page',
                    'arguments', jsonb_build_object('page', n.n)::text))))
        WHEN 2 THEN jsonb_build_object('role', 'tool', 'tool_call_id', 'call_' || n.n - 1,
            'content', p.content)
        ELSE jsonb_build_object('role', 'assistant', 'content', p.content)
        END ORDER BY n.n)
    FROM generate_series(0, messages - 1) n (n)
    JOIN bench.text t ON t.kind = 'english' AND t.size = 1000 AND t.n = n.n * 7 % 1000,
        LATERAL (SELECT repeat(t.content, CASE n.n % 4 WHEN 2 THEN 2 ELSE 1 END)) p (content)
$$;

-- Text alone, 1 KB a message, in turns: what the peers trim as well.
CREATE FUNCTION bench.text_only(messages integer) RETURNS jsonb
    LANGUAGE sql
AS $$
    SELECT jsonb_agg(CASE n.n WHEN 0
        THEN jsonb_build_object('role', 'system', 'content', 'You are brief.')
        ELSE jsonb_build_object('role', CASE n.n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
            'content', t.content) END ORDER BY n.n)
    FROM generate_series(0, messages - 1) n (n)
    JOIN bench.text t ON t.kind = 'english' AND t.size = 1000 AND t.n = n.n * 7 % 1000
$$;

-- half: the prompt that the measurements fit to.
CREATE TABLE bench.conversation AS
SELECT c.kind, jsonb_array_length(c.messages) AS size, c.messages, n.total,
    n.total / 2 AS half
FROM (SELECT 'tools' AS kind, bench.with_tools(size) AS messages
      FROM unnest(ARRAY[100, 1000, 10000]) size
      UNION ALL SELECT 'text', bench.text_only(1000)) c,
    LATERAL count_messages('gpt-4o', c.messages) n;

-- A copy in memory: what a row costs to read and to decompress is no part of fitting.
CREATE FUNCTION bench.messages(kind text, size integer) RETURNS jsonb
    LANGUAGE sql
    RETURN (SELECT c.messages::text::jsonb FROM bench.conversation c
        WHERE (c.kind, c.size) = ($1, $2));

CREATE FUNCTION bench.fit_seconds(
    size integer, OUT bytes bigint, OUT fit float, OUT count_only float, OUT kept integer
)
    LANGUAGE plpgsql
AS $$
DECLARE
    messages jsonb := bench.messages('tools', size);
    content text := (
        SELECT string_agg(m ->> 'content', E'\n') FROM jsonb_array_elements(messages) m);
    times integer := greatest(2000 / size, 1);
    started timestamptz;
    fitted token_mgmt.fitted;
    tokens bigint;
BEGIN
    bytes := octet_length(messages::text);
    tokens := tiktoken_count('o200k_base', 'Your input text here');
    started := clock_timestamp();
    FOR i IN 1..times LOOP
        fitted := fit_messages(messages, 'gpt-4o');
    END LOOP;
    fit := extract(epoch FROM clock_timestamp() - started) / times;
    kept := jsonb_array_length(fitted.messages);
    started := clock_timestamp();
    FOR i IN 1..times LOOP
        tokens := tiktoken_count('o200k_base', content);
    END LOOP;
    count_only := extract(epoch FROM clock_timestamp() - started) / times;
END
$$;

-- To half of the conversation's tokens, by a model whose window is not what limits it.
CREATE FUNCTION bench.half_seconds(
    kind text, size integer, strategy text, OUT fit float, OUT kept integer
)
    LANGUAGE plpgsql
AS $$
DECLARE
    messages jsonb := bench.messages(kind, size);
    half integer := (SELECT c.half FROM bench.conversation c WHERE (c.kind, c.size) = ($1, $2));
    times integer := greatest(2000 / size, 1);
    started timestamptz;
    fitted token_mgmt.fitted;
BEGIN
    fitted := fit_messages(messages, 'bench', max_prompt_tokens => half, strategy => strategy);
    started := clock_timestamp();
    FOR i IN 1..times LOOP
        fitted := fit_messages(messages, 'bench', max_prompt_tokens => half, strategy => strategy);
    END LOOP;
    fit := extract(epoch FROM clock_timestamp() - started) / times;
    kept := jsonb_array_length(fitted.messages);
END
$$;

-- Medians of fitting and counting what fits already, in turns. Each is measured right after a call
-- of its own: memory is cleared up by the call after the one that left it. same: 1 where every byte
-- came back.
CREATE FUNCTION bench.whole_seconds(
    size integer, OUT fit float, OUT count_only float, OUT same integer
)
    LANGUAGE plpgsql
AS $$
DECLARE
    messages jsonb := bench.messages('tools', size);
    times integer := greatest(20000 / size, 15);
    fits float[] := '{}';
    counts float[] := '{}';
    began timestamptz;
    fitted token_mgmt.fitted;
    counted token_mgmt.message_count;
BEGIN
    FOR turn IN 1..times LOOP
        fitted := fit_messages(messages, 'bench');
        began := clock_timestamp();
        fitted := fit_messages(messages, 'bench');
        fits := fits || extract(epoch FROM clock_timestamp() - began)::float;
        counted := count_messages('bench', messages);
        began := clock_timestamp();
        counted := count_messages('bench', messages);
        counts := counts || extract(epoch FROM clock_timestamp() - began)::float;
    END LOOP;
    fit := percentile_cont(0.5) WITHIN GROUP (ORDER BY f) FROM unnest(fits) f;
    count_only := percentile_cont(0.5) WITHIN GROUP (ORDER BY c) FROM unnest(counts) c;
    same := (fitted.messages::text = messages::text AND fitted.prompt_tokens = counted.total)
        ::integer;
END
$$;

-- The encoding and the counting of gpt-4o in a window that takes 10,000 messages.
SELECT FROM token_mgmt.register_model('bench', 'o200k_base', 10000000, max_output_tokens => 1000);
