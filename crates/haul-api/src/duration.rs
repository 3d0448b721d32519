//! Durations as people write them: `250ms`, `5s`, `2m`, `1h 30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in the configuration or on the command line. Needs a unit, except for `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The duration in whole seconds for a person who waits: `41 s`, `4 min 05 s`, `2 h 07 min`, `3 d 4 h`.
    pub fn approx(self) -> String {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3600 => format!("{minutes} min {:02} s", seconds % 60),
            3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
            _ => format!("{days} d {} h", hours % 24),
        }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(duration) => write!(f, "{duration:#}"),
            // Longer than jiff can say: some 292 thousand million years.
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl FromStr for HumanDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, ParseDurationError> {
        let text = text.trim();
        if text == "0" {
            return Ok(Self::default());
        }
        text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok()).map(Self).ok_or_else(
            || ParseDurationError {
                // A guess: longer than every duration that anyone means.
                input: text.chars().take(40).collect(),
            },
        )
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not a duration; write it as `250ms`, `5s`, `2m` or `1h`")]
pub struct ParseDurationError {
    input: String,
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"5s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_read_and_print_the_same() {
        for (text, millis) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h 30m", 5_400_000),
            ("1m 30s", 90_000),
            ("0s", 0),
        ] {
            let duration = HumanDuration(Duration::from_millis(millis));
            assert_eq!(text.parse(), Ok(duration), "{text}");
            assert_eq!(duration.to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_understood() {
        for (text, millis) in
            [("0", 0), (" 5 s ", 5_000), ("1.5s", 1_500), ("90s", 90_000), ("1h30m", 5_400_000), ("2 minutes", 120_000)]
        {
            let duration = HumanDuration(Duration::from_millis(millis));
            assert_eq!(text.parse(), Ok(duration), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_examples() {
        for text in ["", "5", "-5s", "5s ago", "5x", "soon", "1 month"] {
            let error = text.parse::<HumanDuration>().expect_err(text).to_string();
            assert!(error.contains("`250ms`, `5s`, `2m` or `1h`"), "{error}");
        }
    }

    #[test]
    fn a_bare_number_in_the_configuration_asks_for_its_unit() {
        let error = serde_json::from_value::<HumanDuration>(json!(5)).expect_err("no unit");
        assert!(error.to_string().contains("with its unit"), "{error}");
        assert_eq!(json!(HumanDuration(Duration::from_secs(5))), json!("5s"));
    }

    #[test]
    fn the_longest_duration_can_be_printed() {
        let shown = HumanDuration(Duration::MAX).to_string();
        assert_eq!(shown, format!("{}s", u64::MAX));
    }
}
