//! AIStore's node state, which is a number in its answers: each bit by its name. Pure.

/// A bit of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// The word for it, as AIStore's own tools show it.
    pub name: &'static str,
    /// Its bit.
    pub bit: u64,
}

const fn flag(place: u32, name: &'static str) -> Flag {
    Flag {
        name,
        bit: 1 << place,
    }
}

/// The node runs a rebalance.
pub const REBALANCING: Flag = flag(3, "rebalancing");
/// A rebalance was interrupted, and starts again.
pub const REBALANCE_INTERRUPTED: Flag = flag(4, "rebalance-interrupted");
/// The node moves objects between its own mountpaths.
pub const RESILVERING: Flag = flag(5, "resilvering");
/// That was interrupted.
pub const RESILVER_INTERRUPTED: Flag = flag(6, "resilver-interrupted");
/// Out of space.
pub const OUT_OF_SPACE: Flag = flag(8, "out-of-space");
/// Out of memory.
pub const OUT_OF_MEMORY: Flag = flag(9, "out-of-memory");
/// More is used than the high watermark.
pub const LOW_CAPACITY: Flag = flag(11, "low-capacity");
/// Memory is scarce.
pub const LOW_MEMORY: Flag = flag(12, "low-memory");
/// A mountpath's disk failed.
pub const DISK_FAULT: Flag = flag(13, "disk-fault");
/// Far too many goroutines.
pub const MANY_GOROUTINES: Flag = flag(15, "high-number-of-goroutines");
/// The certificate expires soon.
pub const CERTIFICATE_EXPIRES: Flag = flag(16, "certificate-will-soon-expire");
/// It has expired.
pub const CERTIFICATE_EXPIRED: Flag = flag(17, "certificate-expired");
/// It is not valid.
pub const CERTIFICATE_INVALID: Flag = flag(18, "certificate-invalid");
/// Nodes do not answer each other.
pub const KEEP_ALIVE_ERRORS: Flag = flag(19, "keep-alive-errors");
/// Out of CPU.
pub const OUT_OF_CPU: Flag = flag(20, "out-of-cpu");
/// CPU is scarce.
pub const LOW_CPU: Flag = flag(21, "low-cpu");
/// One disk is out of space.
pub const DISK_OUT_OF_SPACE: Flag = flag(22, "disk-out-of-space");
/// One disk is over the high watermark.
pub const DISK_LOW_CAPACITY: Flag = flag(23, "disk-low-capacity");

/// All of them.
pub const ALL: [Flag; 24] = [
    flag(0, "vote-in-progress"),
    flag(1, "cluster-started"),
    flag(2, "node-started"),
    REBALANCING,
    REBALANCE_INTERRUPTED,
    RESILVERING,
    RESILVER_INTERRUPTED,
    flag(7, "restarted"),
    OUT_OF_SPACE,
    OUT_OF_MEMORY,
    flag(10, "maintenance"),
    LOW_CAPACITY,
    LOW_MEMORY,
    DISK_FAULT,
    flag(14, "number-of-goroutines"),
    MANY_GOROUTINES,
    CERTIFICATE_EXPIRES,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_INVALID,
    KEEP_ALIVE_ERRORS,
    OUT_OF_CPU,
    LOW_CPU,
    DISK_OUT_OF_SPACE,
    DISK_LOW_CAPACITY,
];

/// What takes a node out of service, and why.
const FATAL: [(Flag, &str); 4] = [
    (
        DISK_FAULT,
        "a mountpath's disk failed: replace it, or detach the mountpath",
    ),
    (
        OUT_OF_SPACE,
        "the disks are full, and nothing can be written",
    ),
    (
        DISK_OUT_OF_SPACE,
        "a disk is full, and what belongs on it cannot be written",
    ),
    (OUT_OF_MEMORY, "the node is out of memory"),
];

/// What people should know.
const TOLD: [(Flag, &str); 14] = [
    (
        REBALANCING,
        "objects move between targets: stop no other target until that is done",
    ),
    (
        REBALANCE_INTERRUPTED,
        "a rebalance was interrupted; it starts again with the next change",
    ),
    (RESILVERING, "objects move between this target's mountpaths"),
    (RESILVER_INTERRUPTED, "a resilver was interrupted"),
    (LOW_CAPACITY, "more is used than the high watermark"),
    (DISK_LOW_CAPACITY, "one disk is over the high watermark"),
    (LOW_MEMORY, "memory is scarce"),
    (OUT_OF_CPU, "the node is out of CPU"),
    (LOW_CPU, "CPU is scarce"),
    (
        KEEP_ALIVE_ERRORS,
        "nodes did not answer each other in the last 5 minutes",
    ),
    (MANY_GOROUTINES, "there are far too many goroutines"),
    (CERTIFICATE_EXPIRES, "the certificate expires soon"),
    (CERTIFICATE_EXPIRED, "the certificate has expired"),
    (CERTIFICATE_INVALID, "the certificate is not valid"),
];

impl Flag {
    /// Whether it is set in this state.
    pub const fn is_set(self, state: u64) -> bool {
        state & self.bit != 0
    }
}

/// What takes a node with this state out of service: the flag's name, and a sentence.
pub fn fatal(state: u64) -> impl Iterator<Item = (&'static str, &'static str)> {
    set(&FATAL, state)
}

/// What there is to tell of it besides.
pub fn told(state: u64) -> impl Iterator<Item = (&'static str, &'static str)> {
    set(&TOLD, state)
}

fn set(
    known: &'static [(Flag, &'static str)],
    state: u64,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    known
        .iter()
        .filter(move |(flag, _)| flag.is_set(state))
        .map(|(flag, why)| (flag.name, *why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(state: u64) -> Vec<&'static str> {
        let set = ALL.into_iter().filter(|flag| flag.is_set(state));
        set.map(|flag| flag.name).collect()
    }

    #[test]
    fn captured_states_are_read() {
        assert_eq!(
            names(2_097_158),
            ["cluster-started", "node-started", "low-cpu"]
        );
        // In maintenance the node itself does not say so.
        assert_eq!(
            names(14),
            ["cluster-started", "node-started", "rebalancing"]
        );
    }

    #[test]
    fn each_bit_has_its_place_and_its_own_name() {
        for (place, flag) in ALL.iter().enumerate() {
            assert_eq!(flag.bit, 1 << place, "{}", flag.name);
            let same = ALL.iter().filter(|other| other.name == flag.name);
            assert_eq!(same.count(), 1, "{}", flag.name);
        }
    }

    #[test]
    fn disks_and_memory_are_fatal_and_the_rest_is_told() {
        let codes = |state| {
            let fatal: Vec<_> = fatal(state).map(|(name, _)| name).collect();
            let told: Vec<_> = told(state).map(|(name, _)| name).collect();
            (fatal, told)
        };
        assert_eq!(codes(6), (vec![], vec![]));
        assert_eq!(
            codes(6 | 0x2000 | 0x100 | 0x200),
            (vec!["disk-fault", "out-of-space", "out-of-memory"], vec![])
        );
        assert_eq!(
            codes(6 | 8 | 0x20 | 0x800 | 0x20_0000),
            (
                vec![],
                vec!["rebalancing", "resilvering", "low-capacity", "low-cpu"]
            )
        );
    }

    proptest! {
        #[test]
        fn any_state_is_read(state: u64) {
            prop_assert!(fatal(state).count() + told(state).count() <= ALL.len());
        }
    }
}
