//! What needs no server. `tests/capabilities/db/types` has the rest.

use super::{numeric, time};

#[test]
fn numbers_keep_every_digit() {
    for (text, back) in [
        ("0", "0"),
        ("0.00", "0.00"),
        ("-0.0", "0.0"),
        ("1", "1"),
        ("10000", "10000"),
        ("12.50", "12.50"),
        ("-12345678.0001", "-12345678.0001"),
        ("0.000012", "0.000012"),
        (
            "99999999999999999999999999999999.99999999999999999999",
            "99999999999999999999999999999999.99999999999999999999",
        ),
        ("1e3", "1000"),
        ("1.5e-7", "0.00000015"),
        ("+7", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
    ] {
        let bytes = numeric::write(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(numeric::read(&bytes).as_deref(), Some(back), "{text}");
    }
    for text in ["", "-", ".", "1.2.3", "1e", "1e999999", "0x10", "１", "1 "] {
        assert_eq!(numeric::write(text), None, "{text}");
    }
    for bytes in [&[][..], &[0, 1], &[0, 9, 0, 0, 0, 0, 0, 0], &[0; 7]] {
        assert_eq!(numeric::read(bytes), None, "{bytes:?}");
    }
}

#[test]
fn dates_and_times_come_back() {
    for (text, back) in [
        ("2000-01-01", "2000-01-01"),
        ("1999-12-31", "1999-12-31"),
        ("2024-02-29T00:00:00.000Z", "2024-02-29"),
        ("0001-01-01", "0001-01-01"),
        ("infinity", "infinity"),
    ] {
        assert_eq!(time::write_date(text).map(time::read_date).as_deref(), Some(back), "{text}");
    }
    for (text, back) in [
        ("2024-01-31T13:05:09Z", "2024-01-31T13:05:09.000Z"),
        ("2024-01-31T13:05:09.123456+02:00", "2024-01-31T11:05:09.123456Z"),
        ("2024-01-31 13:05:09+02", "2024-01-31T11:05:09.000Z"),
        ("2024-01-31 13:05", "2024-01-31T13:05:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("2024-01-31", "2024-01-31T00:00:00.000Z"),
        ("-infinity", "-infinity"),
    ] {
        let back_again = time::write_timestamptz(text).map(|time| time::read_timestamp(time, "Z"));
        assert_eq!(back_again.as_deref(), Some(back), "{text}");
    }
    for (text, back) in
        [("13:05:09", "13:05:09"), ("13:05", "13:05:00"), ("00:00:00.5", "00:00:00.500"), ("24:00", "24:00:00")]
    {
        assert_eq!(time::write_time(text).map(time::read_time).as_deref(), Some(back), "{text}");
    }
    // What would lose something.
    assert_eq!(time::write_date("2024-01-31T13:05:09Z"), None);
    assert_eq!(time::write_timestamp("2024-01-31T13:05:09+02:00"), None);
    assert_eq!(time::write_timestamptz("2024-01-31T13:05:09.1234567Z"), None);
    for nonsense in ["", "yesterday", "2024-13-01", "2024-02-30", "25:00"] {
        assert_eq!((time::write_date(nonsense), time::write_time(nonsense)), (None, None), "{nonsense}");
    }
    // Beyond what a library's calendar holds.
    assert_eq!(time::read_date(2_145_031_948), "+5874897-12-31");
    assert_eq!(time::read_date(-2_451_545), "-004713-11-24");
}

#[test]
fn intervals_are_iso_8601() {
    for (microseconds, days, months, text) in [
        (0, 0, 0, "PT0S"),
        (14_706_700_000, 3, 14, "P1Y2M3DT4H5M6.7S"),
        (-1_500_000, 0, 0, "PT-1.5S"),
        (-3_600_000_000, -1, 0, "P-1DT-1H"),
        (60_000_000, 0, -13, "P-1Y-1MT1M"),
    ] {
        assert_eq!(time::read_interval(microseconds, days, months), text);
    }
}
