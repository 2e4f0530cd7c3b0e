-- Part of ledger.sql: one size of the ledger.
CALL bench.fill(:entries);
VACUUM ANALYZE;
CHECKPOINT;
CALL bench.measure('session_metrics', $$SELECT session_metrics('probe 100')$$);
CALL bench.measure('user_metrics', $$SELECT user_metrics('probe')$$);
CALL bench.measure('user_metrics since a moment',
    $$SELECT user_metrics('probe', now() - interval '30 days 10 minutes')$$);
CALL bench.measure('usage_report, a small tenant''s 90 days by user and day',
    $$SELECT usage_report(by => '{user,day}', tenant => 'small')$$);
CALL bench.measure('usage_report, a day by user',
    $$SELECT usage_report(date_trunc('day', now() - interval '9 days'),
        date_trunc('day', now() - interval '8 days'))$$);
CALL bench.measure('usage_report, 30 days by team',
    $$SELECT usage_report(now() - interval '40 days', now() - interval '10 days', '{team}')$$);
CALL bench.measure('the same from the ledger alone',
    $$SELECT team, sum(prompt_tokens), sum(completion_tokens), sum(cost)
    FROM token_mgmt.usage_ledger WHERE tenant = 'default'
        AND recorded_at >= now() - interval '40 days' AND recorded_at < now() - interval '10 days'
    GROUP BY team$$);
CALL bench.measure('usage_anomalies',
    $$SELECT token_mgmt.usage_anomalies(now() - interval '2 days')$$);
CALL bench.measure_settle(2000);
