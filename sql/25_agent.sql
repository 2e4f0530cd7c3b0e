CREATE TABLE token_mgmt.agent (
    tenant text NOT NULL,
    agent text NOT NULL,
    max_context_tokens integer NOT NULL DEFAULT 6000,
    max_system_tokens integer,
    max_user_tokens integer,
    max_story_tokens integer,
    max_history_tokens integer DEFAULT 3000,
    max_rag_tokens integer DEFAULT 1500,
    max_completion_tokens integer NOT NULL DEFAULT 2000,
    safety_tokens integer NOT NULL DEFAULT 0,
    precedence text[] NOT NULL DEFAULT '{system,user,story,history,rag}',
    history_grows boolean NOT NULL DEFAULT false,
    system_over text NOT NULL DEFAULT 'borrow',
    follow_usage boolean NOT NULL DEFAULT false,
    enable_summarization boolean NOT NULL DEFAULT false,
    summarize_threshold integer NOT NULL DEFAULT 10,
    summarize_at numeric DEFAULT 0.8,
    block_images text,
    keep_images integer,
    redact text[] NOT NULL DEFAULT '{}',
    CONSTRAINT agent_pkey PRIMARY KEY (tenant, agent),
    CONSTRAINT agent_ceilings_are_counts CHECK (
        max_system_tokens >= 0 AND max_user_tokens >= 0 AND max_story_tokens >= 0
        AND max_history_tokens >= 0 AND max_rag_tokens >= 0 AND keep_images >= 0
    ),
    CONSTRAINT agent_context_has_room_for_a_prompt CHECK (
        max_completion_tokens > 0 AND safety_tokens >= 0
        AND max_completion_tokens::bigint + safety_tokens < max_context_tokens
    ),
    CONSTRAINT agent_precedence_has_each_section_once CHECK (
        cardinality(precedence) = 5 AND precedence @> '{system,user,story,history,rag}'
    ),
    CONSTRAINT agent_system_over_is_known CHECK (system_over IN ('borrow', 'refuse')),
    CONSTRAINT agent_block_images_is_known CHECK (block_images IN ('off', 'mark', 'strip')),
    CONSTRAINT agent_summarize_threshold_is_positive CHECK (summarize_threshold > 0),
    CONSTRAINT agent_summarize_at_is_a_fraction CHECK (summarize_at > 0 AND summarize_at <= 1)
);
-- The profiles of tenant * are shipped, and come with the extension wherever a dump is restored.
SELECT pg_catalog.pg_extension_config_dump('token_mgmt.agent', $$WHERE tenant <> '*'$$);
COMMENT ON TABLE token_mgmt.agent IS
    'Profiles of agents: how much of the context each section of a request may take. Written by '
    'token_mgmt.set_agent(); those of tenant * are shipped and hold where a tenant has no own';
COMMENT ON COLUMN token_mgmt.agent.max_context_tokens IS
    'Everything together, completion and safety included, in tokens';
COMMENT ON COLUMN token_mgmt.agent.max_system_tokens IS
    'Ceiling of this section in tokens, as those that follow; NULL: none of its own';
COMMENT ON COLUMN token_mgmt.agent.max_completion_tokens IS 'Kept back for the completion';
COMMENT ON COLUMN token_mgmt.agent.safety_tokens IS 'Left unused';
COMMENT ON COLUMN token_mgmt.agent.precedence IS 'Sections in the order in which they are filled';
COMMENT ON COLUMN token_mgmt.agent.history_grows IS
    'History may take what the other sections leave, past its ceiling';
COMMENT ON COLUMN token_mgmt.agent.system_over IS
    'borrow: a system section over its ceiling takes from history, with a warning; refuse: TM006';
COMMENT ON COLUMN token_mgmt.agent.follow_usage IS
    'The budgets of history and completion follow what the session used recently';
COMMENT ON COLUMN token_mgmt.agent.summarize_threshold IS
    'Messages not summarised yet at which should_summarize() says yes, where summaries are on';
