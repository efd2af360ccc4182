// Package pulltest pulls from a fake of a vendor's API in tests, with the loop and the
// HTTP client that a backfill has, and keeps in memory what would be published.
package pulltest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Puller pulls from one fake.
type Puller struct {
	T      testing.TB
	Source source.Pager
	URL    string // of the fake
	Key    string
	Tenant string

	mu     sync.Mutex
	events []source.Event
	bodies [][]byte
}

// Client gives the HTTP client of a pull. It is closed with the test.
func (p *Puller) Client() *egress.Client {
	p.T.Helper()
	const most = 4 << 20
	c, err := egress.New(egress.Options{API: p.Source.API(), Key: settings.Secret(p.Key), Address: p.URL, AllowPrivate: true, Rate: 1e6, MostBytes: most})
	require.NoError(p.T, err)
	p.T.Cleanup(c.Close)
	return c
}

// Pull runs with what change makes of the usual options: a stream since a month ago,
// short pauses, and not long asked again. No error may hold the key.
func (p *Puller) Pull(stream string, change func(*pull.Options)) (pull.Report, error) {
	p.T.Helper()
	o := pull.Options{
		Source: p.Source, API: p.Client(), Publish: p.publish, By: "test", Stream: stream, Tenant: p.Tenant,
		From:   time.Now().Add(-30 * 24 * time.Hour),
		Pauses: retry.Policy{First: time.Millisecond, Most: 5 * time.Millisecond},
	}
	if change != nil {
		change(&o)
	}
	report, err := pull.Run(p.T.Context(), o)
	if err != nil {
		require.NotContains(p.T, err.Error(), p.Key)
	}
	return report, err
}

func (p *Puller) publish(_ context.Context, records []source.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range records {
		_, event, err := source.Keyed(p.Source, r)
		if err != nil {
			event = source.Event{ID: "unread"}
		}
		p.events = append(p.events, event)
		p.bodies = append(p.bodies, slices.Clone(r.Value))
	}
	return nil
}

// Events gives what was published, in order.
func (p *Puller) Events() []source.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// Bodies gives the bytes of what was published, in order.
func (p *Puller) Bodies() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.bodies)
}

// IDs gives the identities of what was published, each once, sorted.
func (p *Puller) IDs() (ids []string) {
	for _, e := range p.Events() {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
