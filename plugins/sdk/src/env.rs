//! The rendered environment, as [`Templating::validate`](crate::Templating::validate) is shown it among the
//! artifacts.

use crate::vocabulary::Artifact;

/// The path of its artifact: files' are absolute.
pub const PATH: &str = "env";

/// One rendered variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, as the workload gets it.
    pub value: String,
    /// The line at which it begins, from 1: what a diagnostic names it by.
    pub line: u32,
}

/// The variables, in the order of the artifact; none where it is a file. What is no line of the form
/// `NAME='value'` ends them: the host writes no other.
pub fn variables(item: &Artifact) -> Vec<Variable> {
    if item.path != PATH {
        return Vec::new();
    }
    let mut rest = std::str::from_utf8(&item.content).unwrap_or_default();
    let mut found = Vec::new();
    let mut line = 1_u32;
    while let Some((name, after)) = rest.split_once("='")
        && let Some((value, after)) = after.split_once("'\n")
    {
        found.push(Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            line,
        });
        let within = u32::try_from(value.matches('\n').count()).unwrap_or(u32::MAX);
        line = line.saturating_add(1).saturating_add(within);
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, content: &[u8]) -> Vec<(String, String, u32)> {
        let item = Artifact {
            path: path.to_owned(),
            content: content.to_vec(),
        };
        let variables = variables(&item).into_iter();
        variables.map(|v| (v.name, v.value, v.line)).collect()
    }

    #[test]
    fn a_variable_has_its_value_as_it_is_and_the_line_at_which_it_begins() {
        let variable = |name: &str, value: &str, line| (name.to_owned(), value.to_owned(), line);
        assert_eq!(
            told("env", b"A='$X \"y\"\nz='\nB=''\nC='3'\n"),
            [
                variable("A", "$X \"y\"\nz=", 1),
                variable("B", "", 3),
                variable("C", "3", 4)
            ]
        );
    }

    #[test]
    fn files_and_what_is_no_environment_have_no_variables() {
        assert_eq!(told("/etc/env", b"A='1'\n"), []);
        for content in [&b""[..], b"\xff='1'\n", b"A", b"A='1", b"'\n='"] {
            assert_eq!(told("env", content), [], "{content:?}");
        }
    }
}
