//! When a probe turns, as the kubelet counts: after so many equal results in a row. Pure.

/// One probe's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    passing: bool,
    last: Option<bool>,
    run: u32,
}

impl Threshold {
    /// Before the first result: startup and readiness begin failing, liveness begins passing.
    pub fn new(passing: bool) -> Self {
        Self {
            passing,
            last: None,
            run: 0,
        }
    }

    /// Whether the probe passes.
    pub fn passing(&self) -> bool {
        self.passing
    }

    /// How many results of the last kind came in a row.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Takes one result. True when the probe turned. A threshold of 0 counts as 1.
    pub fn step(&mut self, pass: bool, failures: u32, successes: u32) -> bool {
        if self.last == Some(pass) {
            self.run = self.run.saturating_add(1);
        } else {
            self.last = Some(pass);
            self.run = 1;
        }
        let needed = if pass { successes } else { failures };
        let turns = self.passing != pass && self.run >= needed.max(1);
        if turns {
            self.passing = pass;
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turns(start: bool, results: &str, failures: u32, successes: u32) -> String {
        let mut threshold = Threshold::new(start);
        results
            .chars()
            .map(|result| {
                threshold.step(result == '+', failures, successes);
                if threshold.passing() { '+' } else { '-' }
            })
            .collect()
    }

    #[test]
    fn a_probe_turns_after_so_many_equal_results_in_a_row() {
        let table = [
            (false, "++", 3, 1, "++"),
            (false, "+++", 3, 2, "-++"),
            (true, "---", 3, 1, "++-"),
            (true, "--+--+---", 3, 1, "++++++++-"),
            (false, "+-+++", 1, 3, "----+"),
            (true, "-", 0, 0, "-"),
        ];
        for (start, results, failures, successes, expected) in table {
            assert_eq!(
                turns(start, results, failures, successes),
                expected,
                "{results}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_never_turns_on_fewer_equal_results_than_the_threshold(
            results in proptest::collection::vec(any::<bool>(), 0..200),
            failures in 1_u32..5,
            successes in 1_u32..5,
        ) {
            let mut threshold = Threshold::new(false);
            for (index, result) in results.iter().enumerate() {
                let needed = if *result { successes } else { failures } as usize;
                if threshold.step(*result, failures, successes) {
                    prop_assert!(index + 1 >= needed);
                    prop_assert!(results[index + 1 - needed..=index].iter().all(|r| r == result));
                }
            }
        }
    }
}
