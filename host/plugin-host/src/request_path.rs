//! Paths of requests and the patterns that grant them. A path that two readers could take for
//! different ones is refused before it is matched.

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathProblem {
    #[error("it does not start with `/`")]
    NotAbsolute,
    #[error("it has more than {} bytes", crate::limits::PATH_BYTES_MAX)]
    TooLong,
    #[error("it has a character other than visible ASCII; escape it with %")]
    Character,
    #[error("it has `\\` or `#`")]
    Reserved,
    #[error("it has an empty segment, `.` or `..`")]
    Segment,
    #[error("it has a `%` that is not followed by two hexadecimal digits")]
    Escape,
    #[error("it has an escaped slash, backslash, dot, percent sign or control character")]
    HiddenCharacter,
}

/// Checks path and query, and returns the path without the query: what patterns are matched against.
pub(crate) fn path_to_match(path_and_query: &str) -> Result<&str, PathProblem> {
    if !path_and_query.starts_with('/') {
        return Err(PathProblem::NotAbsolute);
    }
    if path_and_query.len() > crate::limits::PATH_BYTES_MAX {
        return Err(PathProblem::TooLong);
    }
    if !path_and_query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PathProblem::Character);
    }
    if path_and_query.contains(['\\', '#']) {
        return Err(PathProblem::Reserved);
    }
    let path = path_and_query
        .split_once('?')
        .map_or(path_and_query, |(path, _)| path);
    let segments = path.get(1..).unwrap_or_default();
    for (index, segment) in segments.split('/').enumerate() {
        // Some servers cut parameters off before they look at dots.
        let name = segment.split(';').next().unwrap_or_default();
        let is_root = index == 0 && segments.is_empty();
        let is_last = segments.split('/').count() == index + 1;
        if name == "." || name == ".." || (segment.is_empty() && !is_root && !is_last) {
            return Err(PathProblem::Segment);
        }
    }
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.get(..2).ok_or(PathProblem::Escape)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PathProblem::Escape);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| PathProblem::Escape)?;
        if byte.is_ascii_control() || b"/\\.%".contains(&byte) {
            return Err(PathProblem::HiddenCharacter);
        }
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(path)
}

/// Whether a pattern matches a path: `*` stands for any characters within one segment, `**` for any
/// characters at all. Everything else stands for itself. Takes time in proportion to the product of
/// the lengths, whatever the pattern.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let path = path.as_bytes();
    // `reached[i]`: the pattern so far can match the first i bytes.
    let mut reached = vec![false; path.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let mut pattern = pattern.as_bytes();
    while let Some((&symbol, after)) = pattern.split_first() {
        pattern = after;
        let mut next = vec![false; path.len() + 1];
        if symbol == b'*' {
            let across = pattern.first() == Some(&b'*');
            if across {
                pattern = pattern.split_first().map_or(pattern, |(_, rest)| rest);
            }
            let mut alive = false;
            for (index, slot) in next.iter_mut().enumerate() {
                let stops = index > 0 && !across && path.get(index - 1) == Some(&b'/');
                alive = (alive && !stops) || reached.get(index) == Some(&true);
                *slot = alive;
            }
        } else {
            for (index, slot) in next.iter_mut().enumerate().skip(1) {
                *slot =
                    reached.get(index - 1) == Some(&true) && path.get(index - 1) == Some(&symbol);
            }
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_not_matched() {
        assert_eq!(
            path_to_match("/api/v1/db?x=/../%2e"),
            Ok("/api/v1/db"),
            "a query cannot lead anywhere"
        );
        assert_eq!(path_to_match("/"), Ok("/"));
        assert_eq!(path_to_match("/api/"), Ok("/api/"));
        assert_eq!(path_to_match("/caf%C3%A9"), Ok("/caf%C3%A9"));
    }

    #[test]
    fn paths_that_could_be_read_in_two_ways_are_refused() {
        let problems = [
            ("api", PathProblem::NotAbsolute),
            ("", PathProblem::NotAbsolute),
            ("http://elsewhere/", PathProblem::NotAbsolute),
            ("/a b", PathProblem::Character),
            ("/a\r\nHost: x", PathProblem::Character),
            ("/é", PathProblem::Character),
            ("/a\\b", PathProblem::Reserved),
            ("/a#b", PathProblem::Reserved),
            ("//elsewhere/", PathProblem::Segment),
            ("/a//b", PathProblem::Segment),
            ("/a/./b", PathProblem::Segment),
            ("/a/../b", PathProblem::Segment),
            ("/a/..", PathProblem::Segment),
            ("/a/..;x=1/b", PathProblem::Segment),
            ("/a%2", PathProblem::Escape),
            ("/a%zz", PathProblem::Escape),
            ("/a%2fb", PathProblem::HiddenCharacter),
            ("/a/%2e%2e/b", PathProblem::HiddenCharacter),
            ("/a/%252e/b", PathProblem::HiddenCharacter),
            ("/a%5Cb", PathProblem::HiddenCharacter),
            ("/a%00", PathProblem::HiddenCharacter),
            ("/a%0d%0a", PathProblem::HiddenCharacter),
        ];
        for (path, problem) in problems {
            assert_eq!(path_to_match(path), Err(problem), "{path}");
        }
    }

    #[test]
    fn stars_stand_for_the_rest_of_a_segment_or_of_the_path() {
        let matching = [
            ("/api/v1/**", "/api/v1/db/list"),
            ("/api/v1/**", "/api/v1/"),
            ("/db/*/audit", "/db/mine/audit"),
            ("/db/*", "/db/"),
            ("/v*/x", "/v12/x"),
            ("/**/status", "/a/b/status"),
            ("/metrics", "/metrics"),
            ("**", "/anything/at/all"),
        ];
        let not_matching = [
            ("/api/v1/**", "/api/v1"),
            ("/api/v1/**", "/api/v2/x"),
            ("/db/*/audit", "/db/a/b/audit"),
            ("/db/*", "/db/a/b"),
            ("/metrics", "/metrics/"),
            ("/metrics", "/metricsx"),
            ("/metrics", "/Metrics"),
            ("", "/"),
        ];
        for (pattern, path) in matching {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in not_matching {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_path_that_passes_has_no_dot_segment_however_it_is_decoded(path in "/[a./%25;2eEfF?\\\\]{0,12}") {
            if let Ok(kept) = path_to_match(&path) {
                let once = kept.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
                let twice = once.replace("%25", "%").replace("%2e", ".").replace("%2f", "/");
                for decoded in [kept, once.as_str(), twice.as_str()] {
                    let dots = decoded.split('/').any(|segment| {
                        matches!(segment.split(';').next(), Some("." | ".."))
                    });
                    proptest::prop_assert!(!dots, "{} from {}", decoded, path);
                }
            }
        }

        #[test]
        fn a_pattern_without_stars_matches_itself_alone(a in "/[a-c/]{0,6}", b in "/[a-c/]{0,6}") {
            proptest::prop_assert_eq!(matches(&a, &b), a == b);
        }

        #[test]
        fn a_single_star_never_matches_across_a_slash(path in "/x[a/]{0,8}") {
            let rest = path.strip_prefix("/x").unwrap();
            proptest::prop_assert_eq!(matches("/x*", &path), !rest.contains('/'));
        }
    }
}
