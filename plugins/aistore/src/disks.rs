//! The disks of a target beside its pod: whose they are, whether all are there, whether they are clean.
//! Pure.

use crate::vmd::Vmd;

/// What there is on a mountpath's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The volume's name.
    pub volume: String,
    /// What was found.
    pub content: Content,
}

/// What was found on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// It cannot be looked at, and why.
    Unseen(String),
    /// No identity; `objects` where there is content of AIStore's all the same.
    Unclaimed {
        /// Whether a folder of objects is there.
        objects: bool,
    },
    /// An identity that cannot be read, and why.
    Broken(String),
    /// A target's.
    Of(Vmd),
}

/// Whether there are disks and no target has been on any of them.
pub fn is_first_start(disks: &[Disk]) -> bool {
    let is_unclaimed = |disk: &Disk| matches!(disk.content, Content::Unclaimed { .. });
    !disks.is_empty() && disks.iter().all(is_unclaimed)
}

/// Why AIStore must not start on these disks as `id`; none when it may. `leftovers`: objects of a target
/// that was decommissioned are accepted.
pub fn problem(disks: &[Disk], id: &str, leftovers: bool) -> Option<String> {
    for disk in disks {
        let volume = &disk.volume;
        match &disk.content {
            Content::Of(vmd) if vmd.id != id => {
                return Some(format!(
                    "the disk `{volume}` is the target {}'s, and this is {id}: AIStore would end with sie#20; give \
                     this pod its own claims, or empty the disk if nothing on it is needed",
                    vmd.id
                ));
            }
            Content::Broken(why) => {
                return Some(format!(
                    "the identity `.ais.vmd` on the disk `{volume}` cannot be read: {why}; where another disk of this \
                     target has a good one, remove the bad one"
                ));
            }
            _ => {}
        }
    }
    missing(disks).or_else(|| left_over(disks).filter(|_| !leftovers))
}

/// More mountpaths are recorded than there are volumes.
fn missing(disks: &[Disk]) -> Option<String> {
    let recorded = disks.iter().find_map(|disk| match &disk.content {
        Content::Of(vmd) if vmd.mountpaths.len() > disks.len() => Some(vmd),
        _ => None,
    })?;
    Some(format!(
        "the disks record {} mountpaths ({}) and {} are mounted: AIStore would end with sie#60; mount the missing \
         one, or detach it first where it is gone for good",
        recorded.mountpaths.len(),
        recorded.mountpaths.join(", "),
        disks.len()
    ))
}

/// A decommission removes the identity and leaves objects.
fn left_over(disks: &[Disk]) -> Option<String> {
    if !is_first_start(disks) {
        return None;
    }
    let old = disks
        .iter()
        .find(|disk| disk.content == Content::Unclaimed { objects: true })?;
    Some(format!(
        "the disk `{}` has objects and no identity, as a decommissioned target leaves it: what was deleted since would \
         return; empty it, or set `accept-leftovers: true` for this start",
        old.volume
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(volume: &str, content: Content) -> Disk {
        Disk {
            volume: volume.to_owned(),
            content,
        }
    }

    fn of(id: &str, count: usize) -> Content {
        Content::Of(Vmd {
            id: id.to_owned(),
            mountpaths: (0..count).map(|place| format!("/data/{place}")).collect(),
        })
    }

    const NEW: Content = Content::Unclaimed { objects: false };
    const OLD: Content = Content::Unclaimed { objects: true };

    fn found(contents: [Content; 2]) -> Option<String> {
        let [first, second] = contents;
        let disks = [disk("ais-data-0", first), disk("ais-data-1", second)];
        problem(&disks, "ais-target-1", false)
    }

    #[test]
    fn own_and_new_disks_start() {
        assert_eq!(found([of("ais-target-1", 2), of("ais-target-1", 2)]), None);
        assert_eq!(found([NEW, NEW]), None);
        // A disk that was replaced, or added.
        assert_eq!(found([of("ais-target-1", 2), NEW]), None);
        assert_eq!(found([of("ais-target-1", 1), NEW]), None);
        assert_eq!(found([Content::Unseen("denied".to_owned()), NEW]), None);
    }

    #[test]
    fn another_targets_disk_does_not() {
        let why = found([of("ais-target-1", 2), of("ais-target-9", 2)]).unwrap();
        assert!(
            why.starts_with("the disk `ais-data-1` is the target ais-target-9's, and this is ais-target-1: AIStore would end with sie#20"),
            "{why}"
        );
    }

    #[test]
    fn a_mountpath_that_is_missing_is_named() {
        let why = found([of("ais-target-1", 3), of("ais-target-1", 3)]).unwrap();
        assert!(
            why.starts_with(
                "the disks record 3 mountpaths (/data/0, /data/1, /data/2) and 2 are mounted"
            ),
            "{why}"
        );
    }

    #[test]
    fn an_identity_that_cannot_be_read_is_told() {
        let why = found([Content::Broken("it is cut off".to_owned()), NEW]).unwrap();
        assert!(
            why.contains("on the disk `ais-data-0` cannot be read: it is cut off"),
            "{why}"
        );
    }

    #[test]
    fn disks_of_a_decommissioned_target_are_not_taken_without_saying_so() {
        let why = found([NEW, OLD]).unwrap();
        assert!(
            why.starts_with("the disk `ais-data-1` has objects and no identity"),
            "{why}"
        );
        // Objects beside an identity are this target's.
        assert_eq!(found([of("ais-target-1", 2), OLD]), None);
        let disks = [disk("ais-data-0", OLD)];
        assert_eq!(problem(&disks, "ais-target-1", true), None);
    }
}
