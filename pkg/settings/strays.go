package settings

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// variablesText has every variable of every program, one a line. A test of the command line, which knows all of them,
// holds it against the settings and writes it.
//
//go:embed variables.txt
var variablesText string

const (
	variablePrefix = "THROUGHLINE_"
	// anySource stands for a source's name in the variables that every source has.
	anySource = "<SOURCE>"
)

// notOurs are variables of our prefix that are no settings: those that Kubernetes makes of a Service that is named
// throughline-…, and those of tests.
var notOurs = regexp.MustCompile(`^THROUGHLINE_TEST_|_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?$`)

// strays gives a line for each variable of our prefix that is no setting of any program, and names the one that may be
// meant. environ is like os.Environ, named the text of THROUGHLINE_NAMED_SOURCES. No value is shown.
func strays(environ []string, named string) []string {
	var known []string
	for line := range strings.Lines(variablesText) {
		line = strings.TrimSpace(line)
		suffix, general := strings.CutPrefix(line, variablePrefix+anySource+"_")
		if !general {
			known = append(known, line)
			continue
		}
		for part := range strings.SplitSeq(named, ",") {
			name, _, _ := strings.Cut(part, "=")
			known = append(known, SourceVariable(strings.TrimSpace(name), suffix))
		}
	}
	var lines []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || notOurs.MatchString(name) {
			continue
		}
		line := name + " is set, and no setting has that name"
		if near := Nearest(name, known); near != "" && editDistance(name, near) <= mostSlips {
			line += fmt.Sprintf(": did you mean %s?", near)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// mostSlips is how many letters of a variable may be wrong for another to be meant.
const mostSlips = 4
