package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// What Prometheus asks for, with the answer that it must get.
var formats = []struct{ accept, contentType string }{
	{
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
		"application/openmetrics-text; version=1.0.0; charset=utf-8",
	},
	{"text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"},
}

// own are the sidecar's series that dashboards and alerts stand on.
var own = []string{
	"outrigger_build_info", "outrigger_peers", "outrigger_peers_desired", "outrigger_discovery_stale_seconds",
	"outrigger_renders_total", "outrigger_probe_pass", "outrigger_role", "outrigger_plugin_info",
	"outrigger_plugin_calls_total", "outrigger_plugin_call_duration_seconds_bucket", "outrigger_derive_up",
	"outrigger_draining",
}

// documentedSeries are the names in code marks of the section `## Metrics`.
func documentedSeries(markdown string) []string {
	_, section, _ := strings.Cut(markdown, "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for _, found := range regexp.MustCompile("`([a-z][a-z0-9]*_[a-z0-9_]+)`").FindAllStringSubmatch(section, -1) {
		names = append(names, found[1])
	}
	return names
}

// checkAll scrapes every URL in both formats.
func checkAll(documented string, urls []string) (map[string]map[string]int, []Problem) {
	counts := map[string]map[string]int{}
	markdown, err := os.ReadFile(documented)
	if err != nil {
		return counts, []Problem{{Message: err.Error()}}
	}
	series := documentedSeries(string(markdown))
	if len(series) == 0 {
		return counts, []Problem{{Where: documented, Message: "no section `## Metrics` that names series"}}
	}
	var problems []Problem
	for _, url := range urls {
		var names [][]string
		for _, format := range formats {
			text, contentType, err := scrape(url, format.accept)
			if err == nil && contentType != format.contentType {
				err = fmt.Errorf("asked for %s, got %s", format.accept, contentType)
			}
			if err != nil {
				problems = append(problems, Problem{Where: url, Message: err.Error()})
				break
			}
			report, found := read(text, contentType)
			have := seriesNames(report)
			found = append(found, compare(report, have, series)...)
			if strings.HasPrefix(contentType, "application/openmetrics-text") != strings.HasSuffix(string(text), "\n# EOF\n") {
				found = append(found, Problem{Message: "`# EOF` ends OpenMetrics, and nothing else"})
			}
			short, _, _ := strings.Cut(contentType, ";")
			for _, problem := range found {
				problem.Where = url + " as " + short
				problems = append(problems, problem)
			}
			if len(found) > 0 {
				fmt.Fprintf(os.Stderr, "%s as %s was:\n%s\n", url, short, text)
			}
			counts[url+" as "+short] = report.Entries
			names = append(names, have)
		}
		if len(names) < len(formats) {
			continue
		}
		// Series may have come between the two scrapes; none goes.
		for _, name := range names[0] {
			if strings.HasPrefix(name, "outrigger_") && !slices.Contains(names[1], name) {
				problems = append(problems, Problem{Where: url, Message: name + " is told in OpenMetrics and not in the older format"})
			}
		}
	}
	return counts, problems
}

// compare wants what is documented and nothing of the workload's that is not.
func compare(report *Report, have, documented []string) []Problem {
	var problems []Problem
	for _, name := range slices.Concat(own, documented) {
		if !slices.Contains(have, name) {
			problems = append(problems, Problem{Message: name + " is documented and missing"})
		}
	}
	for _, name := range have {
		if !strings.HasPrefix(name, "outrigger_") && !slices.Contains(documented, name) {
			problems = append(problems, Problem{Message: name + " is there and not documented"})
		}
	}
	for name, family := range report.Families {
		if family.Type == model.MetricTypeUnknown {
			problems = append(problems, Problem{Message: name + " has no type"})
		}
	}
	if build := report.Families["outrigger_build_info"]; build != nil && (build.Count != 1 || build.Values[0] != 1 || build.Series[0].Get("version") == "") {
		problems = append(problems, Problem{Message: "outrigger_build_info is not one series of 1 with a version"})
	}
	return problems
}

func seriesNames(report *Report) []string {
	var names []string
	for _, family := range report.Families {
		for _, series := range family.Series {
			names = append(names, series.Get(labels.MetricName))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func scrape(url, accept string) ([]byte, string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Accept", accept)
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return text, answer.Header.Get("Content-Type"), err
}
