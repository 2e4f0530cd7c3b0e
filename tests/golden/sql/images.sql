-- What images cost: by model, size, detail and shape; never the length of their base64.
\pset null '(null)'
CREATE FUNCTION png(width int, height int) RETURNS text LANGUAGE sql AS $$
    SELECT replace(encode('\x89504e470d0a1a0a0000000d49484452'::bytea
        || decode(lpad(to_hex(width), 8, '0') || lpad(to_hex(height), 8, '0'), 'hex')
        || '\x0806000000', 'base64'), E'\n', '')
$$;
CREATE FUNCTION images(model text, part jsonb) RETURNS TABLE (images bigint, range bigint,
    method text) LANGUAGE sql AS $$
    SELECT c.images, c.high - c.low, c.method
    FROM count_messages(model, jsonb_build_array(
        jsonb_build_object('role', 'user', 'content', jsonb_build_array(part)))) c
$$;
CREATE FUNCTION part(url text, detail text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('type', 'image_url',
        'image_url', jsonb_build_object('url', url, 'detail', detail))
$$;

SELECT * FROM (VALUES
    (1024, 1024, 'high'), (2048, 4096, 'high'), (4096, 8192, 'low'), (1024, 1024, 'auto')
) s (width, height, detail), images('gpt-4o',
    part('data:image/png;base64,' || png(width, height), detail));
-- One image of each size, as every family counts it.
SELECT model, token_mgmt._image_rule(model) AS rule, small.images AS "200x200",
    square.images AS "1024x1024", hd.images AS "1920x1080", photo.images AS "4032x3024",
    remote.images AS remote, square.method
FROM unnest('{gpt-4o,gpt-4o-mini,gpt-4.1-mini,gpt-4.1-nano,o1,o4-mini,computer-use-preview,gpt-5,
        gpt-5-mini,gpt-5-nano,gpt-5.2,gpt-5.4,gpt-5.4-mini,gpt-5.5,gpt-6-sol,claude-sonnet-4-5,
        claude-opus-4-20250514,claude-3-haiku-20240307,claude-opus-4-7,claude-opus-5,
        gemini-2.5-pro,gemini-3-pro-preview,gpt-4,qwen3-max}'::text[]) WITH ORDINALITY u (model, i),
    images(model, part('data:image/png;base64,' || png(200, 200), 'high')) small,
    images(model, part('data:image/png;base64,' || png(1024, 1024), 'high')) square,
    images(model, part('data:image/png;base64,' || png(1920, 1080), 'high')) hd,
    images(model, part('data:image/png;base64,' || png(4032, 3024), 'high')) photo,
    images(model, part('https://example.org/a.png', 'high')) remote
ORDER BY i;
-- The same image in every shape, and images without a size.
SELECT shape, i.* FROM (VALUES
    (1, part('data:image/png;base64,' || png(1024, 1024), 'high')),
    (2, jsonb_build_object('type', 'image_url', 'image_url',
        'DATA:image/png;name=a.png;BASE64,' || png(1024, 1024))),
    (3, jsonb_build_object('type', 'input_image', 'image_url',
        'data:image/png;base64,' || png(1024, 1024), 'detail', 'high')),
    (4, jsonb_build_object('type', 'image', 'source', jsonb_build_object('type', 'base64',
        'media_type', 'image/png', 'data', png(1024, 1024)))),
    (5, jsonb_build_object('type', 'image', 'source', jsonb_build_object('type', 'base64',
        'data', png(1024, 1024) || repeat('A', 100000)))),
    (6, '{"type": "image"}'),
    (7, '{"type": "input_image", "file_id": "file-1"}'),
    (8, '{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}'),
    (9, part('data:image/png;base64,' || png(0, 5), 'high'))
) s (shape, part), images('gpt-4o', part) i;
SELECT i.* FROM images('claude-opus-4-7', jsonb_build_object('type', 'image', 'source',
    jsonb_build_object('type', 'base64', 'data', png(1920, 1080)))) i;
-- Fitting keeps to the same number.
SELECT f.status, f.prompt_tokens = c.high AS counted
FROM (SELECT jsonb_build_array(jsonb_build_object('role', 'user', 'content', jsonb_build_array(
    part('data:image/png;base64,' || png(1024, 1024), 'high')))) AS messages) m,
    fit_messages(m.messages, 'gpt-4o') f, count_messages('gpt-4o', m.messages) c;
DROP FUNCTION part, images, png;
