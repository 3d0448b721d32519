//! Daily time windows of a bandwidth limit, as the configuration and the API write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::size::Rate;

/// A bandwidth limit, and the times at which another one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bandwidth {
    /// Bytes per second outside of all windows, 0 for no limit.
    #[serde(deserialize_with = "rate")]
    pub bandwidth_limit: u64,
    /// The first of these windows that holds counts instead.
    pub bandwidth_schedule: Vec<Window>,
}

/// A time of the day, on some days, in which another limit holds. Local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it begins.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", example = "08:00"))]
    pub from: TimeOfDay,
    /// When it ends; at or before `from` that is on the next day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", example = "18:00"))]
    pub to: TimeOfDay,
    /// The days on which it begins; all unless some are named.
    #[serde(default = "all_days", deserialize_with = "some_days")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1))]
    pub days: Vec<Day>,
    /// Bytes per second, 0 for no limit. Read as a number, or as a text such as `500KB`.
    #[serde(deserialize_with = "rate")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::rate))]
    pub bandwidth_limit: u64,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// All days, from Monday on.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        })
    }
}

/// A time of the day, from `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Minutes since the day began.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A text that is no time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the day; write it as `08:00`")]
pub struct ParseTimeError;

impl FromStr for TimeOfDay {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        let number = |text: &str| match text.as_bytes() {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Ok(u16::from(tens - b'0') * 10 + u16::from(ones - b'0')),
            _ => Err(ParseTimeError),
        };
        let (hours, minutes) = text.split_once(':').ok_or(ParseTimeError)?;
        match (number(hours)?, number(minutes)?) {
            (hours @ 0..24, minutes @ 0..60) => Ok(Self(hours * 60 + minutes)),
            (24, 0) => Ok(Self(24 * 60)),
            _ => Err(ParseTimeError),
        }
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = TimeOfDay;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time from \"00:00\" to \"24:00\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TimeOfDay, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

fn all_days() -> Vec<Day> {
    Day::ALL.to_vec()
}

/// A window on no day would be a mistake that nobody notices.
fn some_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Day>, D::Error> {
    let mut days = Vec::<Day>::deserialize(deserializer)?;
    days.sort_unstable();
    days.dedup();
    if days.is_empty() {
        return Err(D::Error::invalid_length(0, &"at least one day, or no `days` for all"));
    }
    Ok(days)
}

/// Reads a rate as text or number. Larger ones than SQLite, TOML and many a JSON reader know are refused.
pub(crate) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let rate = Rate::deserialize(deserializer).ok().filter(|rate| i64::try_from(rate.0).is_ok());
    rate.map(|rate| rate.0).ok_or_else(|| {
        let expected = "a rate such as \"500KB\" or a number of bytes per second, 0 for no limit";
        D::Error::invalid_value(Unexpected::Other("no rate"), &expected)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_read_and_print_the_same() {
        for (text, minutes) in [("00:00", 0), ("08:05", 485), ("23:59", 1439), ("24:00", 1440)] {
            let time: TimeOfDay = text.parse().expect(text);
            assert_eq!((time.minutes(), time.to_string()), (minutes, text.to_owned()));
        }
        for text in ["", "8:00", "08:60", "24:01", "08", "08:00:00", "-1:00", "+8:00", "０８:00"] {
            assert_eq!(text.parse::<TimeOfDay>(), Err(ParseTimeError), "{text}");
        }
    }

    #[test]
    fn a_window_reads_texts_and_writes_numbers() {
        let window: Window =
            serde_json::from_value(json!({"from": "08:00", "to": "18:00", "bandwidth_limit": "500KB"})).expect("right");
        let wire = json!({"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            "bandwidth_limit": 500_000});
        assert_eq!(json!(window), wire);
        assert_eq!(serde_json::from_value::<Window>(wire).expect("it was just written"), window);
    }

    #[test]
    fn days_print_as_they_are_written() {
        for day in Day::ALL {
            assert_eq!(json!(day), json!(day.to_string()));
        }
    }
}
