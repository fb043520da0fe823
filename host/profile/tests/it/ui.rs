//! `tests/ui`: a case is a file. What is refused has its findings in `.err`; what is taken has the
//! profile, and its warnings, in `.ok`.

use outrigger_profile::parse;

use crate::{golden, here};

#[test]
fn each_document_gives_the_findings_that_are_stored_beside_it() {
    let mut cases: Vec<_> = std::fs::read_dir(here("tests/ui"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    cases.sort();
    assert!(cases.len() > 20, "only {} cases were found", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let text = std::fs::read_to_string(&case).unwrap();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let (profile, findings) = parse(&text, &name);
        assert_eq!(profile.is_none(), findings.has_errors(), "{name}");
        let (extension, other, told) = match profile {
            Some(profile) if findings.0.is_empty() => ("ok", "err", format!("{profile:#?}\n")),
            Some(profile) => ("ok", "err", format!("{findings}\n\n{profile:#?}\n")),
            None => ("err", "ok", format!("{findings}\n")),
        };
        if case.with_extension(other).exists() {
            wrong.push(format!(
                "{name} is stored as .{other} and now is .{extension}: {told}"
            ));
        }
        wrong.extend(golden(&case.with_extension(extension), &told).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
