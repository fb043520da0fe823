//! The word that was probably meant.

/// The candidate that is closest to `word`, if one is close enough to be a slip of the pen: the
/// same but for case and dashes, contained whole, or at most a third of its letters away.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = plain(word);
    if wanted.is_empty() {
        return None;
    }
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let known = plain(candidate);
            let distance = if known == wanted {
                0
            } else if known.len() >= 3 && wanted.contains(&known)
                || wanted.len() >= 4 && known.contains(&wanted)
            {
                1
            } else {
                strsim::damerau_levenshtein(&wanted, &known)
            };
            (distance <= allowed && distance < known.chars().count().max(1))
                .then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters and digits alone, in lower case; a long text is cut, it is no slip of the pen.
fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .take(64)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["on-change", "template", "path", "timeout", "INT"];
        let table = [
            ("onChange", Some("on-change")),
            ("on_change", Some("on-change")),
            ("tmplate", Some("template")),
            ("templates", Some("template")),
            ("paht", Some("path")),
            ("SIGINT", Some("INT")),
            ("timeout-seconds", Some("timeout")),
            ("image", None),
            ("", None),
            ("-", None),
        ];
        for (word, expected) in table {
            assert_eq!(did_you_mean(word, keys), expected, "{word}");
        }
    }
}
