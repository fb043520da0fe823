//! The model that the status shows, and its embedded read-only page.
//!
//! It only reads: it is given a snapshot and has no handle to anything.

pub mod model;

/// The page: one self-contained HTML document that reads `status`, `timeline` and `events` of the
/// server that serves it, and loads nothing from anywhere else.
pub fn page() -> &'static str {
    concat!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<title>Outrigger</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n",
        include_str!("page/style.css"),
        "</style>\n</head>\n<body>\n",
        include_str!("page/page.html"),
        "<script>\n",
        include_str!("page/script.js"),
        "</script>\n</body>\n</html>\n",
    )
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
        assert!(page.contains("prefers-color-scheme"));
        assert!(page.contains("prefers-reduced-motion"));
        let sections: Vec<&str> = page.split("<section ").skip(1).collect();
        assert!(!sections.is_empty());
        for section in sections {
            let title = section
                .split_once("aria-labelledby=\"")
                .and_then(|(_, rest)| rest.split('"').next())
                .unwrap();
            assert!(section.contains(&format!("<h2 id=\"{title}\">")), "{title}");
        }
    }

    #[test]
    fn what_the_script_fills_is_in_the_page() {
        let (page, script) = page().split_once("<script>").unwrap();
        for (call, end) in [("$(\"", "\")"), ("part(\"", "\",")] {
            for id in script
                .split(call)
                .skip(1)
                .filter_map(|rest| rest.split(end).next())
            {
                let there = page.contains(&format!("id=\"{id}\""))
                    || script.contains(&format!("{{id: \"{id}\"}}"));
                assert!(there, "nothing has the id `{id}`");
            }
        }
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
