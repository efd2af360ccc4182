package standardwebhooks

import (
	"fmt"
	"iter"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Format is the format's name in THROUGHLINE_NAMED_SOURCES.
const Format = "standardwebhooks"

// window is the reference libraries' tolerance.
const window = 5 * time.Minute

// New makes the source of this name. mapping is the text of its mapping's file
// (see Mapping), or empty for the default. The error holds every problem of it,
// one a line, each with its path.
func New(name string, mapping []byte) (source.Webhook, error) {
	m, err := ParseMapping(mapping)
	if err != nil {
		return nil, err
	}
	return &named{name: name, mapping: m}, nil
}

// named is a sender's source.
type named struct {
	name    string
	mapping Mapping
}

var _ source.Signer = &named{}

// Name implements source.Source.
func (n *named) Name() string { return n.name }

// Mapping gives what lies where in the sender's events: for whoever makes some.
// It is not to be changed.
func (n *named) Mapping() Mapping { return n.mapping }

// Profile implements source.Source.
func (n *named) Profile() source.Profile {
	return source.Profile{
		Title:           fmt.Sprintf("%s (Standard Webhooks)", n.name),
		Limits:          source.Limits{BodyBytes: source.MaxRecordBytes, Events: 1},
		Kinds:           n.mapping.kinds(),
		Types:           n.mapping.types(),
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
