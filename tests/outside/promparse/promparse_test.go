package main

import (
	"slices"
	"strings"
	"testing"
)

const (
	open    = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	classic = "text/plain; version=0.0.4; charset=utf-8"
)

func TestWhatIsWrongIsFoundWithItsLine(t *testing.T) {
	head := "# HELP a one\n# TYPE a gauge\n"
	for name, one := range map[string]struct{ contentType, text, problem string }{
		"no end":               {open, head + "a 1\n", "does not end with # EOF"},
		"after the end":        {open, head + "a 1\n# EOF\na 2\n", "unexpected data after # EOF"},
		"a broken value":       {open, head + "a one\n# EOF\n", "line 3: "},
		"a broken label":       {classic, head + "a{l=\"x} 1\n", "line 3: "},
		"no help":              {open, "# TYPE a gauge\na 1\n# EOF\n", "HELP \"\""},
		"no type":              {open, "# HELP a one\na 1\n# EOF\n", "TYPE \"\""},
		"twice":                {open, head + "a 1\na 1\n# EOF\n", "line 4: {__name__=\"a\"} was already there on line 3"},
		"another family":       {open, head + "a 1\nb 1\n# EOF\n", "line 4: b does not belong"},
		"a family in pieces":   {open, head + "a 1\n# HELP b two\n# TYPE b gauge\nb 1\n" + head + "a{x=\"y\"} 1\n# EOF\n", "a comes twice"},
		"a counter's name":     {open, "# HELP a one\n# TYPE a counter\na 1\n# EOF\n", "line 3: a does not belong"},
		"a total that is none": {classic, "# HELP a_total one\n# TYPE a_total gauge\na_total 1\n", "counters end in _total"},
		"a counter without":    {classic, "# HELP a one\n# TYPE a counter\na 1\n", "counters end in _total"},
		"no unit":              {open, "# HELP a_seconds one\n# TYPE a_seconds gauge\na_seconds 1\n# EOF\n", "has the unit \"\""},
		"another unit":         {open, "# HELP a_seconds one\n# TYPE a_seconds gauge\n# UNIT a_seconds bytes\na_seconds 1\n# EOF\n", "line 3: "},
		"too few in the last":  {open, "# HELP a one\n# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 3\n# EOF\n", "buckets"},
		"an unknown format":    {"text/html", head + "a 1\n", "text/html"},
	} {
		_, problems := read([]byte(one.text), one.contentType)
		found := slices.ContainsFunc(problems, func(problem Problem) bool {
			return strings.Contains(problem.String(), one.problem)
		})
		if !found {
			t.Errorf("%s: no problem with `%s` in %v", name, one.problem, problems)
		}
	}
}

func TestWhatIsRightHasNoProblem(t *testing.T) {
	for _, one := range []struct{ contentType, text string }{
		{open, "# HELP a_seconds one\\ntwo\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{x=\"y\"} 1.5\n" +
			"# HELP b two\n# TYPE b histogram\nb_bucket{le=\"1.0\"} 2\nb_bucket{le=\"+Inf\"} 3\nb_sum 1\nb_count 3\n# EOF\n"},
		{classic, "# HELP a_total one\n# TYPE a_total counter\na_total 1\n"},
	} {
		report, problems := read([]byte(one.text), one.contentType)
		if len(problems) > 0 || report.Entries["series"] == 0 {
			t.Errorf("%v in\n%s", problems, one.text)
		}
	}
}

func TestTheDocumentedSeriesAreThoseOfTheSection(t *testing.T) {
	markdown := "# A\n`x_not` \n## Metrics\n\nLabelled `replica`: `a_up`, `a_b_total`.\n\n## Drain\n`x_y`\n"
	if names := documentedSeries(markdown); !slices.Equal(names, []string{"a_up", "a_b_total"}) {
		t.Error(names)
	}
}
