//! One exposition from families: OpenMetrics by the library, and from that the older text format,
//! which many tools still ask for. Pure.

use std::fmt::Write as _;

use outrigger_telemetry::{Point, PointKind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::family::{Family, Kind, Sample, Value};
use super::recorder::{BUCKETS, Histogram};

/// The two formats that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Classic,
}

impl Format {
    /// What a scraper's `Accept` header asks for: OpenMetrics where it is named and preferred no less
    /// than plain text, the older format otherwise.
    pub fn accepted(accept: Option<&str>) -> Self {
        let quality = |name: &str| {
            accept
                .unwrap_or("")
                .split(',')
                .filter(|part| part.trim_start().starts_with(name))
                .map(|part| {
                    part.split(';')
                        .find_map(|parameter| parameter.trim().strip_prefix("q="))
                        .and_then(|q| q.trim().parse::<f64>().ok())
                        .unwrap_or(1.0)
                })
                .fold(0.0, f64::max)
        };
        let open = quality("application/openmetrics-text");
        if open > 0.0 && open >= quality("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The exposition of these families, each sample with the constant labels.
pub fn encode(
    families: &[Family],
    constant: &[(String, String)],
    format: Format,
) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    for family in families {
        registry.register_collector(Box::new(Encoded {
            family: family.clone(),
            constant: constant.to_vec(),
        }));
    }
    let mut open = String::new();
    text::encode(&mut open, &registry)?;
    match format {
        Format::OpenMetrics => Ok(open),
        Format::Classic => classic(&open),
    }
}

/// One family on its way into the library.
#[derive(Debug)]
struct Encoded {
    family: Family,
    constant: Vec<(String, String)>,
}

impl Encoded {
    fn labels(&self, sample: &Sample) -> Vec<(String, String)> {
        let own = sample.labels.iter();
        own.chain(&self.constant).cloned().collect()
    }
}

impl Collector for Encoded {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let family = &self.family;
        if family.samples.is_empty() {
            return Ok(());
        }
        let kind = match family.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
            Kind::Unknown => MetricType::Unknown,
        };
        let help = escape_help(&family.help);
        let (name, unit) = unit(&family.name);
        let mut metric = encoder.encode_descriptor(name, &help, unit.as_ref(), kind)?;
        for sample in &family.samples {
            let labels = self.labels(sample);
            if labels.is_empty() {
                value(&mut metric, family.kind, &sample.value)?;
            } else {
                value(
                    &mut metric.encode_family(&labels)?,
                    family.kind,
                    &sample.value,
                )?;
            }
        }
        Ok(())
    }
}

/// A name without its unit, which the library puts at its end again and tells of as `# UNIT`.
fn unit(name: &str) -> (&str, Option<Unit>) {
    for (suffix, unit) in [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)] {
        if let Some(rest) = name.strip_suffix(suffix) {
            return (rest, Some(unit));
        }
    }
    (name, None)
}

fn value(
    encoder: &mut MetricEncoder<'_>,
    kind: Kind,
    value: &Value,
) -> Result<(), std::fmt::Error> {
    type NoExemplar<'a> = Option<&'a Exemplar<NoLabels, f64>>;
    type NoLabels = [(String, String); 0];
    match value {
        Value::Number(value) if kind == Kind::Counter => {
            encoder.encode_counter(value, NoExemplar::None)
        }
        Value::Number(value) => encoder.encode_gauge(value),
        Value::Histogram(histogram) => encoder.encode_histogram::<NoLabels>(
            histogram.sum,
            histogram.count,
            &buckets(histogram),
            None,
        ),
    }
}

/// Each bucket alone, as the library takes them: it sums them up itself.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let bounded: u64 = histogram.counts.iter().sum();
    BUCKETS
        .into_iter()
        .zip(histogram.counts)
        .chain([(f64::INFINITY, histogram.count - bounded)])
        .collect()
}

fn escape_help(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n")
}

