//! The address of a database, which holds a password.

use std::fmt;

/// `postgres://user:password@host:port/database`. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The address with its password: for the client that connects, never for a log line.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseUrl(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_address_is_shown() {
        let url = DatabaseUrl::from("postgres://shop:hunter2@db/stock".to_owned());
        assert_eq!(format!("{url:?}"), "DatabaseUrl(***)");
        assert_eq!(url.expose(), "postgres://shop:hunter2@db/stock");
    }
}
