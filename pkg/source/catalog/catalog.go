// Package catalog is the one list of sources: the vendors', and those that the
// settings name. A process makes its source.Set here once, at the start, and hands
// it to whoever needs sources.
package catalog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/cloudevents"
	"github.com/throughline-dev/throughline/pkg/source/hubspot"
	"github.com/throughline-dev/throughline/pkg/source/intercom"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/pkg/source/marketo"
	"github.com/throughline-dev/throughline/pkg/source/salesforce"
	"github.com/throughline-dev/throughline/pkg/source/segment"
	"github.com/throughline-dev/throughline/pkg/source/standardwebhooks"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/source/zendesk"
)

// options are what a person set for one source alone.
type options struct {
	hubspot    hubspot.Options
	looker     looker.Columns
	segment    segment.Options
	salesforce salesforce.Options
}

// vendors gives the vendors' sources, in the order in which people see them.
func vendors(o options) []source.Source {
	return []source.Source{
		stripe.New(),
		hubspot.Configured(o.hubspot),
		zendesk.New(),
		intercom.New(),
		marketo.New(),
		looker.Configured(o.looker),
		segment.Configured(o.segment),
		salesforce.Configured(o.salesforce),
	}
}

// Format is how the deliveries of many senders are signed and read. It becomes a
// source when a person names one (THROUGHLINE_NAMED_SOURCES).
type Format struct {
	Name string
	// New makes a source of this name. mapping is the text of the file that says
	// what lies where in its events, or empty. The error holds every problem of it.
	New func(name string, mapping []byte) (source.Webhook, error)
}

// Formats gives every format.
func Formats() []Format {
	return []Format{{standardwebhooks.Format, standardwebhooks.New}, {cloudevents.Format, cloudevents.New}}
}

// Named is a source that a person names.
type Named struct {
	Name    string // the source everywhere: topic, path, column, settings
	Format  string // a Format's name
	Mapping string // path of the mapping's file, or ""
}

// maxMappingBytes bounds what is read of a mapping's file.
const maxMappingBytes = 1 << 20

// With gives the vendors' sources and the named ones, whose mappings are read from
// their files. The error holds every problem, one a line, each with its setting.
func With(named []Named) (source.Set, error) { return with(options{}, named) }

func with(o options, named []Named) (source.Set, error) {
	sources := vendors(o)
	var problems []error
	for _, n := range named {
		s, err := n.open()
		if err != nil {
			problems = append(problems, err)
			continue
		}
		sources = append(sources, s)
	}
	set, err := source.NewSet(sources...)
	if err := errors.Join(append(problems, err)...); err != nil {
		return source.Set{}, err
	}
	return set, nil
}

func (n Named) open() (source.Source, error) {
	i := slices.IndexFunc(Formats(), func(f Format) bool { return f.Name == n.Format })
	if i < 0 {
		return nil, fmt.Errorf("--named-sources gives %q the format %q, which there is not", n.Name, n.Format)
	}
	var mapping []byte
	if n.Mapping != "" {
		file, err := os.Open(n.Mapping)
		if err != nil {
			return nil, fmt.Errorf("--%s-mapping: %w", n.Name, err)
		}
		defer file.Close()
		if mapping, err = io.ReadAll(io.LimitReader(file, maxMappingBytes)); err != nil {
			return nil, fmt.Errorf("--%s-mapping: %w", n.Name, err)
		}
	}
	s, err := Formats()[i].New(n.Name, mapping)
	if err == nil {
		return s, nil
	}
	problems := []error{err}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		problems = several.Unwrap()
	}
	for i, problem := range problems {
		problems[i] = fmt.Errorf("--%s-mapping: %w", n.Name, problem)
	}
	return nil, errors.Join(problems...)
}

// Set gives the vendors' sources: those that there are without a setting.
func Set() source.Set {
	set, _ := source.NewSet(vendors(options{})...) // a test holds their names apart
	return set
}
