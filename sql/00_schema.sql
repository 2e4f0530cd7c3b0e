-- No operator or function of the target schema may be met while checks and views are parsed: it is
-- anybody's who may create there. Public functions are therefore made under their full name.
SET LOCAL search_path = pg_catalog, pg_temp;

-- What must hold before the first object is made: the schema is free, and no function of another
-- extension is in the way.
DO $$
DECLARE
    target regnamespace := '@extschema@'::regnamespace;
BEGIN
    IF target::text = 'token_mgmt' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_schema_name',
            MESSAGE = 'extension "token_mgmt" cannot be installed into schema "token_mgmt"',
            DETAIL = 'That schema is made by the extension for its tables and administration.',
            HINT = 'Install it into the schema from which applications call it, as in CREATE '
                || 'EXTENSION token_mgmt SCHEMA public.';
    END IF;
    IF to_regnamespace('token_mgmt') IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_schema',
            MESSAGE = 'schema "token_mgmt" already exists',
            DETAIL = 'The extension keeps its tables and administration in a schema of this name.',
            HINT = 'Rename it with ALTER SCHEMA token_mgmt RENAME TO another name, or drop it.';
    END IF;
    IF EXISTS (
        SELECT FROM pg_catalog.pg_extension e
        WHERE e.extname = 'pg_tiktoken' AND e.extnamespace = target
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_function',
            MESSAGE = format('extension "pg_tiktoken" is installed in schema %s', target),
            DETAIL = 'Both extensions offer tiktoken_count and tiktoken_encode.',
            HINT = 'token_mgmt has the same functions with the same results: DROP EXTENSION '
                || 'pg_tiktoken, or install token_mgmt into another schema.';
    END IF;
END
$$;

CREATE SCHEMA token_mgmt;
COMMENT ON SCHEMA token_mgmt IS 'Tables, views, types and administration of extension token_mgmt';
GRANT USAGE ON SCHEMA token_mgmt TO PUBLIC;
-- Counting and fitting are open to everybody, and views call functions, also where the role that
-- creates the extension has taken the default from PUBLIC. What is not open is revoked one by one;
-- 99_open_functions.sql takes this default back.
ALTER DEFAULT PRIVILEGES IN SCHEMA token_mgmt GRANT EXECUTE ON ROUTINES TO PUBLIC;

CREATE FUNCTION token_mgmt._setting(name text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_setting_wrapper';
COMMENT ON FUNCTION token_mgmt._setting(text) IS
    'Value of setting token_mgmt.<name> in its base unit (s, ms, bytes), its default included';

CREATE FUNCTION token_mgmt._seconds_setting(name text) RETURNS interval
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    RETURN make_interval(secs => token_mgmt._setting(name)::integer);
END
$$;
COMMENT ON FUNCTION token_mgmt._seconds_setting(text) IS
    'Value of a setting in seconds, as an interval';

CREATE FUNCTION token_mgmt._worker_preloaded() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_worker_preloaded_wrapper';
COMMENT ON FUNCTION token_mgmt._worker_preloaded() IS
    'Whether the server started with shared_preload_libraries = ''token_mgmt''';

-- PL/pgSQL is the only way to a SQLSTATE of one's own; every denial is raised here.
CREATE FUNCTION token_mgmt._raise(code text, message text, detail text, hint text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL SAFE
AS $$
BEGIN
    IF detail IS NULL AND hint IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message;
    ELSIF detail IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, HINT = hint;
    ELSIF hint IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = detail;
    END IF;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION token_mgmt._raise(text, text, text, text) IS
    'Raises an error with this SQLSTATE, message, detail and hint';

CREATE FUNCTION token_mgmt._check_object(what text, object jsonb, known text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    unknown text;
BEGIN
    IF object IS NULL OR object = '{}' THEN
        RETURN;
    END IF;
    IF jsonb_typeof(object) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s must be a JSON object', what),
            DETAIL = format('Found a JSON %s.', jsonb_typeof(object)),
            HINT = 'Pass an object such as {}.';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(object) k
    WHERE k <> ALL (known) ORDER BY k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('unknown key "%s"', unknown),
            DETAIL = CASE WHEN known = '{}' THEN 'This call has no options yet.'
                ELSE format('Known keys are %s.', array_to_string(known, ', ')) END,
            HINT = 'Check the spelling, or leave the key out.';
    END IF;
END
$$;
COMMENT ON FUNCTION token_mgmt._check_object(text, jsonb, text[]) IS
    'Refuses (22023) what is no JSON object, or has a key that is not among the known ones (NULL: '
    'any)';