COMMENT ON COLUMN token_mgmt.agent.summarize_at IS
    'Share of the history''s limit at which it says yes, where summaries are on; NULL: none';
COMMENT ON COLUMN token_mgmt.agent.block_images IS
    'off, mark or strip; NULL: as setting token_mgmt.block_images says';
COMMENT ON COLUMN token_mgmt.agent.keep_images IS 'The newest so many images stay; NULL: no limit';
COMMENT ON COLUMN token_mgmt.agent.redact IS 'Names of the rules that redact its messages';
REVOKE ALL ON token_mgmt.agent FROM PUBLIC;

-- Together 32,000; the history has what the rest leaves, and documents come last.
INSERT INTO token_mgmt.agent (tenant, agent, max_context_tokens, max_system_tokens,
    max_user_tokens, max_story_tokens, max_history_tokens, max_rag_tokens, max_completion_tokens,
    safety_tokens, history_grows)
VALUES ('*', 'storyteller_32k', 32000, 4000, 2000, 1500, 18000, NULL, 5000, 1500, true);

CREATE FUNCTION token_mgmt._agent(agent text, tenant text) RETURNS token_mgmt.agent
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(tenant);
    found_agent token_mgmt.agent;
    near text[];
BEGIN
    SELECT a.* INTO found_agent FROM token_mgmt.agent a
    WHERE a.agent = _agent.agent AND a.tenant IN (in_tenant, '*')
    ORDER BY a.tenant = '*'
    LIMIT 1;
    IF FOUND THEN
        RETURN found_agent;
    END IF;
    -- What cannot be a name may be a prompt passed in its place, and stays out of the log.
    IF agent !~ '^[^[:space:]]{1,255}$' THEN
        PERFORM token_mgmt._raise('42704', 'unknown agent',
            format('No agent has a name like this text of %s characters.', length(agent)),
            'Check the order of the arguments.');
    END IF;
    near := token_mgmt._nearest_names(agent, ARRAY(
        SELECT a.agent FROM token_mgmt.agent a WHERE a.tenant IN (in_tenant, '*')));
    PERFORM token_mgmt._raise('42704', format('unknown agent "%s"', agent),
        format('Tenant "%s" has no agent of this name, and none is shipped.', in_tenant),
        CASE WHEN near = '{}' THEN '' ELSE format('The nearest known %s %s. ',
            CASE cardinality(near) WHEN 1 THEN 'name is' ELSE 'names are' END,
            (SELECT string_agg(format('"%s"', n), ', ' ORDER BY i)
             FROM unnest(near) WITH ORDINALITY u (n, i))) END
        || 'Make one with token_mgmt.set_agent().');
END
$$;
COMMENT ON FUNCTION token_mgmt._agent(text, text) IS
    'The tenant''s agent of this name, else the shipped one. Not STRICT: a NULL tenant is the '
    'session''s. Errors: 42704 with the nearest names';
