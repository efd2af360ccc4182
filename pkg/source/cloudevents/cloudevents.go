package cloudevents

import (
	"fmt"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/mapping"
)

// Format is the format's name in THROUGHLINE_NAMED_SOURCES.
const Format = "cloudevents"

// New makes the source of this name. text is its mapping's file (mapping.Mapping),
// or empty for the default, /type and /time; it has no id. The error holds every
// problem of it, one a line, each with its path.
func New(name string, text []byte) (source.Webhook, error) {
	m, err := mapping.Parse(text, mapping.Mapping{Type: "/type", Time: "/time"}, "id")
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

var (
	_ source.Signer     = &named{}
	_ source.Handshaker = &named{}
	_ source.Former     = &named{}
)

// Name implements source.Source.
func (n *named) Name() string { return n.name }

// Mapping gives what lies where in the sender's events: for whoever makes some.
// It is not to be changed.
func (n *named) Mapping() mapping.Mapping {
	m := n.mapping
	m.ID = "/id"
	return m
}

// Constants gives members that an event has beside what Mapping says, by their
// JSON pointers: for whoever makes some.
func (n *named) Constants() map[string]string {
	return map[string]string{"/specversion": "1.0", "/source": "/" + n.name}
}

// Profile bounds a batch by what may lie in a body. The specification asks
// receivers for events of 64 KiB and leaves batches open.
func (n *named) Profile() source.Profile {
	return source.Profile{
		Title:      fmt.Sprintf("%s (CloudEvents)", n.name),
		Limits:     source.Limits{BodyBytes: rawjson.MaxPageBytes, Events: 5000},
		Kinds:      n.mapping.Kinds(),
		Types:      n.mapping.EventTypes(),
		Volatile:   n.mapping.Volatile,
		Transcodes: true,
	}
}

// Form implements source.Former: data in base64 is data all the same, and what is
// known of its type besides tells nothing.
func (*named) Form(event rawjson.Value) source.Form {
	form := source.Form{Name: "data", Ignored: []string{"/datacontenttype"}}
	if event.Get("data_base64").Exists() {
		form.Name = "data_base64"
	}
	return form
}

// Reply implements source.Webhook with the shared answers.
func (*named) Reply(_ *source.Delivery, outcome error) source.Response {
	return source.DefaultReply(outcome)
}
