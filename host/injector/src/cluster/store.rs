//! What is known of one kind of object, by namespace and name, within a limit.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// What an entry takes besides its facts and its name: maps, counts and room to grow.
const OVERHEAD: usize = 160;

/// How following one kind goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindStatus {
    /// The kind's plural, such as `statefulsets`.
    pub kind: &'static str,
    /// Whether the first list is in.
    pub listed: bool,
    /// How many are known.
    pub objects: usize,
    /// About how many bytes they take.
    pub bytes: usize,
    /// How many bytes they may take.
    pub bytes_max: usize,
    /// How many objects were not taken for want of room, since the last list.
    pub refused: u64,
    /// How long ago the API server was last heard of: a minute or two is usual, when nothing happens.
    pub silent: Duration,
    /// Why the API server cannot be followed at the moment.
    pub trouble: Option<String>,
    /// How often everything was listed.
    pub lists: u64,
    /// How often following broke off.
    pub failures: u64,
}

impl KindStatus {
    /// Why the kind is not known yet; none = it is.
    pub fn missing(&self) -> Option<String> {
        let kind = self.kind;
        match &self.trouble {
            _ if self.listed => None,
            Some(trouble) => Some(format!("the {kind} are not known yet ({trouble})")),
            None => Some(format!("the {kind} are not known yet")),
        }
    }
}

#[derive(Debug)]
struct Entry<F> {
    facts: Arc<F>,
    weight: usize,
}

#[derive(Debug)]
struct Inner<F> {
    objects: HashMap<String, HashMap<String, Entry<F>>>,
    /// Of the list that is being read: who was in it.
    listing: Option<HashSet<(String, String)>>,
    status: KindStatus,
    heard: Instant,
}

/// All of one kind. Reading is a look into two maps.
#[derive(Debug)]
pub(crate) struct Store<F> {
    inner: RwLock<Inner<F>>,
    /// One more with each change.
    changes: watch::Sender<u64>,
}

