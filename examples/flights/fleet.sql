-- Every aircraft that has landed, with what the register says of it on the day it was first seen.
SELECT
    tailnum,
    min(arrived_at)                            AS first_seen,
    year(min(arrived_at)) - any_value("year")  AS age_years,
    any_value(seats)                           AS seats
FROM departures
JOIN planes USING (tailnum)
WHERE arrived_at IS NOT NULL
GROUP BY tailnum
ORDER BY tailnum
