\set u random(1, :users)
SELECT reservation_id FROM reserve_tokens(:kind::text || :u, 1000, 200, model => 'gpt-4o') \gset
SELECT * FROM settle_tokens(:reservation_id, 900, 150);
