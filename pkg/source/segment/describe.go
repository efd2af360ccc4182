package segment

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe reads a call of Segment's spec; see the package comment.
func (s segment) Describe(r source.Record) (source.Event, error) {
	e := r.Object
	call := e.Get("type").Text()
	eventType, ok := typeOf(call, e)
	if !ok {
		return source.Event{}, source.Malformed("type %.20q is no call of Segment's spec: post events as they are, not in a shape of the mapping's", call)
	}
	id := e.Get("messageId").Literal()
	if id == "" {
		sum := sha256.Sum256(rawjson.Canonical(e, "/sentAt", "/receivedAt"))
		id = "sha256:" + hex.EncodeToString(sum[:])
	}
	event := source.Event{ID: source.ID(r.Tenant, id), Type: eventType, Tenant: r.Tenant}
	var err error
	if event.OccurredAt, err = occurredAt(e, r.ReceivedAt); err != nil {
		return event, err
	}
	if !r.Brief {
		event.References, event.Subject = s.references(e, call, r.Tenant), subject(e, call)
	}
	return event, nil
}

// occurredAt is when it happened, by the first time that is there.
func occurredAt(e rawjson.Value, received time.Time) (time.Time, error) {
	for _, field := range [...]string{"timestamp", "originalTimestamp", "receivedAt"} {
		text := e.Get(field)
		if !text.Exists() || text.Kind() == rawjson.Null {
			continue
		}
		at, err := source.ParseTime(text.Literal())
		if err != nil {
			return at, fmt.Errorf("reading %s: %w", field, err)
		}
		if noted, err := source.ParseTime(e.Get("receivedAt").Literal()); err == nil && plausible(noted) &&
			(!plausible(at) || at.After(noted.Add(source.MaxClockAhead))) {
			return noted, nil
		}
		return at, nil
	}
	return received, nil
}

func plausible(at time.Time) bool { return !at.Before(source.OldestOccurredAt) }

// subject is the line that a person would read: the event's name, the page's, the
// group's.
func subject(e rawjson.Value, call string) string {
	switch call {
	case "track":
		return e.Get("event").Text()
	case "page", "screen":
		if name := e.Get("name").Text(); name != "" {
			return name
		}
		return e.At("properties", "title").Text()
	case "group":
		return e.At("traits", "name").Text()
	}
	return ""
}
