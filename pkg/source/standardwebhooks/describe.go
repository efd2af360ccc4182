package standardwebhooks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe implements source.Source: all is where the mapping says.
func (n *named) Describe(r source.Record) (source.Event, error) {
	m := &n.mapping
	vendor := rawjson.Pointer(r.Object, m.Type).Literal()
	if vendor == "" {
		return source.Event{}, malformed(fmt.Errorf("the event has no type at %s", m.Type))
	}
	id, err := m.identity(r.Object)
	if err != nil {
		return source.Event{}, err
	}
	tenant := m.text(r.Object, m.Tenant)
	if tenant == "" {
		tenant = r.Tenant
	}
	occurred, err := m.occurredAt(r)
	if err != nil {
		return source.Event{ID: id, Type: m.typeName(vendor), Tenant: tenant}, err
	}
	refs := source.References{Source: n.name, Tenant: tenant}
	for _, ref := range m.References {
		refs.Add(ref.Kind, m.text(r.Object, ref.ID))
	}
	return source.Event{
		ID: id, Type: m.typeName(vendor), OccurredAt: occurred, Tenant: tenant, References: refs.List(),
		Subject: m.text(r.Object, m.Subject), Test: m.isTest(r.Object),
	}, nil
}

// text is what an optional pointer leads to, "" for none.
func (m *Mapping) text(event rawjson.Value, pointer string) string {
	if pointer == "" {
		return ""
	}
	return rawjson.Pointer(event, pointer).Literal()
}

// identity is the event's id, or a hash of what it says.
func (m *Mapping) identity(event rawjson.Value) (string, error) {
	if m.ID == "" {
		sum := sha256.Sum256(rawjson.Canonical(event, m.Volatile...))
		return "sha256:" + hex.EncodeToString(sum[:]), nil
	}
	id := rawjson.Pointer(event, m.ID).Literal()
	if id == "" {
		return "", malformed(fmt.Errorf("the event has no id at %s", m.ID))
	}
	return id, nil
}

// occurredAt is the event's time, or that of its receipt where it gives none.
func (m *Mapping) occurredAt(r source.Record) (time.Time, error) {
	at := rawjson.Pointer(r.Object, m.Time)
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
		return time.Time{}, malformed(errors.New("what is at " + m.Time + " is not a time"))
	}
}

func (m *Mapping) typeName(vendor string) string {
	if name, ok := m.Types[vendor]; ok {
		return name
	}
	return source.TypeName(vendor)
}

// isTest: the event says that it is not live.
func (m *Mapping) isTest(event rawjson.Value) bool {
	if m.Livemode == "" {
		return false
	}
	live := rawjson.Pointer(event, m.Livemode)
	return live.Kind() == rawjson.Bool && !live.Bool()
}

func malformed(err error) error { return fault.Permanent(fault.Malformed, err) }
