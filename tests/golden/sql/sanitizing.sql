-- Images, secrets and personal data out of messages: the three APIs, the setting, rules, errors.
CREATE TABLE chat (api text, messages jsonb);
INSERT INTO chat VALUES
('openai', '[{"role": "system", "content": "Mail a@b.com."},
    {"role": "user", "content": [{"type": "text", "text": "See ![x](https://a.b/c.png)"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
        "function": {"name": "pay", "arguments": "{\"card\": \"4111 1111 1111 1111\"}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "Bearer abcdef0123456789"}]'),
('anthropic', '{"system": "Mail a@b.com.", "messages": [
    {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "AAAA"},
        "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "a@b.com", "signature": "a@b.com"},
        {"type": "tool_use", "id": "toolu_1", "name": "pay", "input": {"to": "a@b.com"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://a.b/c.png"}}]}]}]}'),
('responses', '[{"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "key AKIAIOSFODNN7EXAMPLE"},
        {"type": "input_image", "image_url": "https://a.b/c.png"}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"to\": \"a@b.com\"}"},
    {"type": "function_call_output", "call_id": "c", "output": "data:image/png;base64,AAAA"}]');

SELECT api, jsonb_pretty(s.messages) AS messages, s.removed
FROM chat, sanitize_messages(messages, '{"block_images": "mark", "redact": true}') s ORDER BY api;
SELECT api, s.removed, s.messages::text LIKE '%image removed%' AS marked
FROM chat, sanitize_messages(messages, '{"block_images": "strip", "keep_images": 1}') s
ORDER BY api;
-- Nothing asked, nothing changed; sanitising again changes nothing.
SELECT api, (s.messages = c.messages) AS same, s.removed FROM chat c,
    sanitize_messages(c.messages) s ORDER BY api;
SELECT api, (sanitize_messages(s.messages, o)).messages = s.messages AS same,
    (sanitize_messages(s.messages, o)).removed
FROM chat, (VALUES ('{"block_images": "strip", "redact": true}'::jsonb)) v (o),
    sanitize_messages(messages, o) s ORDER BY api;
-- The setting holds where the call does not say.
SET token_mgmt.block_images = mark;
SELECT api, s.removed FROM chat, sanitize_messages(messages, NULL) s ORDER BY api;
SELECT api, s.removed FROM chat, sanitize_messages(messages, '{"block_images": "off"}') s
ORDER BY api;
SET token_mgmt.block_images = 'blur';
RESET token_mgmt.block_images;
-- Rules of one's own.
SELECT messages, removed FROM sanitize_messages(
    '[{"role": "user", "content": "TKT-17 of a@b.com, once TKT-4"}]',
    '{"redact": ["card_number"], "redact_patterns": {"ticket": "TKT-\\d+", "at": "@\\S+"}}');

SELECT * FROM show_error($$SELECT sanitize_messages(NULL)$$);
SELECT * FROM show_error($$SELECT sanitize_messages('"text"')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '[]')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"block": true}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"block_images": "blur"}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"keep_images": 1.5}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"redact": ["mail"]}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"redact": "email"}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"redact_patterns": ["x"]}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"redact_patterns": {"t": "(x"}}')$$);
SELECT * FROM show_error(
    $$SELECT sanitize_messages('[]', '{"redact_patterns": {"t": "(\\w{99}){99}"}}')$$);
SELECT * FROM show_error($$SELECT sanitize_messages('[]', '{"redact_patterns": {"email": "x"}}')$$);
DROP TABLE chat;
