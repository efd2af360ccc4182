package standardwebhooks

import (
	"fmt"
	"iter"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/mapping"
)

// Format is the format's name in THROUGHLINE_NAMED_SOURCES.
const Format = "standardwebhooks"

// window is the reference libraries' tolerance.
const window = 5 * time.Minute

// New makes the source of this name. text is its mapping's file (mapping.Mapping),
// or empty for the default, /type and /timestamp. The error holds every problem of
// it, one a line, each with its path.
func New(name string, text []byte) (source.Webhook, error) {
	m, err := mapping.Parse(text, mapping.Mapping{Type: "/type", Time: "/timestamp"})
	if err != nil {
		return nil, err
	}
	return &named{name: name, mapping: m}, nil
}

// named is a sender's source.
type named struct {
	name    string
	mapping mapping.Mapping
}

var _ source.Signer = &named{}

// Name implements source.Source.
func (n *named) Name() string { return n.name }

// Mapping gives what lies where in the sender's events: for whoever makes some.
// It is not to be changed.
func (n *named) Mapping() mapping.Mapping { return n.mapping }

// Profile implements source.Source.
func (n *named) Profile() source.Profile {
	return source.Profile{
		Title:           fmt.Sprintf("%s (Standard Webhooks)", n.name),
		Limits:          source.Limits{BodyBytes: source.MaxRecordBytes, Events: 1},
		Kinds:           n.mapping.Kinds(),
		Types:           n.mapping.EventTypes(),
		Volatile:        n.mapping.Volatile,
		SignatureWindow: window,
	}
}

// Split implements source.Webhook: a delivery is one event.
func (n *named) Split(d *source.Delivery) iter.Seq2[source.Part, error] { return source.Parts(d, 1) }

// Reply implements source.Webhook with the shared answers.
func (n *named) Reply(_ *source.Delivery, outcome error) source.Response {
	return source.DefaultReply(outcome)
}
