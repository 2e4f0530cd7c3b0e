CREATE FUNCTION token_mgmt._locked_hold(reservation_id uuid) RETURNS token_mgmt.reservation
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r token_mgmt.reservation := token_mgmt._locked_reservation(reservation_id);
BEGIN
    IF r.state = 'settled' THEN
        PERFORM token_mgmt._raise_settled(r);
    ELSIF r.state = 'released' THEN
        PERFORM token_mgmt._raise_released(r);
    ELSIF r.state = 'expired' OR clock_timestamp() >= r.expires_at THEN
        PERFORM token_mgmt._raise_expired(r, 'Settle what the call used; it is recorded as late.');
    END IF;
    RETURN r;
END
$$;
COMMENT ON FUNCTION token_mgmt._locked_hold(uuid) IS
    'Locks a reservation that still holds. Errors: TM002 to TM004, P0002';
REVOKE ALL ON FUNCTION token_mgmt._locked_hold(uuid) FROM PUBLIC;

CREATE FUNCTION @extschema@.extend_reservation(
    reservation_id uuid, ttl interval, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    r token_mgmt.reservation;
    longest constant interval := '7 days';
BEGIN
    IF reservation_id IS NULL OR ttl IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN reservation_id IS NULL THEN 'reservation_id' ELSE 'ttl' END), NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_object('options', options, '{}');
    -- As instants: months and days of both signs compare otherwise than they add.
    IF ttl NOT BETWEEN interval '-1 year' AND interval '1 year'
        OR now() + ttl <= now() OR now() + ttl > now() + longest
    THEN
        PERFORM token_mgmt._raise('22023', 'ttl is out of range', format('Found %s.', ttl),
            format('Use more than 0 and at most %s.', longest));
    END IF;
    r := token_mgmt._locked_hold(extend_reservation.reservation_id);
    UPDATE token_mgmt.reservation s
    SET expires_at = greatest(r.expires_at, clock_timestamp() + extend_reservation.ttl)
    WHERE s.tenant = r.tenant AND s.reservation_id = r.reservation_id
    RETURNING s.* INTO r;
    RETURN token_mgmt._grant_of(r);
END
$$;
COMMENT ON FUNCTION @extschema@.extend_reservation(uuid, interval, jsonb) IS
    'Lets a reservation hold for this long from now, at most 7 days; never less than it did. '
    'Errors: TM002 to TM004, P0002, 22004, 22023';
REVOKE ALL ON FUNCTION @extschema@.extend_reservation(uuid, interval, jsonb) FROM PUBLIC;

CREATE FUNCTION @extschema@.report_progress(
    reservation_id uuid, completion_tokens integer, options jsonb DEFAULT '{}'
) RETURNS token_mgmt.reservation_grant
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    r token_mgmt.reservation;
BEGIN
    IF reservation_id IS NULL OR completion_tokens IS NULL THEN
        PERFORM token_mgmt._raise('22004', format('%s must not be null',
            CASE WHEN reservation_id IS NULL THEN 'reservation_id' ELSE 'completion_tokens' END),
            NULL, NULL);
    END IF;
    PERFORM token_mgmt._check_object('options', options, '{}'),
        token_mgmt._check_count('completion_tokens', completion_tokens);
    r := token_mgmt._locked_hold(report_progress.reservation_id);
    UPDATE token_mgmt.reservation s
    SET progress_tokens = report_progress.completion_tokens
    WHERE s.tenant = r.tenant AND s.reservation_id = r.reservation_id
        -- Reports may come in another order than they were sent.
        AND coalesce(s.progress_tokens < report_progress.completion_tokens, true);
    RETURN token_mgmt._grant_of(r);
END
$$;
COMMENT ON FUNCTION @extschema@.report_progress(uuid, integer, jsonb) IS
    'Tells how many completion tokens a stream has brought so far, in all; the greatest report '
    'counts. If the reservation expires, it is charged its prompt and so many, flagged expired and '
    'estimated, until a late settlement corrects it. Errors: TM002 to TM004, P0002, 22004, 22023';
REVOKE ALL ON FUNCTION @extschema@.report_progress(uuid, integer, jsonb) FROM PUBLIC;
