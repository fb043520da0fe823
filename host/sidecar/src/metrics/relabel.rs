//! Relabels what was scraped, by a profile's rules and as Prometheus does. Pure.
//!
//! Where two series become one, their numbers are added: counters, gauges and the parts of histograms
//! stay what they were of both. Quantiles cannot be added: such series are left out.

use std::collections::HashMap;

use outrigger_profile::{Relabel, RelabelAction, SourceLabels};

use super::family::{Family, Kind, Sample, Value};

/// The label that stands for the metric's own name.
const NAME: &str = "__name__";

/// Labels without which the parts of a histogram or a summary are nothing.
const PARTS: [&str; 2] = ["le", "quantile"];

type Labels = Vec<(String, String)>;

/// Applies the rules to every sample, in order.
pub(super) fn relabel(families: &mut Vec<Family>, rules: &[Relabel]) {
    if rules.is_empty() {
        return;
    }
    for family in families.iter_mut() {
        let name = match family.kind {
            Kind::Counter => format!("{}_total", family.name),
            _ => family.name.clone(),
        };
        family.samples.retain_mut(|sample| {
            rules
                .iter()
                .all(|rule| apply(rule, &name, &mut sample.labels))
        });
        merge(&mut family.samples);
    }
    families.retain(|family| !family.samples.is_empty());
}

/// One rule on one sample. False where the sample goes.
fn apply(rule: &Relabel, name: &str, labels: &mut Labels) -> bool {
    let regex = &rule.regex;
    match &rule.action {
        RelabelAction::Keep(source) => return regex.matches(&joined(source, name, labels)),
        RelabelAction::Drop(source) => return !regex.matches(&joined(source, name, labels)),
        RelabelAction::LabelKeep => {
            labels.retain(|(label, _)| is_part(label) || regex.matches(label));
        }
        RelabelAction::LabelDrop => {
            labels.retain(|(label, _)| is_part(label) || !regex.matches(label));
        }
        RelabelAction::Replace {
            source,
            target,
            replacement,
        } => {
            if let Some(value) = regex.replace(&joined(source, name, labels), replacement) {
                set(labels, target, value);
            }
        }
    }
    true
}

fn is_part(label: &str) -> bool {
    PARTS.contains(&label)
}

/// The values of labels, one after the other; a label that is not there has an empty one.
fn joined(source: &SourceLabels, name: &str, labels: &Labels) -> String {
    let value = |label: &String| {
        if label == NAME {
            return name;
        }
        let found = labels.iter().find(|(known, _)| known == label);
        found.map_or("", |(_, value)| value.as_str())
    };
    let values: Vec<&str> = source.labels.iter().map(value).collect();
    values.join(&source.separator)
}

/// A label with an empty value is none.
fn set(labels: &mut Labels, target: &str, value: String) {
    let place = labels.iter().position(|(label, _)| label == target);
    match (place, value.is_empty()) {
        (Some(place), true) => drop(labels.remove(place)),
        (Some(place), false) => labels[place].1 = value,
        (None, true) => {}
        (None, false) => labels.push((target.to_owned(), value)),
    }
}

