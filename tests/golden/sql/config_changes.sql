SELECT clean_books();
-- Each change leaves one trace, what changes nothing leaves none.
SELECT share FROM token_mgmt.set_priority_share('low', 0.1);
SELECT share FROM token_mgmt.set_priority_share('low', 0.10);
SELECT share FROM token_mgmt.set_priority_share('low', 0.15);
SELECT max_context_tokens FROM token_mgmt.set_agent('helper', '{"max_context_tokens": 8000}');
SELECT max_context_tokens FROM token_mgmt.set_agent('helper', '{"max_context_tokens": 8000}');
SELECT keep_images FROM token_mgmt.set_agent('helper', '{"keep_images": 2}');
SELECT token_mgmt.drop_agent('helper'), token_mgmt.drop_agent('helper');
SELECT model FROM token_mgmt.register_model('tuned', 'o200k_base', 1000, input_usd_per_mtok => 2, output_usd_per_mtok => 3);
SELECT model FROM token_mgmt.register_model('tuned', 'o200k_base', 1000);
SELECT model FROM token_mgmt.register_model('tuned', 'o200k_base', 2000);
SELECT model FROM token_mgmt.register_model('tuned', 'o200k_base', 2000, input_usd_per_mtok => 4, output_usd_per_mtok => 3);
SELECT thresholds FROM token_mgmt.set_alert_rule('quota_threshold', '{0.5}', scope => 'team', value => 'ops', tenant => 'shop');
SELECT thresholds FROM token_mgmt.set_alert_rule('quota_threshold', '{0.5}', scope => 'team', value => 'ops', tenant => 'shop');
SELECT is_enabled FROM token_mgmt.set_alert_rule('quota_threshold', is_enabled => false, scope => 'team', value => 'ops', tenant => 'shop');
SELECT is_enabled FROM token_mgmt.set_alert_rule('job_failing', is_enabled => false);
SELECT token_mgmt.mute_alerts('user', 'robot', 'infinity'), token_mgmt.mute_alerts('user', 'robot', 'infinity');
SELECT token_mgmt.mute_alerts('user', 'robot', NULL), token_mgmt.mute_alerts('user', 'robot', NULL);
CREATE ROLE golden_gateway;
SELECT level FROM token_mgmt.grant_access('golden_gateway', 'app', 'shop', 'ann');
SELECT level FROM token_mgmt.grant_access('golden_gateway', 'app', 'shop', 'ann');
SELECT level FROM token_mgmt.grant_access('golden_gateway', 'reader');
SELECT token_mgmt.revoke_access('golden_gateway'), token_mgmt.revoke_access('golden_gateway');
-- Dropped with all that it owns, a role has access no more, and its grants go by what is shown of it.
SELECT level FROM token_mgmt.grant_access('golden_gateway', 'app', 'mall');
DROP OWNED BY golden_gateway;
DROP ROLE golden_gateway;
SELECT * FROM show_error($$SELECT token_mgmt.revoke_access('golden_gateway')$$);
SELECT role::text AS gone FROM token_mgmt.role_access WHERE tenant = 'mall' \gset
SELECT token_mgmt.revoke_access(:'gone', 'admin') AS of_another_level, token_mgmt.revoke_access(:'gone') AS all_of_them;
SELECT sqlstate FROM show_error(format('SELECT token_mgmt.revoke_access(%L)', :'gone'));
SELECT count(*) FROM token_mgmt.config_change WHERE name = :'gone' AND after IS NULL;
DELETE FROM token_mgmt.config_change WHERE 'mall' IN (before ->> 'tenant', after ->> 'tenant');
SELECT tenant, kind, name, before - hidden AS before, after - hidden AS after, changed_by = current_user AS by_me
FROM token_mgmt.config_change, CAST('{granted_at,granted_by,redact,tenant,precedence,system_over,follow_usage,summarize_at,history_grows,
    safety_tokens,max_rag_tokens,max_history_tokens,summarize_threshold,enable_summarization,max_completion_tokens,source,encoding,
    is_maker,modality,provider,is_builtin,encoding_basis,window_excludes_output}' AS text[]) hidden
ORDER BY change_id;

-- Keys: never a hash.
DELETE FROM token_mgmt.config_change;
SELECT api_key AS key FROM issue_api_key('ann', 'laptop', expires_in => '10 days', tenant => 'shop') \gset
SELECT api_key IS NOT NULL AS rotated FROM rotate_api_key(:'key', grace => '1 hour');
SELECT revoke_api_key('laptop', 'lost', tenant => 'shop'), revoke_api_key('laptop', 'again', tenant => 'shop');
SELECT tenant, name, before IS NULL AS is_new, jsonb_object_keys(after) AS has
FROM token_mgmt.config_change WHERE kind = 'api_key' AND before IS NULL ORDER BY has;
SELECT before ? 'rotated_at' AS rotated_before, after ? 'rotated_at' AS rotated, after ->> 'revoke_reason' AS reason,
    before ? 'hash' OR after ? 'hash' OR before ? 'previous_hash' OR after ? 'previous_hash' AS shows_hash
FROM token_mgmt.config_change WHERE before IS NOT NULL ORDER BY change_id;

-- load_config() leaves the traces of what it sets; an unchanged dump none.
DELETE FROM token_mgmt.config_change;
SELECT token_mgmt.load_config('{"tenant": "shop", "priorities": {"low": 0.1}, "agents": [{"agent": "helper"}],
    "alerts": [{"kind": "quota_threshold", "thresholds": [0.5]}], "mutes": [{"scope": "user", "value": "robot", "until": "infinity"}],
    "quotas": [{"scope": "user", "value": "*", "period": "day", "amount": 100}]}') AS changed;
SELECT tenant, kind, name, before FROM token_mgmt.config_change ORDER BY kind;
SELECT token_mgmt.load_config(token_mgmt.dump_config('shop')) AS changed;
SELECT count(*) FROM token_mgmt.config_change;
DELETE FROM token_mgmt.quota_change;
-- A quota that is set to what it is leaves none, and is no new version.
SELECT version FROM token_mgmt.set_quota('user', 'ann', 'day', 500, tenant => 'shop', options => '{"carry_over": 50, "increase": 10, "increase_until": "2100-01-01 00:00+00"}');
SELECT version FROM token_mgmt.set_quota('user', 'ann', '1 day', 500.0, tenant => 'shop', options => '{"increase_until": "2100-01-01 01:00+01"}');
SELECT version FROM token_mgmt.set_quota('user', 'ann', 'day', 501, tenant => 'shop');
SELECT action, before -> 'amount' AS before, after -> 'amount' AS after FROM token_mgmt.quota_change ORDER BY change_id;
DELETE FROM token_mgmt.quota_change;
