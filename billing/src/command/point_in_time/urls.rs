//! The database's URL, for programs that are shown in the list of processes with their arguments.

/// A URL without its password, and the password.
pub(super) fn without_password(url: &str) -> (String, Option<String>) {
    let whole = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else {
        return whole();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else {
        return whole();
    };
    let Some((user, password)) = user.split_once(':') else {
        return whole();
    };
    (
        format!("{scheme}://{user}@{host}{path}"),
        Some(percent_decoded(password)),
    )
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| more.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_a_url_and_nothing_else_is() {
        let taken = |url| {
            let (url, password) = without_password(url);
            (url, password.unwrap_or_default())
        };
        let all = "postgres://jo:p%40s%3As@db:5433/billing?sslmode=require";
        let without = "postgres://jo@db:5433/billing?sslmode=require";
        assert_eq!(taken(all), (without.into(), "p@s:s".into()));
        for url in [
            "postgres://db/billing",
            "postgres://jo@db/billing?x=a:b@c",
            "postgres:///billing?host=/run",
        ] {
            assert_eq!(taken(url), (url.into(), String::new()), "{url}");
        }
    }
}