/// Makes one of what has the same labels now.
fn merge(samples: &mut Vec<Sample>) {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(samples.len());
    let mut merged: Vec<Sample> = Vec::with_capacity(samples.len());
    let mut unclear: Vec<usize> = Vec::new();
    for sample in samples.drain(..) {
        let mut key = sample.labels.clone();
        key.sort();
        let place = *places.entry(key).or_insert(merged.len());
        let Some(first) = merged.get_mut(place) else {
            merged.push(sample);
            continue;
        };
        if sample.labels.iter().any(|(label, _)| label == "quantile") {
            unclear.push(place);
        }
        if let (Value::Number(sum), Value::Number(more)) = (&mut first.value, &sample.value) {
            *sum += more;
        }
    }
    let mut place = 0;
    merged.retain(|_| {
        place += 1;
        !unclear.contains(&(place - 1))
    });
    *samples = merged;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::encode::{Format, encode};
    use crate::metrics::parse;

    /// What rules of a profile make of an exposition.
    fn relabelled(rules: &str, text: &str) -> String {
        let document = format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: Profile\nmetadata: {{name: db}}\nspec:\n  \
             workload: {{container: db, ports: {{metrics: 80}}}}\n  metrics:\n    scrape: [{{port: metrics, relabel: {rules}}}]\n"
        );
        let (profile, findings) = outrigger_profile::parse(&document, "outrigger.yaml");
        let profile = profile.unwrap_or_else(|| panic!("{findings}"));
        by(&profile, text)
    }

    fn by(profile: &outrigger_profile::Profile, text: &str) -> String {
        let mut families = parse(text).unwrap();
        relabel(&mut families, &profile.metrics.scrape[0].relabel);
        let all = encode(&families, &[], Format::Classic).unwrap();
        all.split_inclusive('\n')
            .filter(|line| !line.starts_with('#'))
            .collect()
    }

    /// What a built-in profile makes of it.
    fn built_in(name: &str, text: &str) -> String {
        let files = outrigger_profile::builtin::builtin(name).unwrap().files;
        let document = files.iter().find(|(name, _)| *name == "outrigger.yaml");
        let (profile, _) = outrigger_profile::parse(document.unwrap().1, "outrigger.yaml");
        by(&profile.unwrap(), text)
    }

    const SHARDS: &str = "\
# TYPE wal counter
wal_total{shard=\"1\",node=\"a-0\"} 1
wal_total{shard=\"2\",node=\"a-0\"} 2
lag{shard=\"1\"} 7
";

    #[test]
    fn each_action_does_what_it_does_in_prometheus() {
        for (rules, left) in [
            (
                "[]",
                "wal_total{shard=\"1\",node=\"a-0\"} 1.0\nwal_total{shard=\"2\",node=\"a-0\"} 2.0\nlag{shard=\"1\"} 7.0\n",
            ),
            (
                "[{action: keep, source-labels: [__name__], regex: wal_total}]",
                "wal_total{shard=\"1\",node=\"a-0\"} 1.0\nwal_total{shard=\"2\",node=\"a-0\"} 2.0\n",
            ),
            (
                "[{action: drop, source-labels: [__name__, shard], regex: 'wal_total;1|lag;.*'}]",
                "wal_total{shard=\"2\",node=\"a-0\"} 2.0\n",
            ),
            (
                "[{action: labeldrop, regex: n.*}, {action: keep, source-labels: [node], regex: ''}]",
                "wal_total{shard=\"1\"} 1.0\nwal_total{shard=\"2\"} 2.0\nlag{shard=\"1\"} 7.0\n",
            ),
            (
                "[{action: labelkeep, regex: shard}]",
                "wal_total{shard=\"1\"} 1.0\nwal_total{shard=\"2\"} 2.0\nlag{shard=\"1\"} 7.0\n",
            ),
            (
                "[{source-labels: [node], regex: '(.+)-(\\d+)', target-label: ordinal, replacement: $2}, {action: labeldrop, regex: node}]",
                "wal_total{shard=\"1\",ordinal=\"0\"} 1.0\nwal_total{shard=\"2\",ordinal=\"0\"} 2.0\nlag{shard=\"1\"} 7.0\n",
            ),
            // No match changes nothing, an empty result takes the label away.
            (
                "[{source-labels: [shard], regex: '1', target-label: shard, replacement: ''}, {action: drop, source-labels: [shard], regex: '2'}]",
                "wal_total{node=\"a-0\"} 1.0\nlag 7.0\n",
            ),
            (
                "[{target-label: zone, replacement: x}, {action: labelkeep, regex: zone}, {action: drop, source-labels: [__name__], regex: wal_total}]",
                "lag{zone=\"x\"} 7.0\n",
            ),
        ] {
            assert_eq!(relabelled(rules, SHARDS), left, "{rules}");
        }
    }

    #[test]
    fn series_that_become_one_are_added_and_quantiles_left_out() {
        let text = "\
# TYPE took histogram
took_bucket{node=\"a\",le=\"1\"} 2
took_bucket{node=\"a\",le=\"+Inf\"} 3
took_sum{node=\"a\"} 4.5
took_count{node=\"a\"} 3
took_bucket{node=\"b\",le=\"1\"} 1
took_bucket{node=\"b\",le=\"+Inf\"} 1
took_sum{node=\"b\"} 0.5
took_count{node=\"b\"} 1
# TYPE pause summary
pause{node=\"a\",quantile=\"0.5\"} 2
pause{node=\"b\",quantile=\"0.5\"} 4
pause_count{node=\"a\"} 1
pause_count{node=\"b\"} 1
";
        let left = "\
took_bucket{le=\"1\"} 3.0
took_bucket{le=\"+Inf\"} 4.0
took_sum 5.0
took_count 4.0
pause_count 2.0
";
        assert_eq!(relabelled("[{action: labeldrop, regex: '.*'}]", text), left);
    }

    /// As a Piko server tells of itself, and of one that was restarted: the old start's ID and the new one.
    const PIKO: &str = include_str!("testdata/piko.prom");

    #[test]
    fn pikos_node_ids_become_the_names_of_their_pods() {
        assert_eq!(
            built_in("piko", PIKO),
            "\
piko_cluster_nodes{status=\"active\"} 3.0
piko_cluster_nodes{status=\"left\"} 1.0
piko_gossip_entries{deleted=\"false\",internal=\"false\",node_id=\"piko-0\"} 3.0
piko_gossip_entries{deleted=\"false\",internal=\"false\",node_id=\"piko-1\"} 3.0
piko_gossip_entries{deleted=\"false\",internal=\"false\",node_id=\"piko-2\"} 7.0
piko_upstreams_remote_requests_total{node_id=\"piko-2\"} 5.0
"
        );
    }

    #[test]
    fn oxias_constant_labels_are_dropped() {
        assert_eq!(
            built_in("oxia-server", include_str!("testdata/oxia.prom")),
            "\
oxia_server_leaders_count 1.0
oxia_server_wal_append_latency_milliseconds_bucket{oxia_namespace=\"default\",shard=\"0\",le=\"5\"} 37.0
oxia_server_wal_append_latency_milliseconds_bucket{oxia_namespace=\"default\",shard=\"0\",le=\"+Inf\"} 38.0
oxia_server_wal_append_latency_milliseconds_sum{oxia_namespace=\"default\",shard=\"0\"} 61.5
oxia_server_wal_append_latency_milliseconds_count{oxia_namespace=\"default\",shard=\"0\"} 38.0
"
        );
    }
}
