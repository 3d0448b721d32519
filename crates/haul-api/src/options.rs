//! How the requests of a job go: the parts of a submit that have a shape of their own.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When a new job starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// As soon as there is a slot.
    #[default]
    Now,
    /// When it is resumed.
    Paused,
    /// As soon as there is a slot after this time.
    At(Timestamp),
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Now => serializer.serialize_str("now"),
            Self::Paused => serializer.serialize_str("paused"),
            Self::At(time) => serializer.collect_str(time),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Start;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`now`, `paused`, or a time such as `2026-11-05T22:00:00Z`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Start, E> {
                match text {
                    "now" => Ok(Start::Now),
                    "paused" => Ok(Start::Paused),
                    _ => {
                        text.parse().map(Start::At).map_err(|_| E::invalid_value(de::Unexpected::Other("that"), &self))
                    }
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Where a job is put among those of its priority that wait for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before all others.
    Top,
    /// Behind all others.
    Bottom,
    /// So that it is the first, the second, ...
    At(u64),
}

impl Position {
    /// The same as a number, counted from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Top => 1,
            Self::Bottom => u64::MAX,
            Self::At(number) => number,
        }
    }
}

impl std::str::FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "top" => Ok(Self::Top),
            "bottom" => Ok(Self::Bottom),
            _ => text
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .map(Self::At)
                .ok_or("write `top`, `bottom` or a number from 1 on"),
        }
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Top => serializer.serialize_str("top"),
            Self::Bottom => serializer.serialize_str("bottom"),
            Self::At(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl Visitor<'_> for Place {
            type Value = Position;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`top`, `bottom` or a number from 1 on")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Position, E> {
                match text {
                    "top" => Ok(Position::Top),
                    "bottom" => Ok(Position::Bottom),
                    _ => Err(E::invalid_value(de::Unexpected::Other("that"), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Position, E> {
                // The document has no greater number either.
                if number == 0 || i64::try_from(number).is_err() {
                    return Err(E::invalid_value(de::Unexpected::Unsigned(number), &self));
                }
                Ok(Position::At(number))
            }
        }
        deserializer.deserialize_any(Place)
    }
}

/// What happens to a submit that is the same as a job that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// That job is the answer.
    #[default]
    Attach,
    /// It becomes a job of its own.
    Copy,
    /// It is refused.
    Reject,
}

/// How a file is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// By `GET`.
    #[default]
    Get,
    /// By `POST`, with a body.
    Post,
}

/// The body of a `POST`: a text as it is, or any bytes in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// A text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl fmt::Debug for RequestBody {
    /// Leaves out what it holds: people put passwords there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

/// Which of a server's addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum IpVersion {
    /// All.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// Those of IPv4.
    #[serde(rename = "4")]
    V4,
    /// Those of IPv6.
    #[serde(rename = "6")]
    V6,
}

impl IpVersion {
    /// Whether an address is of this version.
    #[must_use]
    pub const fn fits(self, address: &IpAddr) -> bool {
        match self {
            Self::Auto => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// A cookie, as a browser keeps it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it is for. Default: that of the job's URL, and it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Whether it is not for the hosts below its domain, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_only: Option<bool>,
    /// The path that it is for, with all below. Default: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it is for `https` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<bool>,
    /// When it ends; one that has ended is not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires: Option<Timestamp>,
}

impl fmt::Debug for Cookie {
    /// Leaves out name and value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// What a server says of a file before it is fetched: the answer of `POST /v1/probe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Probe {
    /// The name that the file would get, unless it is taken.
    pub filename: String,
    /// Its length.
    pub total_bytes: Option<u64>,
    /// Whether the server serves ranges of it.
    pub resumable: bool,
    /// Its entity tag.
    pub etag: Option<String>,
    /// When it was changed, as the server writes it.
    pub last_modified: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Where it is, behind all redirects, without userinfo.
    pub final_url: String,
    /// The digest that the server tells.
    pub checksum: Option<String>,
    /// Whether the server's certificate was not looked at.
    pub insecure: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn a_start_is_a_word_or_a_time() {
        for (wire, start) in [
            (json!("now"), Start::Now),
            (json!("paused"), Start::Paused),
            (json!("2026-11-05T22:00:00Z"), Start::At("2026-11-05T22:00:00Z".parse().expect("a time"))),
        ] {
            assert_eq!(from_value::<Start>(wire.clone()).expect("a start"), start);
            assert_eq!(json!(start), wire);
        }
        for wrong in [json!("later"), json!(5), json!("2026-11-05"), json!("22:00"), json!("2026-11-05T22:00:00")] {
            assert!(from_value::<Start>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_position_is_a_word_or_a_number() {
        for (wire, position) in
            [(json!("top"), Position::Top), (json!("bottom"), Position::Bottom), (json!(3), Position::At(3))]
        {
            assert_eq!(from_value::<Position>(wire.clone()).expect("a position"), position);
            assert_eq!(json!(position), wire);
        }
        for wrong in [json!(0), json!(-1), json!(1_u64 << 63), json!("first"), Value::Null] {
            assert!(from_value::<Position>(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!("2".parse(), Ok(Position::At(2)));
        assert!("0".parse::<Position>().is_err());
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let cookie = Cookie { name: "s3cret".to_owned(), value: "s3cret".to_owned(), ..Cookie::default() };
        let body = RequestBody { text: Some("s3cret".to_owned()), base64: None };
        assert!(!format!("{cookie:?} {body:?}").contains("s3cret"));
    }
}
