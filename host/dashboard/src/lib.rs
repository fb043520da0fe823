//! The model that the status shows, and its embedded read-only page.
//!
//! It only reads: it is given a snapshot and has no handle to anything.

pub mod model;

/// The page: one self-contained HTML document that reads `status`, `timeline` and `events` of the
/// server that serves it, and loads nothing from anywhere else.
pub fn page() -> &'static str {
    include_str!("page.html")
}

/// The `Content-Security-Policy` under which the page works: its own script and style, requests to
/// its own server, nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
     style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = page();
        for foreign in ["http:", "https:", "//", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "the page has `{foreign}`");
        }
        assert_eq!(page.matches("<link").count(), 1, "the icon alone");
        assert!(page.contains(r#"<link rel="icon" href="data:,">"#));
    }

    #[test]
    fn what_the_page_shows_is_never_read_as_html() {
        for dangerous in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!page().contains(dangerous), "the page uses {dangerous}");
        }
    }

    #[test]
    fn the_page_can_be_read_by_those_who_do_not_see_it() {
        let page = page();
        assert!(page.contains(r#"<html lang="en">"#));
        assert!(page.contains("<main"));
        assert!(page.contains("aria-live"));
        let tables = page.matches("<table").count();
        assert!(tables > 0);
        assert_eq!(page.matches("<caption").count(), tables);
        assert!(page.contains("prefers-color-scheme"));
    }

    #[test]
    fn the_page_names_only_fields_that_the_model_has() {
        let snapshot = serde_json::to_value(model::Snapshot::default()).unwrap();
        let script = page().split("<script>").nth(1).unwrap();
        let used: std::collections::BTreeSet<&str> = script
            .split("status[\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(used.len() > 5, "{used:?}");
        for field in used {
            assert!(
                snapshot.get(field).is_some(),
                "`{field}` is not in the model"
            );
        }
    }
}
