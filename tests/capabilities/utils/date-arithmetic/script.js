function main() {
    const { date } = utils;
    const start = "2024-01-31T10:20:30.456Z";
    return {
        milliseconds: date.addMilliseconds(start, 1544),
        seconds: date.addSeconds(start, 30),
        minutes: date.addMinutes(start, -21),
        hours: date.addHours(start, 14),
        days: date.addDays(start, 29),
        days_back: date.addDays(start, -31),
        part_of_a_day: date.addDays(start, 0.5),
        weeks: date.addWeeks(start, 1),
        month_to_leap_day: date.addMonths(start, 1),
        month_to_short_february: date.addMonths("2023-01-31", 1),
        months_back: date.addMonths("2024-03-31", -1),
        months_over_a_year: date.addMonths("2024-11-30", 3),
        thirteen_months: date.addMonths(start, 13),
        years: date.addYears("2024-02-29", 1),
        leap_years: date.addYears("2024-02-29", 4),
        start_of_day: date.startOfDay(start),
        end_of_day: date.endOfDay(start),
        diff: date.diffDays("2024-03-01", "2024-02-01"),
        diff_back: date.diffDays("2024-02-01", "2024-03-01"),
        diff_part: date.diffDays("2024-01-02T00:00:00Z", "2024-01-01T12:00:00Z"),
        before: [date.isBefore("2024-01-01", "2024-01-02"), date.isBefore("2024-01-02", "2024-01-01"), date.isBefore("2024-01-01", "2024-01-01")],
        after: [date.isAfter("2024-01-01", "2024-01-02"), date.isAfter("2024-01-02", "2024-01-01"), date.isAfter("2024-01-01", "2024-01-01")],
    };
}
