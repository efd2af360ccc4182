package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// vendorFlags say how a vendor's API is called.
type vendorFlags struct {
	Rate         float64 `name:"rate" placeholder:"REQUESTS" help:"Most requests a second; default: what the vendor allows, with room to spare."`
	AllowPrivate bool    `name:"egress-allow-private" env:"THROUGHLINE_EGRESS_ALLOW_PRIVATE" help:"Call the API also where its name leads to a private address or this machine, and by http: a gateway, or a fake."`
}

// check is for the command's Validate, which kong calls in the place of an embedded one.
func (f *vendorFlags) check() error {
	if !(f.Rate >= 0) || math.IsInf(f.Rate, 0) {
		return fmt.Errorf("--rate is %v: it should be above 0", f.Rate)
	}
	return nil
}

// client makes one for the API, and gives the source's settings. store shares the
// requests that the vendor allows with other processes, by a budget; nil: it is alone.
func (f *vendorFlags) client(s *session, pager source.Pager, store *pull.Store) (*egress.Client, *pull.Budget, settings.SourceSetting, error) {
	set := s.root.Sources.settings.Get(pager.Name())
	if set.APIKey == "" {
		variable := settings.SourceVariable(pager.Name(), "API_KEY")
		return nil, nil, set, usage("no key for the API: set %s, or %s_FILE to a file that holds it", variable, variable)
	}
	o := egress.Options{API: pager.API(), Key: set.APIKey, Address: set.APIURL, AddressSetting: settings.SourceVariable(pager.Name(), "API_URL"), AllowPrivate: f.AllowPrivate, Rate: f.Rate}
	var budget *pull.Budget
	if store != nil {
		budget = pull.NewBudget(store, pager, set.Tenant, f.Rate)
		o.Turns = budget
	}
	client, err := egress.New(o)
	if err != nil {
		return nil, nil, set, usage("%s: %v", settings.SourceVariable(pager.Name(), "API_URL"), err)
	}
	return client, budget, set, nil
}

// pagers gives the names of the sources whose API can be asked for past events.
func pagers(set source.Set) (can []string) {
	for _, src := range set.Sources() {
		if _, ok := src.(source.Pager); ok {
			can = append(can, src.Name())
		}
	}
	return can
}

// missingSource is the error of a command that was given no source.
func missingSource(can []string) error {
	return fmt.Errorf("missing <source>: one of %s", strings.Join(can, ", "))
}

// checkPager finds what is no source with an API, and no stream of it; a stream of "" is all.
func checkPager(set source.Set, name, stream string) error {
	if can := pagers(set); name == "" {
		return missingSource(can)
	} else if !slices.Contains(can, name) {
		return fmt.Errorf("%q is no source with an API that can be asked for past events: those are %s", name, strings.Join(can, ", "))
	}
	found, _ := set.Find(name)
	var streams []string
	for _, s := range found.(source.Pager).Streams() {
		streams = append(streams, s.Name)
	}
	if stream != "" && !slices.Contains(streams, stream) {
		return fmt.Errorf("%s has no stream %q: it has %s", name, stream, strings.Join(streams, ", "))
	}
	return nil
}

// pager gives a source that checkPager has seen, and its streams, or the one.
func (s *session) pager(name, stream string) (source.Pager, []source.Stream) {
	found, _ := s.root.Sources.set.Find(name)
	pager := found.(source.Pager)
	return pager, slices.DeleteFunc(slices.Clone(pager.Streams()), func(s source.Stream) bool { return stream != "" && s.Name != stream })
}

// withPublisher opens what publishes to a source's raw topic, once the brokers have
// answered: that is better known before than after the first page.
func (s *session) withPublisher(ctx context.Context, name string, use func(*pull.Publisher) error) error {
	cl, err := s.kafka(ctx)
	if err != nil {
		return err
	}
	cl.Close()
	publisher, err := pull.NewPublisher(stream.Config(s.root.Kafka), name, s.plainLog())
	if err != nil {
		return err
	}
	return errors.Join(use(publisher), publisher.Close())
}

// keyAdvised adds what to do about a key.
func keyAdvised(err error, name string) error {
	if fault.ReasonOf(err) == fault.Unauthenticated {
		return fault.Advise(err, "check "+settings.SourceVariable(name, "API_KEY"))
	}
	return err
}

// eachStream runs work for each stream in turn. One that fails stops no other, unless
// the others would fail as it did.
func eachStream(ctx context.Context, streams []source.Stream, work func(source.Stream) error) error {
	var failed []error
	for _, s := range streams {
		err := work(s)
		if err != nil && len(streams) > 1 {
			err = fmt.Errorf("stream %s: %w", s.Name, err)
		}
		failed = append(failed, err)
		if err != nil && (ctx.Err() != nil || fault.ReasonOf(err) == fault.Unauthenticated) {
			break
		}
	}
	return errors.Join(failed...)
}
