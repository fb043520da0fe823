package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Problem is one thing that is wrong. Line counts from 1; 0 is the whole.
type Problem struct {
	Where   string
	Line    int
	Message string
}

func (p Problem) String() string {
	var where []string
	if p.Where != "" {
		where = append(where, p.Where)
	}
	if p.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", p.Line))
	}
	return strings.Join(append(where, p.Message), ": ")
}

// Family is what an exposition tells of one metric.
type Family struct {
	Name   string           `json:"-"`
	Type   model.MetricType `json:"type"`
	Help   string           `json:"help"`
	Unit   string           `json:"unit,omitempty"`
	Series []labels.Labels  `json:"-"`
	Count  int              `json:"series"`
	Values []float64        `json:"-"`
}

// Report is what was read.
type Report struct {
	Entries  map[string]int     `json:"entries"`
	Families map[string]*Family `json:"families"`
}

// read parses an exposition to its end, or to the first thing that Prometheus cannot read.
func read(text []byte, contentType string) (*Report, []Problem) {
	report := &Report{Entries: map[string]int{}, Families: map[string]*Family{}}
	var problems []Problem
	complain := func(line int, format string, args ...any) {
		problems = append(problems, Problem{Line: line, Message: fmt.Sprintf(format, args...)})
	}

	parser, err := textparse.New(text, contentType, nil, textparse.ParserOptions{})
	if err != nil {
		complain(0, "%v", err)
		return report, problems
	}

	open := strings.HasPrefix(contentType, "application/openmetrics-text")
	lines := lineNumbers(text)
	rules := rules{open: open, report: report, complain: complain, seen: map[string]int{}}
	for at := 0; ; at++ {
		line := 0
		if at < len(lines) {
			line = lines[at]
		}
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			complain(line, "%v", err)
			return report, problems
		}
		switch entry {
		case textparse.EntryHelp:
			report.Entries["help"]++
			name, help := parser.Help()
			rules.help(line, string(name), string(help))
		case textparse.EntryType:
			report.Entries["type"]++
			name, kind := parser.Type()
			rules.kind(line, string(name), kind)
		case textparse.EntryUnit:
			report.Entries["unit"]++
			name, unit := parser.Unit()
			rules.unit(line, string(name), string(unit))
		case textparse.EntrySeries:
			report.Entries["series"]++
			_, timestamp, value := parser.Series()
			var series labels.Labels
			parser.Labels(&series)
			rules.series(line, series, value, timestamp)
		case textparse.EntryComment:
			report.Entries["comment"]++
		default:
			complain(line, "an entry of kind %d that a text exposition cannot have", entry)
		}
	}
	rules.end()
	if !open {
		problems = append(problems, lint(text)...)
	}
	return report, problems
}

// lineNumbers has the lines that are entries: in both formats an entry is one line.
func lineNumbers(text []byte) []int {
	var numbers []int
	for index, line := range bytes.Split(text, []byte("\n")) {
		if len(bytes.TrimSpace(line)) > 0 {
			numbers = append(numbers, index+1)
		}
	}
	return numbers
}

// lint reads the older format with the other reader of the Prometheus project, and asks its linter.
func lint(text []byte) []Problem {
	found, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		return []Problem{{Message: "promlint: " + err.Error()}}
	}
	var problems []Problem
	for _, problem := range found {
		problems = append(problems, Problem{Message: "promlint: " + problem.Metric + ": " + problem.Text})
	}
	return problems
}
