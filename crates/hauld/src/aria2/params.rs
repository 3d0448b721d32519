//! Parameters by their places.

use serde_json::{Map, Value};

use super::fault::Fault;

/// The parameters of a call, without the token. There may be more than its method reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Params(pub(super) Vec<Value>);

impl Params {
    /// Takes the token away, wherever a call begins with one. An empty one is as good as none.
    pub(super) fn take_token(&mut self) -> Option<String> {
        let token = self.0.first()?.as_str()?.strip_prefix("token:")?.to_owned();
        self.0.remove(0);
        (!token.is_empty()).then_some(token)
    }

    /// What stands at a place. `null` is as good as nothing.
    fn at(&self, at: usize) -> Option<&Value> {
        self.0.get(at).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, Fault> {
        self.at(at).ok_or_else(|| Fault::missing(at))?.as_str().ok_or_else(|| Fault::wrong_type(at))
    }

    pub(super) fn integer(&self, at: usize) -> Result<i64, Fault> {
        self.optional_integer(at)?.ok_or_else(|| Fault::missing(at))
    }

    pub(super) fn optional_integer(&self, at: usize) -> Result<Option<i64>, Fault> {
        self.at(at).map(|value| value.as_i64().ok_or_else(|| Fault::wrong_type(at))).transpose()
    }

    pub(super) fn list(&self, at: usize) -> Result<&[Value], Fault> {
        self.optional_list(at)?.ok_or_else(|| Fault::missing(at))
    }

    pub(super) fn optional_list(&self, at: usize) -> Result<Option<&[Value]>, Fault> {
        let list = |value: &'_ Value| value.as_array().map(Vec::len).ok_or_else(|| Fault::wrong_type(at));
        self.at(at).map(list).transpose()?;
        Ok(self.at(at).and_then(Value::as_array).map(Vec::as_slice))
    }

    pub(super) fn options(&self, at: usize) -> Result<&Map<String, Value>, Fault> {
        self.optional_options(at)?.ok_or_else(|| Fault::missing(at))
    }

    pub(super) fn optional_options(&self, at: usize) -> Result<Option<&Map<String, Value>>, Fault> {
        match self.at(at) {
            None => Ok(None),
            Some(Value::Object(options)) => Ok(Some(options)),
            Some(_) => Err(Fault::wrong_type(at)),
        }
    }

    /// The texts of a list; what is no text is passed over.
    pub(super) fn texts(&self, at: usize) -> Result<Vec<&str>, Fault> {
        Ok(self.list(at)?.iter().filter_map(Value::as_str).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        let Value::Array(list) = value else { panic!("a list") };
        Params(list)
    }

    #[test]
    fn the_token_is_taken_away_wherever_there_is_one() {
        let mut call = params(json!(["token:abc", "gid"]));
        assert_eq!(call.take_token().as_deref(), Some("abc"));
        assert_eq!(call, params(json!(["gid"])));
        let mut empty = params(json!(["token:", "gid"]));
        assert_eq!((empty.take_token(), empty), (None, params(json!(["gid"]))));
        let mut none = params(json!(["gid", "token:abc"]));
        assert_eq!((none.take_token(), none.0.len()), (None, 2));
        assert_eq!(Params::default().take_token(), None);
    }

    #[test]
    fn what_has_the_wrong_type_is_named_by_its_place() {
        let odd = params(json!([1, "a", [1, "b", null], {"c": 1}, 1.5, null]));
        assert_eq!(odd.text(0), Err(Fault::wrong_type(0)));
        assert_eq!(odd.integer(1), Err(Fault::wrong_type(1)));
        assert_eq!(odd.integer(4), Err(Fault::wrong_type(4)));
        assert_eq!(odd.options(2), Err(Fault::wrong_type(2)));
        assert_eq!(odd.list(3), Err(Fault::wrong_type(3)));
        assert_eq!(odd.text(5), Err(Fault::missing(5)));
        assert_eq!(odd.list(6), Err(Fault::missing(6)));
        assert_eq!(odd.texts(2), Ok(vec!["b"]));
        assert_eq!(odd.optional_integer(5), Ok(None));
        assert_eq!(odd.optional_options(9), Ok(None));
    }
}
