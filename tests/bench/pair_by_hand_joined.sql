\set u random(1, :users)
WITH charged AS (
    UPDATE bench.balance SET held = held + 1200
    WHERE user_id = :kind::text || :u AND used + held + 1200 <= amount
    RETURNING user_id
)
INSERT INTO bench.log (user_id, kind, tokens) SELECT user_id, 'reserve', 1200 FROM charged
RETURNING log_id;
WITH charged AS (
    UPDATE bench.balance SET held = held - 1200, used = used + 1050
    WHERE user_id = :kind::text || :u
    RETURNING user_id
)
INSERT INTO bench.log (user_id, kind, tokens) SELECT user_id, 'settle', 1050 FROM charged
RETURNING log_id;
