//! A text that opens something: a token, a key. Whoever prints what holds it prints nothing of it.

use std::fmt;
use zeroize::Zeroizing;

/// Wiped when it is dropped. It has no text form: `reveal` is asked for by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_prints_nothing_of_itself() {
        let hidden = Hidden::from("planted-key".to_owned());
        assert_eq!(hidden.reveal(), "planted-key");
        let text = format!("{hidden:?} {:#?}", Some(&hidden));
        assert!(!text.contains("planted"), "{text}");
    }
}