/// The older text format from OpenMetrics: a counter is named as its samples are, kinds that it does
/// not know are `untyped`, there is no end mark.
fn classic(open: &str) -> Result<String, std::fmt::Error> {
    let mut out = String::with_capacity(open.len());
    // HELP comes before TYPE, and its name depends on it.
    let mut help: Option<(&str, &str)> = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.split_once(' ').unwrap_or((rest, "")));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let kind = if kind == "unknown" { "untyped" } else { kind };
            if let Some((helped, text)) = help.take()
                && helped == name
            {
                writeln!(out, "# HELP {name}{suffix} {text}")?;
            }
            writeln!(out, "# TYPE {name}{suffix} {kind}")?;
        } else if !line.starts_with('#') {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out)
}

/// The same families for the export over OTLP; of a histogram its sum and count.
pub fn points(families: &[Family], constant: &[(String, String)]) -> Vec<Point> {
    let mut points = Vec::new();
    for family in families {
        for sample in &family.samples {
            let labels: Vec<_> = sample.labels.iter().chain(constant).cloned().collect();
            let mut push = |suffix: &str, kind, value| {
                points.push(Point {
                    name: format!("{}{suffix}", family.name),
                    help: family.help.clone(),
                    kind,
                    labels: labels.clone(),
                    value,
                });
            };
            match &sample.value {
                Value::Number(value) if family.kind == Kind::Counter => {
                    push("", PointKind::Counter, *value);
                }
                Value::Number(value) => push("", PointKind::Gauge, *value),
                Value::Histogram(histogram) => {
                    push("_sum", PointKind::Counter, histogram.sum);
                    push("_count", PointKind::Counter, as_f64(histogram.count));
                }
            }
        }
    }
    points
}

/// A count as a sample's value.
#[expect(
    clippy::cast_precision_loss,
    reason = "the exposition's numbers are floats; counts stay far below 2^53"
)]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_scraper_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        let table = [
            (Some(prometheus), Format::OpenMetrics),
            (Some("text/plain"), Format::Classic),
            (
                Some("text/plain;q=0.9,application/openmetrics-text;q=0.2"),
                Format::Classic,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Classic),
            (Some("*/*"), Format::Classic),
            (None, Format::Classic),
        ];
        for (accept, format) in table {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn help_and_label_values_cannot_break_a_line() {
        let family = Family::new("a", Kind::Gauge, "one\ntwo \\").with(&[("l", "x\"\n\\y")], 1.5);
        let text = encode(&[family], &[], Format::OpenMetrics).unwrap();
        assert_eq!(
            text,
            "# HELP a one\\ntwo \\\\\n# TYPE a gauge\na{l=\"x\\\"\\n\\\\y\"} 1.5\n# EOF\n"
        );
    }

    #[test]
    fn the_unit_that_a_name_ends_in_is_told_where_the_format_has_a_place_for_it() {
        let families = [
            Family::new("a_seconds", Kind::Counter, "time").with(&[], 2.0),
            Family::new("b_bytes", Kind::Gauge, "size").with(&[("l", "x")], 1.0),
        ];
        assert_eq!(
            encode(&families, &[], Format::OpenMetrics).unwrap(),
            "# HELP a_seconds time\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 2.0\n\
             # HELP b_bytes size\n# TYPE b_bytes gauge\n# UNIT b_bytes bytes\nb_bytes{l=\"x\"} 1.0\n# EOF\n"
        );
        assert_eq!(
            encode(&families, &[], Format::Classic).unwrap(),
            "# HELP a_seconds_total time\n# TYPE a_seconds_total counter\na_seconds_total 2.0\n\
             # HELP b_bytes size\n# TYPE b_bytes gauge\nb_bytes{l=\"x\"} 1.0\n"
        );
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples_and_has_no_end_mark() {
        let families = [
            Family::new("a", Kind::Counter, "counts").with(&[], 2.0),
            Family::new("b", Kind::Unknown, "who knows").with(&[], 1.0),
        ];
        let constant = [("cluster".to_owned(), "prod".to_owned())];
        let text = encode(&families, &constant, Format::Classic).unwrap();
        assert_eq!(
            text,
            "# HELP a_total counts\n# TYPE a_total counter\na_total{cluster=\"prod\"} 2.0\n\
             # HELP b who knows\n# TYPE b untyped\nb{cluster=\"prod\"} 1.0\n"
        );
    }
}
