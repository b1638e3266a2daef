//! Instants as RFC 3339 text.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::words::Timestamp;

/// Reads RFC 3339 with any offset; what is finer than a microsecond is cut off. `None` when it is no such text.
pub fn parse(text: &str) -> Option<Timestamp> {
    let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanoseconds.div_euclid(1_000)).ok().map(Timestamp)
}

/// Writes RFC 3339 in UTC with six digits of fraction: `2026-11-21T15:45:00.000123Z`. Instants outside the years
/// 0 to 9999, which RFC 3339 cannot name, become the nearest that it can.
pub fn format(instant: Timestamp) -> String {
    Written::of(instant).as_str().to_owned()
}

/// What [`format`] returns, without a place on the heap.
pub(crate) struct Written([u8; 27]);

impl Written {
    pub(crate) fn of(instant: Timestamp) -> Self {
        /// 0000-01-01T00:00:00Z and the last microsecond of 9999, in microseconds.
        const RANGE: (i64, i64) = (-62_167_219_200_000_000, 253_402_300_799_999_999);
        let microseconds = instant.0.clamp(RANGE.0, RANGE.1);
        let moment = OffsetDateTime::from_unix_timestamp(microseconds.div_euclid(1_000_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put(&mut text[0..4], year.unsigned_abs());
        put(&mut text[5..7], u8::from(month).into());
        put(&mut text[8..10], day.into());
        put(&mut text[11..13], hour.into());
        put(&mut text[14..16], minute.into());
        put(&mut text[17..19], second.into());
        put(&mut text[20..26], microseconds.rem_euclid(1_000_000) as u32);
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII digits were put in")
    }
}

/// Fills a place with decimal digits from its end.
fn put(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_instant_agree() {
        for (text, written) in [
            ("2026-11-21T15:45:00Z", "2026-11-21T15:45:00.000000Z"),
            ("2026-11-21T15:45:00.123456789+02:00", "2026-11-21T13:45:00.123456Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            let instant = parse(text).unwrap();
            assert_eq!(format(instant), written);
            assert_eq!(parse(written), Some(instant));
        }
    }

    #[test]
    fn what_is_no_time_is_refused_and_what_has_no_name_is_clamped() {
        for text in ["", "2026-11-21", "2026-11-21T15:45:00", "21.11.2026 15:45", "1700000000", "2026-13-01T00:00:00Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(format(Timestamp(i64::MAX)), "9999-12-31T23:59:59.999999Z");
        assert_eq!(format(Timestamp(i64::MIN)), "0000-01-01T00:00:00.000000Z");
    }
}
