package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// A Finder gives what a JSON pointer leads to in an event. rawjson.Pointer is one.
type Finder func(event rawjson.Value, pointer string) rawjson.Value

// Describe says of a record of the source of this name what the mapping says. id
// is the event's identity, which its format knows how to find (Identity is one
// way).
func (m *Mapping) Describe(name, id string, r source.Record, find Finder) (source.Event, error) {
	text := func(pointer string) string {
		if pointer == "" {
			return ""
		}
		return find(r.Object, pointer).Literal()
	}
	vendor := text(m.Type)
	if vendor == "" {
		return source.Event{ID: id}, source.Malformed("the event has no type at %s", m.Type)
	}
	event := source.Event{ID: id, Type: m.typeName(vendor), Tenant: text(m.Tenant)}
	if event.Tenant == "" {
		event.Tenant = r.Tenant
	}
	var err error
	if event.OccurredAt, err = m.occurredAt(r, find); err != nil {
		return event, err
	}
	if !r.Brief {
		refs := source.References{Source: name, Tenant: event.Tenant}
		for _, ref := range m.References {
			refs.Add(ref.Kind, text(ref.ID))
		}
		event.References, event.Subject = refs.List(), text(m.Subject)
	}
	if m.Livemode != "" {
		live := find(r.Object, m.Livemode)
		event.Test = live.Kind() == rawjson.Bool && !live.Bool()
	}
	return event, nil
}

// Identity is the id that the mapping leads to, or a hash of what the event says.
func (m *Mapping) Identity(event rawjson.Value) (string, error) {
	if m.ID == "" {
		sum := sha256.Sum256(rawjson.Canonical(event, m.Volatile...))
		return "sha256:" + hex.EncodeToString(sum[:]), nil
	}
	id := rawjson.Pointer(event, m.ID).Literal()
	if id == "" {
		return "", source.Malformed("the event has no id at %s", m.ID)
	}
	return id, nil
}

// occurredAt is the event's time, or that of its receipt where it gives none.
func (m *Mapping) occurredAt(r source.Record, find Finder) (time.Time, error) {
	at := find(r.Object, m.Time)
	switch at.Kind() {
	case rawjson.Missing, rawjson.Null:
		return r.ReceivedAt, nil
	case rawjson.String, rawjson.Number:
		t, err := source.ParseTime(at.Literal())
		if err != nil {
			return t, fmt.Errorf("reading %s: %w", m.Time, err)
		}
		return t, nil
	default:
		return time.Time{}, source.Malformed("what is at %s is not a time", m.Time)
	}
}

func (m *Mapping) typeName(vendor string) string {
	if name, ok := m.Types[vendor]; ok {
		return name
	}
	return source.TypeName(vendor)
}
