\set u random(1, :users)
BEGIN;
UPDATE bench.balance SET held = held + 1200
WHERE user_id = :kind::text || :u AND used + held + 1200 <= amount;
INSERT INTO bench.log (user_id, kind, tokens) VALUES (:kind::text || :u, 'reserve', 1200);
COMMIT;
BEGIN;
UPDATE bench.balance SET held = held - 1200, used = used + 1050
WHERE user_id = :kind::text || :u;
INSERT INTO bench.log (user_id, kind, tokens) VALUES (:kind::text || :u, 'settle', 1050);
COMMIT;
