CREATE FUNCTION @extschema@.settle_partial(
    reservation_id uuid, completion_content text, metadata jsonb DEFAULT NULL,
    options jsonb DEFAULT '{}'
) RETURNS token_mgmt.usage_entry
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    r token_mgmt.reservation;
    completion bigint;
BEGIN
    IF completion_content IS NULL THEN
        PERFORM token_mgmt._raise('22004', 'completion_content must not be null', NULL,
            'Pass the text that had arrived, or an empty string where none had.');
    END IF;
    SELECT s.* INTO r FROM token_mgmt.reservation s
    WHERE s.reservation_id = settle_partial.reservation_id;
    completion := CASE WHEN r.model IS NULL
        THEN @extschema@.tiktoken_count('o200k_base', completion_content, false)
        ELSE @extschema@.count_tokens(r.model, completion_content) END;
    -- Who made the call up to here, paid for its whole prompt and for what was written.
    RETURN token_mgmt._settle((settle_partial.reservation_id, coalesce(r.prompt_tokens, 0),
        completion::integer, 0, 0, 0, NULL, metadata, options, true)::token_mgmt._usage);
END
$$;
COMMENT ON FUNCTION @extschema@.settle_partial(uuid, text, jsonb, jsonb) IS
    'Settles a call whose stream was cut, so that no usage was reported: the prompt that was held, '
    'and the completion as far as it came, counted as the reservation''s model does (o200k_base '
    'without one). The entry is flagged estimated. The same call again returns the same entry. '
    'Errors: TM002 to TM004, P0002, 22004, 22023, 54000';
REVOKE ALL ON FUNCTION @extschema@.settle_partial(uuid, text, jsonb, jsonb) FROM PUBLIC;
