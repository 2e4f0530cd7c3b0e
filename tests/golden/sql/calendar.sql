SELECT clean_books();
-- Periods are spans of the calendar in the quota's zone: they contain the instant, and each ends where
-- the next begins, over month ends and both kinds of DST day.
SELECT c.period, c.zone, c.at, p.starts_at, p.ends_at
FROM (VALUES
    ('second', 'UTC', '2026-11-20 10:11:12.345Z'::timestamptz),
    ('minute', 'UTC', '2026-11-20 10:11:12.345Z'),
    ('hour', 'Asia/Kolkata', '2026-11-20 10:11:12Z'),
    ('day', 'UTC', '2026-11-20 10:11:12Z'),
    ('day', 'Asia/Tokyo', '2026-11-20 15:00:00Z'),
    ('week', 'UTC', '2026-11-22 23:59:59Z'),
    ('week', 'UTC', '2026-11-23 00:00:00Z'),
    ('month', 'UTC', '2026-02-28 23:59:59Z'),
    ('month', 'America/New_York', '2026-03-01 04:59:59Z'),
    ('year', 'Europe/Berlin', '2026-12-31 23:00:00Z'),
    ('total', 'UTC', '2026-11-20 10:11:12Z')
) c (period, zone, at)
CROSS JOIN LATERAL token_mgmt._period(c.period, c.zone, NULL, c.at) p;

-- Spring forward and fall back in Berlin: days of 23 and 25 hours.
SELECT c.at, p.starts_at, p.ends_at, p.ends_at - p.starts_at AS span
FROM (VALUES ('2026-03-29 12:00Z'::timestamptz), ('2026-10-25 12:00Z'), ('2026-10-26 12:00Z')) c (at)
CROSS JOIN LATERAL token_mgmt._period('day', 'Europe/Berlin', NULL, c.at) p;

-- Zones whose clocks change at midnight: one midnight does not exist, another comes twice.
SELECT c.zone, c.at, p.starts_at, p.ends_at, p.ends_at - p.starts_at AS span
FROM (VALUES
    ('Asia/Beirut', '2026-03-29 01:00Z'::timestamptz),
    ('America/Havana', '2026-11-01 04:30Z'),
    ('America/Havana', '2026-11-01 05:30Z'),
    ('America/Sao_Paulo', '2018-11-04 12:00Z')
) c (zone, at)
CROSS JOIN LATERAL token_mgmt._period('day', c.zone, NULL, c.at) p;

-- Hours have 60 minutes and meet, also where the clock goes back by half of one.
SELECT t.at, p.starts_at, p.ends_at
FROM (VALUES ('2026-04-04 14:40Z'::timestamptz), ('2026-04-04 15:10Z')) t (at)
CROSS JOIN LATERAL token_mgmt._period('hour', 'Australia/Lord_Howe', NULL, t.at) p;
SELECT p.starts_at AT TIME ZONE 'Asia/Colombo' AS starts_at_local
FROM token_mgmt._period('hour', 'Asia/Colombo', NULL, '2026-11-20 10:11:12Z') p;
SELECT z.zone, u.period,
    bool_and(p.starts_at <= t.at AND t.at < p.ends_at) AS contains,
    bool_and(p.ends_at = n.starts_at) AS meets,
    bool_and(p.ends_at - p.starts_at = ('1 ' || u.period)::interval) AS is_whole
FROM (VALUES ('Australia/Lord_Howe'), ('Europe/Berlin'), ('Asia/Kathmandu')) z (zone)
CROSS JOIN (VALUES ('minute'), ('hour')) u (period)
CROSS JOIN (VALUES ('2026-04-04 12:00Z'::timestamptz), ('2026-10-03 12:00Z'), ('2026-10-25 00:00Z'), ('2025-12-31 10:00Z'), ('2025-12-31 20:00Z')) d (day)
CROSS JOIN generate_series(d.day, d.day + interval '6 hours', interval '7 minutes 13 seconds') t (at)
CROSS JOIN LATERAL token_mgmt._period(u.period, z.zone, NULL, t.at) p
CROSS JOIN LATERAL token_mgmt._period(u.period, z.zone, NULL, p.ends_at) n
GROUP BY z.zone, u.period
ORDER BY z.zone, u.period;

-- Every half hour of two years in awkward zones: the instant is inside, and periods meet.
SELECT z.zone, u.period,
    bool_and(p.starts_at <= t.at AND t.at < p.ends_at) AS contains,
    bool_and(p.ends_at = n.starts_at) AS meets
FROM (VALUES ('UTC'), ('Europe/Berlin'), ('America/Havana'), ('Asia/Beirut'), ('Asia/Kathmandu'),
    ('America/St_Johns'), ('Pacific/Apia')) z (zone)
CROSS JOIN (VALUES ('day'), ('week'), ('month'), ('year')) u (period)
CROSS JOIN generate_series('2026-01-01 00:10Z'::timestamptz, '2027-12-31Z', interval '390 minutes') t (at)
CROSS JOIN LATERAL token_mgmt._period(u.period, z.zone, NULL, t.at) p
CROSS JOIN LATERAL token_mgmt._period(u.period, z.zone, NULL, p.ends_at) n
GROUP BY z.zone, u.period
ORDER BY z.zone, u.period;
