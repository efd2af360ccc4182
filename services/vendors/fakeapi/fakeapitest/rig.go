// Package fakeapitest pulls from the fake APIs, in tests, into a list.
package fakeapitest

import (
	"context"
	"net/http"
	"net/http/httptest"
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

// Rig pulls from a fake as the puller does, by its loop and its client. What would be
// published is kept.
type Rig struct {
	T      *testing.T
	Source source.Pager
	URL    string // of the fake
	Key    string
	Store  *pull.Store // nil: no checkpoints

	mu  sync.Mutex
	Got []Got
}

// Got is an event that was published.
type Got struct {
	source.Event
	Value []byte
	Err   error // why it could not be read
}

// Serve gives the address of a fake.
func Serve(t *testing.T, fake http.Handler) string {
	t.Helper()
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return server.URL
}

// Client gives a client of the fake like the puller's.
func (r *Rig) Client() *egress.Client {
	r.T.Helper()
	client, err := egress.New(egress.Options{API: r.Source.API(), Key: settings.Secret(r.Key), Address: r.URL, AllowPrivate: true, Rate: 1e6, MostBytes: 8 << 20})
	require.NoError(r.T, err)
	r.T.Cleanup(client.Close)
	return client
}

// Pull pulls a stream of the last year, with what change makes of the usual options.
// No error holds the key.
func (r *Rig) Pull(stream string, change func(*pull.Options)) (pull.Report, error) {
	r.T.Helper()
	o := pull.Options{
		Source: r.Source, API: r.Client(), Publish: r.publish, Store: r.Store, Stream: stream, By: "test",
		From: time.Now().Add(-365 * 24 * time.Hour), Pauses: retry.Policy{First: time.Millisecond, Most: 5 * time.Millisecond},
	}
	if change != nil {
		change(&o)
	}
	report, err := pull.Run(r.T.Context(), o)
	if err != nil {
		require.NotContains(r.T, err.Error(), r.Key)
	}
	return report, err
}

func (r *Rig) publish(_ context.Context, records []source.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range records {
		_, event, err := source.Keyed(r.Source, record)
		r.Got = append(r.Got, Got{event, record.Value, err})
	}
	return nil
}

// IDs gives the events' ids, each once, in order.
func (r *Rig) IDs() []string {
	var ids []string
	for _, got := range r.Got {
		require.NoError(r.T, got.Err, "%s", got.Value)
		ids = append(ids, got.ID)
	}
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

// Of gives the events of this type.
func (r *Rig) Of(eventType string) []Got {
	var of []Got
	for _, got := range r.Got {
		require.NoError(r.T, got.Err, "%s", got.Value)
		if got.Type == eventType {
			of = append(of, got)
		}
	}
	return of
}

// Keys gives an event's references.
func (g Got) Keys() []string {
	var keys []string
	for _, ref := range g.References {
		keys = append(keys, ref.Key())
	}
	return keys
}
