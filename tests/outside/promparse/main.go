// Promparse reads an exposition with Prometheus's own parser, and strictly.
//
//	promparse --content-type TYPE < EXPOSITION    one exposition; the counts as JSON
//	promparse --documented FILE URL…              of each URL both formats, against what is documented
//
// It exits with 1 when anything is wrong, each problem on a line of its own with the line where it is.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	contentType := flag.String("content-type", "", "of the exposition on standard input")
	documented := flag.String("documented", "", "the Markdown file whose section `## Metrics` names the workload's series")
	flag.Parse()

	var problems []Problem
	var report any
	switch {
	case *documented != "" && flag.NArg() > 0:
		report, problems = checkAll(*documented, flag.Args())
	case *contentType != "" && flag.NArg() == 0:
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			fatal(err)
		}
		report, problems = read(text, *contentType)
	default:
		flag.Usage()
		os.Exit(2)
	}

	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(report); err != nil {
		fatal(err)
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "promparse:", err)
	os.Exit(1)
}
