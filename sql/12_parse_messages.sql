CREATE FUNCTION token_mgmt._repair_escapes(content text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', '_repair_escapes_wrapper';
COMMENT ON FUNCTION token_mgmt._repair_escapes(text) IS
    'A JSON text with \ufffd (in a database that is not in UTF8, \u003f) in the place of each '
    '\u0000 and of each half of a surrogate pair without its other half; a WARNING says how many. '
    'Errors: 22P02, 22P05, 54000';

-- Of no use in an index, as it may warn; so not IMMUTABLE, which the value alone would be.
CREATE FUNCTION @extschema@.parse_messages(content text) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 1000
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN token_mgmt._repair_escapes(content)::jsonb;
END
$$;
COMMENT ON FUNCTION @extschema@.parse_messages(text) IS
    'JSON text as jsonb, also where jsonb itself refuses it: \u0000 and halves of surrogate pairs '
    'become U+FFFD, or ? in a database that is not in UTF8, and a WARNING says how many. Errors: '
    '22P02 not JSON, 22P05 a character that the database''s encoding lacks, 54000 content over '
    'token_mgmt.max_content_bytes';
