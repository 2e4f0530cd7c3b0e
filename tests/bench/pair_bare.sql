\set u random(1, :users)
SELECT reservation_id FROM bench.bare_reserve(:kind::text || :u, 1000, 200) \gset
SELECT * FROM bench.bare_settle(:reservation_id, 900, 150);
