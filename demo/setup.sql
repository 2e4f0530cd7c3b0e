-- What the demo itself needs; nothing of it is part of the extension.
SET client_min_messages = warning;
CREATE SCHEMA demo;

CREATE TABLE demo.promise (
    promise_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    promise text NOT NULL
);

CREATE FUNCTION demo.expect(promise text, actual anyelement, expected anyelement) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'not as promised: %: expected %, found %', promise, expected, actual;
    END IF;
    INSERT INTO demo.promise (promise) VALUES (promise);
END
$$;

-- Tool calls without exactly one result after them, and results without a call before them.
CREATE FUNCTION demo.torn_calls(messages jsonb) RETURNS bigint
    LANGUAGE sql
AS $$
    WITH message AS (
        SELECT m, i FROM jsonb_array_elements(messages) WITH ORDINALITY u (m, i)
    ), call AS (
        SELECT c ->> 'id' AS id, i FROM message, jsonb_array_elements(m -> 'tool_calls') c
    ), result AS (
        SELECT m ->> 'tool_call_id' AS id, i FROM message WHERE m ->> 'role' = 'tool'
    )
    SELECT count(*) FROM call FULL JOIN result USING (id)
    WHERE call.i IS NULL OR result.i IS NULL OR call.i > result.i
$$;

-- Read by psql, so that the server needs no right to read files.
\set messages `cat :conversation`
\set tools `cat data/conversation/tools.json`
\set text `cat :document; printf .`
CREATE TABLE demo.conversation AS SELECT :'messages'::jsonb AS messages, :'tools'::jsonb AS tools;
-- The dot keeps the shell from taking the last line's end away.
CREATE TABLE demo.document AS
    SELECT 'chapter 21 of "Persuasion"' AS title, left(:'text', -1) AS content;
\set text `cat :conversation; printf .`
INSERT INTO demo.document VALUES ('the whole conversation, as JSON', left(:'text', -1));

SELECT demo.expect('the conversation has at least 240 messages',
    jsonb_array_length(messages) >= 240, true) FROM demo.conversation \g /dev/null
SELECT demo.expect('the conversation arrives with no tool call torn from its result',
    demo.torn_calls(messages), 0::bigint) FROM demo.conversation \g /dev/null

-- The period rows of the quota that start.sql sets.
CREATE VIEW demo.minute_period AS
    SELECT p.starts_at, p.ends_at, p.allowance, p.used, p.held, p.closed_at
    FROM token_mgmt.quota_period p
    JOIN token_mgmt.quota q USING (tenant, quota_id)
    WHERE q.value = 'margaret' AND q.period = 'minute'
    ORDER BY p.starts_at;
