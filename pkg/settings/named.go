package settings

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// NamedSource is a source that a person names: the deliveries of one sender, in
// a format that many senders have in common.
type NamedSource struct {
	Name   string // the source everywhere: in its topic, path, column and settings
	Format string // how its deliveries are read: standardwebhooks, cloudevents, …
}

const (
	namedFlag = "named-sources"
	namedEnv  = "THROUGHLINE_NAMED_SOURCES"

	maxNamedSources = 100 // each has its own topic, settings and series of metrics
	maxSourceName   = 40  // it stands in topics, paths, labels and every row
)

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// NamedSources reads the text of THROUGHLINE_NAMED_SOURCES: name=format,
// separated by commas. vendors are the names that are taken, formats those that
// there are. It gives the sources that are right, in their order, and every
// problem of the others at once.
func NamedSources(text string, vendors, formats []string) ([]NamedSource, error) {
	var sources []NamedSource
	var problems []error
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue // nothing is named, or a comma ends the list
		}
		if len(sources) == maxNamedSources {
			return sources, errors.Join(append(problems, fmt.Errorf("%s names more than %d sources", namedEnv, maxNamedSources))...)
		}
		name, format, _ := strings.Cut(part, "=")
		source := NamedSource{Name: strings.TrimSpace(name), Format: strings.TrimSpace(format)}
		wrong := source.problems(vendors, formats)
		if slices.ContainsFunc(sources, func(s NamedSource) bool { return s.Name == source.Name }) {
			wrong = append(wrong, fmt.Errorf("%s names %q twice", namedEnv, source.Name))
		}
		if len(wrong) == 0 {
			sources = append(sources, source)
		}
		problems = append(problems, wrong...)
	}
	return sources, errors.Join(problems...)
}

func (s NamedSource) problems(vendors, formats []string) []error {
	var problems []error
	switch {
	case len(s.Name) > maxSourceName:
		problems = append(problems, fmt.Errorf("%s has a name of %d characters: %d are the most", namedEnv, len(s.Name), maxSourceName))
	case !sourceName.MatchString(s.Name):
		problems = append(problems, fmt.Errorf("%s has the name %q: a name is of lower case letters, digits and single dashes, and begins with a letter", namedEnv, s.Name))
	case slices.Contains(vendors, s.Name):
		problems = append(problems, fmt.Errorf("%s has the name %q, which is a vendor's", namedEnv, s.Name))
	}
	if !slices.Contains(formats, s.Format) {
		problems = append(problems, fmt.Errorf("%s gives %q the format %q: the formats are %s", namedEnv, s.Name, s.Format, strings.Join(formats, ", ")))
	}
	return problems
}