REVOKE ALL ON FUNCTION token_mgmt._agent(text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._agent_settings(agent text, tenant text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a token_mgmt.agent;
BEGIN
    IF agent IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM token_mgmt._check_tenant(token_mgmt._tenant(tenant), 'reader');
    a := token_mgmt._agent(agent, tenant);
    RETURN jsonb_build_object(
        'agent', a.agent,
        'max_context', a.max_context_tokens,
        'sections', jsonb_build_object('system', a.max_system_tokens, 'user', a.max_user_tokens,
            'story', a.max_story_tokens, 'history', a.max_history_tokens, 'rag', a.max_rag_tokens),
        'completion', a.max_completion_tokens,
        'safety', a.safety_tokens,
        'precedence', a.precedence,
        'history_grows', a.history_grows,
        'system_over', a.system_over,
        'enable_summarization', a.enable_summarization,
        'summarize_threshold', a.summarize_threshold,
        'summarize_at', a.summarize_at,
        'block_images', a.block_images,
        'keep_images', a.keep_images,
        'redact', a.redact);
END
$$;
COMMENT ON FUNCTION token_mgmt._agent_settings(text, text) IS
    'An agent''s profile as the fitting core takes it: max_context, sections, completion, safety, '
    'precedence and so on. Not STRICT: NULL without an agent, a NULL tenant is the session''s. '
    'Errors: 42704. Who may call it, may name an agent in fit_messages()';
REVOKE ALL ON FUNCTION token_mgmt._agent_settings(text, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt._check_agent_setting(key text, value jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_value text := value #>> '{}';
    -- Nine digits and a thousand million: sums of two are in the range of an integer.
    is_count boolean := value::text ~ '^[0-9]{1,9}$' OR value = '1000000000';
    is_null boolean := value = 'null';
    is_right boolean;
    need text;
BEGIN
    CASE
        WHEN key IN ('max_context_tokens', 'max_completion_tokens', 'summarize_threshold') THEN
            is_right := is_count AND value <> '0';
            need := 'Give a whole number from 1 to 1000000000.';
        WHEN key = 'safety_tokens' THEN
            is_right := is_count;
            need := 'Give a whole number from 0 to 1000000000.';
        WHEN key ~ '^max_' OR key = 'keep_images' THEN
            is_right := is_count OR is_null;
            need := 'Give a whole number from 0 to 1000000000, or null for no limit of its own.';
        WHEN key IN ('history_grows', 'follow_usage', 'enable_summarization') THEN
            is_right := jsonb_typeof(value) = 'boolean';
            need := 'Give true or false.';
        WHEN key = 'summarize_at' THEN
            is_right := is_null
                OR jsonb_typeof(value) = 'number' AND value > '0' AND value <= '1';
            need := 'Give a number above 0 and at most 1, or null.';
        WHEN key = 'system_over' THEN
            is_right := value IN ('"borrow"', '"refuse"');
            need := 'Give "borrow" or "refuse".';
        WHEN key = 'block_images' THEN
            is_right := is_null OR value IN ('"off"', '"mark"', '"strip"');
            need := 'Give "off", "mark", "strip", or null for the setting''s value.';
        WHEN key = 'precedence' THEN
            is_right := jsonb_typeof(value) = 'array' AND jsonb_array_length(value) = 5
                AND value @> '["system", "user", "story", "history", "rag"]';
            need := 'Give an array with each of "system", "user", "story", "history" and "rag".';
        ELSE
            is_right := jsonb_typeof(value) = 'array'
                AND value <@ '["email", "api_key", "bearer_token", "card_number"]';
            need := 'Give an array of "email", "api_key", "bearer_token" and "card_number".';
    END CASE;
    IF NOT is_right THEN
        PERFORM token_mgmt._raise('22023', format('%s of an agent is out of range', key),
            CASE WHEN length(found_value) <= 100 THEN format('Found %s.', found_value)
                ELSE format('Found a JSON %s.', jsonb_typeof(value)) END, need);
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_agent_setting(text, jsonb) IS
    'Refuses (22023) a value that this setting of an agent cannot have';

CREATE FUNCTION token_mgmt.set_agent(agent text, settings jsonb, tenant text DEFAULT NULL)
    RETURNS token_mgmt.agent
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(set_agent.tenant);
    known constant text[] := '{max_context_tokens,max_system_tokens,max_user_tokens,'
        'max_story_tokens,max_history_tokens,max_rag_tokens,max_completion_tokens,safety_tokens,'
        'precedence,history_grows,system_over,follow_usage,enable_summarization,'
        'summarize_threshold,summarize_at,block_images,keep_images,redact}';
    before token_mgmt.agent;
    a token_mgmt.agent;
BEGIN
    IF agent IS NULL OR settings IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN agent IS NULL THEN 'agent' ELSE 'settings' END), NULL,
            CASE WHEN agent IS NOT NULL THEN 'Pass {} for an agent with the defaults.' END);
    END IF;
    PERFORM token_mgmt._check_identity('tenant', in_tenant),
        token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._check_identity('agent', agent),
        token_mgmt._check_object('settings', settings, known);
    PERFORM token_mgmt._check_agent_setting(s.key, s.value) FROM jsonb_each(settings) s;
    PERFORM token_mgmt._lock_config(in_tenant);
    SELECT r.* INTO before FROM token_mgmt.agent r
    WHERE r.tenant = in_tenant AND r.agent = set_agent.agent;
    -- What the shipped profile of this name says holds on where it is not set; else the defaults,
    -- which only the table knows.
    INSERT INTO token_mgmt.agent SELECT (jsonb_populate_record(s, jsonb_build_object(
        'tenant', in_tenant))).* FROM token_mgmt.agent s
    WHERE s.tenant = '*' AND s.agent = set_agent.agent
    ON CONFLICT ON CONSTRAINT agent_pkey DO NOTHING;
    INSERT INTO token_mgmt.agent (tenant, agent) VALUES (in_tenant, set_agent.agent)
    ON CONFLICT ON CONSTRAINT agent_pkey DO NOTHING;
    SELECT r.* INTO a FROM token_mgmt.agent r
    WHERE r.tenant = in_tenant AND r.agent = set_agent.agent;
    a := jsonb_populate_record(a, settings);
    IF a.max_completion_tokens::bigint + a.safety_tokens >= a.max_context_tokens THEN
        PERFORM token_mgmt._raise('22023', 'context of the agent leaves no room for a prompt',
            format('It has %s tokens, of which %s are for the completion and %s for safety.',
                a.max_context_tokens, a.max_completion_tokens, a.safety_tokens),
            'Raise max_context_tokens, or lower max_completion_tokens or safety_tokens.');
    END IF;
    UPDATE token_mgmt.agent r SET (max_context_tokens, max_system_tokens, max_user_tokens,
            max_story_tokens, max_history_tokens, max_rag_tokens, max_completion_tokens,
            safety_tokens, precedence, history_grows, system_over, follow_usage,
            enable_summarization, summarize_threshold, summarize_at, block_images, keep_images,
            redact)
        = (a.max_context_tokens, a.max_system_tokens, a.max_user_tokens, a.max_story_tokens,
            a.max_history_tokens, a.max_rag_tokens, a.max_completion_tokens, a.safety_tokens,
            a.precedence, a.history_grows, a.system_over, a.follow_usage, a.enable_summarization,
            a.summarize_threshold, a.summarize_at, a.block_images, a.keep_images, a.redact)
    WHERE r.tenant = in_tenant AND r.agent = set_agent.agent;
    PERFORM token_mgmt._trace_config(in_tenant, 'agent', agent, to_jsonb(before), to_jsonb(a));
    RETURN a;
END
$$;
COMMENT ON FUNCTION token_mgmt.set_agent(text, jsonb, text) IS
    'Makes an agent, or changes the given settings of one: the columns of token_mgmt.agent as keys '
    'of a JSON object. A new one has the shipped profile of its name, else the defaults. Not '
    'STRICT: a NULL tenant is the session''s. Errors: 22004, 22023';
REVOKE ALL ON FUNCTION token_mgmt.set_agent(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION token_mgmt.drop_agent(agent text, tenant text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_tenant text := token_mgmt._tenant(drop_agent.tenant);
    before token_mgmt.agent;
BEGIN
    IF agent IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'agent must not be null', NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_identity('tenant', tenant),
        token_mgmt._check_access(in_tenant, NULL, 'admin'),
        token_mgmt._lock_config(in_tenant);
    DELETE FROM token_mgmt.agent a
    WHERE a.tenant = in_tenant AND a.agent = drop_agent.agent
    RETURNING * INTO before;
    PERFORM token_mgmt._trace_config(in_tenant, 'agent', agent, to_jsonb(before), NULL);
    RETURN before.agent IS NOT NULL;
END
$$;
COMMENT ON FUNCTION token_mgmt.drop_agent(text, text) IS
    'Removes an agent and says whether it was there; a shipped profile of its name holds again. '
    'Not STRICT: a NULL tenant is the session''s. Errors: 22004, 22023';
REVOKE ALL ON FUNCTION token_mgmt.drop_agent(text, text) FROM PUBLIC;