impl<F: PartialEq> Store<F> {
    pub(crate) fn new(kind: &'static str, bytes_max: usize) -> Self {
        let status = KindStatus {
            kind,
            listed: false,
            objects: 0,
            bytes: 0,
            bytes_max,
            refused: 0,
            silent: Duration::ZERO,
            trouble: None,
            lists: 0,
            failures: 0,
        };
        Self {
            inner: RwLock::new(Inner {
                objects: HashMap::new(),
                listing: None,
                status,
                heard: Instant::now(),
            }),
            changes: watch::Sender::new(0),
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<F>> {
        Some(Arc::clone(
            &self.read().objects.get(namespace)?.get(name)?.facts,
        ))
    }

    /// Waits for the next changes by this.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many of the facts are so.
    pub(crate) fn count(&self, so: impl Fn(&F) -> bool) -> usize {
        let inner = self.read();
        inner
            .objects
            .values()
            .flat_map(HashMap::values)
            .filter(|entry| so(&entry.facts))
            .count()
    }

    pub(crate) fn status(&self) -> KindStatus {
        let inner = self.read();
        KindStatus {
            silent: inner.heard.elapsed(),
            ..inner.status.clone()
        }
    }

    pub(crate) fn set(&self, namespace: &str, name: &str, facts: F, weight: usize) {
        let weight = weight + namespace.len() + name.len() + OVERHEAD;
        let mut inner = self.write();
        inner.heard = Instant::now();
        if let Some(listing) = &mut inner.listing {
            listing.insert((namespace.to_owned(), name.to_owned()));
        }
        let before = inner
            .objects
            .get(namespace)
            .and_then(|names| names.get(name))
            .map(|entry| (entry.weight, *entry.facts == facts));
        if let Some((_, true)) = before {
            return;
        }
        let bytes = inner.status.bytes - before.map_or(0, |(weight, _)| weight) + weight;
        if bytes > inner.status.bytes_max {
            // What is known of it is not so any more.
            inner.forget(namespace, name);
            inner.refuse(namespace, name);
        } else {
            inner.status.bytes = bytes;
            inner.status.objects += usize::from(before.is_none());
            let entry = Entry {
                facts: Arc::new(facts),
                weight,
            };
            inner
                .objects
                .entry(namespace.to_owned())
                .or_default()
                .insert(name.to_owned(), entry);
        }
        drop(inner);
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn remove(&self, namespace: &str, name: &str) {
        let mut inner = self.write();
        inner.heard = Instant::now();
        inner.forget(namespace, name);
        drop(inner);
        self.changes.send_modify(|count| *count += 1);
    }

    /// A list begins: whoever is not in it is gone, once it is whole. Until then all stays.
    pub(crate) fn list_begins(&self) {
        let mut inner = self.write();
        inner.listing = Some(HashSet::new());
        inner.status.refused = 0;
    }

    pub(crate) fn list_ends(&self) {
        let mut inner = self.write();
        let listed = inner.listing.take().unwrap_or_default();
        let gone: Vec<(String, String)> = inner
            .objects
            .iter()
            .flat_map(|(namespace, names)| {
                names.keys().map(|name| (namespace.clone(), name.clone()))
            })
            .filter(|key| !listed.contains(key))
            .collect();
        for (namespace, name) in &gone {
            inner.forget(namespace, name);
        }
        inner.status.lists += 1;
        if !inner.status.listed {
            info!(
                kind = inner.status.kind,
                objects = inner.status.objects,
                bytes = inner.status.bytes,
                "Known from the cluster"
            );
        }
        inner.status.listed = true;
        drop(inner);
        self.changes.send_modify(|count| *count += 1);
    }

    /// The API server was heard of: all that is known is current.
    pub(crate) fn heard(&self) {
        let mut inner = self.write();
        inner.heard = Instant::now();
        inner.status.trouble = None;
    }

    /// Following broke off.
    pub(crate) fn failed(&self, trouble: String) {
        let mut inner = self.write();
        inner.status.failures += 1;
        inner.status.trouble = Some(trouble);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<F>> {
        // Nothing that could panic half way runs under this lock.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<F>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Inner<F> {
    fn forget(&mut self, namespace: &str, name: &str) {
        let Some(names) = self.objects.get_mut(namespace) else {
            return;
        };
        if let Some(entry) = names.remove(name) {
            self.status.bytes -= entry.weight;
            self.status.objects -= 1;
        }
        if names.is_empty() {
            self.objects.remove(namespace);
        }
    }

    fn refuse(&mut self, namespace: &str, name: &str) {
        self.status.refused += 1;
        // Once for each list, or the log would be as long as what is left out.
        if self.status.refused == 1 {
            warn!(
                kind = self.status.kind,
                namespace,
                name,
                bytes_max = self.status.bytes_max,
                "There is no room to know more objects: pods that need them are decided without"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(room_for: usize) -> Store<u32> {
        Store::new("things", room_for * (100 + OVERHEAD + 4))
    }

    #[test]
    fn what_is_not_in_a_list_is_gone_once_the_list_is_whole() {
        let store = store(10);
        store.set("ns", "a1", 1, 100);
        store.set("ns", "b1", 1, 100);
        store.list_begins();
        store.set("ns", "b1", 2, 100);
        assert!(store.get("ns", "a1").is_some(), "until then it stays");
        store.list_ends();
        assert_eq!(store.get("ns", "a1"), None);
        assert_eq!(store.get("ns", "b1").as_deref(), Some(&2));
        assert_eq!(store.status().objects, 1);
    }

    #[test]
    fn beyond_the_limit_nothing_is_taken_and_room_that_comes_free_is_used() {
        let store = store(2);
        for name in ["a1", "b1", "c1"] {
            store.set("ns", name, 1, 100);
        }
        assert_eq!((store.status().objects, store.status().refused), (2, 1));
        assert_eq!(store.get("ns", "c1"), None);
        store.remove("ns", "a1");
        store.set("ns", "c1", 1, 100);
        assert!(store.get("ns", "c1").is_some());
        // One that grows beyond the limit is not remembered as it was before.
        store.set("ns", "c1", 2, 200);
        assert_eq!(store.get("ns", "c1"), None);
        store.remove("ns", "b1");
        assert_eq!((store.status().objects, store.status().bytes), (0, 0));
    }

    proptest::proptest! {
        #[test]
        fn bytes_and_objects_are_counted_right(actions in proptest::collection::vec((0..3_u8, 0..6_u8, 0..500_usize), 0..100)) {
            let store: Store<usize> = Store::new("things", 2000);
            for (action, name, weight) in actions {
                let name = format!("{name}");
                match action {
                    0 => store.remove("ns", &name),
                    1 => { store.list_begins(); store.set("ns", &name, weight, weight); store.list_ends(); }
                    _ => store.set("ns", &name, weight, weight),
                }
                let inner = store.read();
                let entries = || inner.objects.values().flat_map(HashMap::values);
                proptest::prop_assert_eq!(inner.status.objects, entries().count());
                proptest::prop_assert_eq!(inner.status.bytes, entries().map(|entry| entry.weight).sum::<usize>());
                proptest::prop_assert!(inner.status.bytes <= 2000);
            }
        }
    }
}
