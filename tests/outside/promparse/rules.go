package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// rules are those of the formats that the parser leaves to the writer's care.
type rules struct {
	open     bool
	report   *Report
	complain func(line int, format string, args ...any)
	// The family whose lines come now.
	now *Family
	// The line of each series.
	seen map[string]int
}

// family is the one of a line of metadata: the present one, or a new one.
func (r *rules) family(line int, name string) *Family {
	if r.now != nil && r.now.Name == name {
		return r.now
	}
	if _, before := r.report.Families[name]; before {
		r.complain(line, "%s comes twice", name)
	}
	r.now = &Family{Name: name}
	r.report.Families[name] = r.now
	return r.now
}

func (r *rules) help(line int, name, help string) {
	family := r.family(line, name)
	if family.Help != "" || family.Count > 0 {
		r.complain(line, "HELP of %s comes late or twice", name)
	}
	if strings.TrimSpace(help) == "" {
		r.complain(line, "HELP of %s is empty", name)
	}
	family.Help = help
}

func (r *rules) kind(line int, name string, kind model.MetricType) {
	family := r.family(line, name)
	if family.Type != "" || family.Count > 0 {
		r.complain(line, "TYPE of %s comes late or twice", name)
	}
	family.Type = kind
	counted := strings.HasSuffix(name, "_total")
	if r.open && counted {
		r.complain(line, "%s: in OpenMetrics only the samples of a counter end in _total", name)
	}
	if !r.open && counted != (kind == model.MetricTypeCounter) {
		r.complain(line, "%s is a %s: counters end in _total, and nothing else does", name, kind)
	}
}

func (r *rules) unit(line int, name, unit string) {
	family := r.family(line, name)
	if family.Unit != "" || family.Count > 0 {
		r.complain(line, "UNIT of %s comes late or twice", name)
	}
	family.Unit = unit
}

func (r *rules) series(line int, series labels.Labels, value float64, timestamp *int64) {
	name := series.Get(labels.MetricName)
	family := r.now
	if family == nil || !slices.Contains(sampleNames(family, r.open), name) {
		r.complain(line, "%s does not belong to the family before it", name)
		return
	}
	if before, twice := r.seen[series.String()]; twice {
		r.complain(line, "%s was already there on line %d", series, before)
	}
	r.seen[series.String()] = line
	if timestamp != nil {
		r.complain(line, "%s has a timestamp: what is told is told of now", series)
	}
	if math.IsNaN(value) || family.Type == model.MetricTypeCounter && value < 0 {
		r.complain(line, "%s is %v", series, value)
	}
	family.Series = append(family.Series, series)
	family.Values = append(family.Values, value)
	family.Count++
}

func (r *rules) end() {
	for name, family := range r.report.Families {
		if family.Help == "" || family.Type == "" || family.Count == 0 {
			r.complain(0, "%s has HELP %q, TYPE %q and %d series", name, family.Help, family.Type, family.Count)
		}
		if family.Type == model.MetricTypeHistogram {
			r.histogram(family)
		}
		if !r.open {
			continue
		}
		for _, unit := range []string{"seconds", "bytes"} {
			if strings.HasSuffix(name, "_"+unit) && family.Unit != unit {
				r.complain(0, "%s has the unit %q", name, family.Unit)
			}
		}
	}
}

// histogram sees that buckets only grow and that the last one has all.
func (r *rules) histogram(family *Family) {
	type whole struct {
		bounds, counts []float64
		count          float64
		sum            bool
	}
	all := map[string]*whole{}
	for index, series := range family.Series {
		key := series.DropMetricName().MatchLabels(false, labels.BucketLabel).String()
		if all[key] == nil {
			all[key] = &whole{count: math.NaN()}
		}
		switch name := series.Get(labels.MetricName); {
		case strings.HasSuffix(name, "_count"):
			all[key].count = family.Values[index]
		case strings.HasSuffix(name, "_sum"):
			all[key].sum = true
		default:
			bound, err := strconv.ParseFloat(series.Get(labels.BucketLabel), 64)
			if err != nil {
				r.complain(0, "%s: %v", series, err)
			}
			all[key].bounds = append(all[key].bounds, bound)
			all[key].counts = append(all[key].counts, family.Values[index])
		}
	}
	for key, one := range all {
		last := len(one.bounds) - 1
		if last < 0 || !one.sum || !slices.IsSorted(one.bounds) || !slices.IsSorted(one.counts) ||
			!math.IsInf(one.bounds[last], 1) || one.counts[last] != one.count {
			r.complain(0, "%s%s: buckets %v hold %v of %v", family.Name, key, one.bounds, one.counts, one.count)
		}
	}
}

// sampleNames are the names that a family's samples may have.
func sampleNames(family *Family, open bool) []string {
	switch {
	case family.Type == model.MetricTypeCounter && open:
		return []string{family.Name + "_total"}
	case family.Type == model.MetricTypeHistogram:
		return []string{family.Name + "_bucket", family.Name + "_sum", family.Name + "_count"}
	default:
		return []string{family.Name}
	}
}
