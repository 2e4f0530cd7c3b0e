CREATE TYPE token_mgmt.sanitized AS (
    messages jsonb,
    removed jsonb
);
COMMENT ON TYPE token_mgmt.sanitized IS
    'Messages without what was removed, and an array of {message, kind, count} that says what '
    'went: the message''s position from 0 (null: the system prompt beside the list), image or the '
    'name of a rule, and how often. Never what was there';

CREATE FUNCTION token_mgmt._sanitize(messages text, options text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', '_sanitize_wrapper';
COMMENT ON FUNCTION token_mgmt._sanitize(text, text) IS
    'JSON of sanitized for messages and options (JSON texts), without messages if nothing was '
    'removed';

CREATE FUNCTION @extschema@.sanitize_messages(messages jsonb, options jsonb DEFAULT '{}')
    RETURNS token_mgmt.sanitized
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    blocking text := token_mgmt._setting('block_images');
    answer jsonb;
    result token_mgmt.sanitized;
BEGIN
    IF messages IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'messages must not be null', NULL,
            'Pass a JSON array of messages.');
    END IF;
    PERFORM token_mgmt._check_object('options', options,
        '{block_images, keep_images, redact, redact_patterns}');
    options := coalesce(options, '{}');
    IF blocking <> 'off' AND NOT options ? 'block_images' THEN
        options := options || jsonb_build_object('block_images', blocking);
    END IF;
    answer := token_mgmt._sanitize(messages::text, options::text);
    result.messages := coalesce(answer -> 'messages', messages);
    result.removed := answer -> 'removed';
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.sanitize_messages(jsonb, jsonb) IS
    'Takes images, secrets and personal data out of OpenAI messages, an Anthropic request or items '
    'of the Responses API. options: block_images (mark, strip or off; else setting '
    'token_mgmt.block_images), keep_images (so many of the newest stay), redact (true or a list of '
    'email, api_key, bearer_token, card_number), redact_patterns (object of names and regular '
    'expressions). Roles, names, ids, keys and signed reasoning stay. Not STRICT: NULL messages '
    'are 22004, NULL options none. Errors: 22004, 22023, 22P02, 54000';
