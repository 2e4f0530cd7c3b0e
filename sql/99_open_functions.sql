-- What the schemas' default privileges opened to everybody, see 00_schema.sql.
ALTER DEFAULT PRIVILEGES IN SCHEMA token_mgmt REVOKE EXECUTE ON ROUTINES FROM PUBLIC;

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_catalog.pg_extension e
            ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
        WHERE e.extname = 'token_mgmt' AND p.pronamespace = e.extnamespace
            AND NOT pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
            AND p.oid::regprocedure::text NOT IN (
                SELECT o.object FROM token_mgmt._level_objects() o)
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', f);
    END LOOP;
END
$$;
