package source

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Typer is implemented by sources that can tell what type most of their events are of
// without making the identity, which costs more than all else of a Brief record.
type Typer interface {
	Source

	// TypeOf gives the type of a record whose Object has been checked. ok is true only
	// where Keyed takes the record, gives it this type, and calls it no test. False says
	// nothing at all: that is for Keyed to judge.
	TypeOf(r Record) (eventType string, ok bool)
}

// Typed gives what Keyed says of a record's type, and whether it is test data, for whoever
// counts events and asks for few identities.
func Typed(s Source, r Record) (eventType string, test bool, err error) {
	r.Brief = true
	if typer, ok := s.(Typer); ok && r.Object.Noted() && r.Object.Check() == nil {
		if eventType, ok := typer.TypeOf(r); ok {
			return eventType, false, nil
		}
	}
	_, event, err := Keyed(s, r)
	return event.Type, event.Test, err
}

// Certain reports, for a Typer, that a text is one that every bound takes, as nearly all are:
// printable ASCII of 1 to most bytes, a blank at neither end.
func Certain(text []byte, most int) bool {
	if len(text) == 0 || len(text) > most || text[0] == ' ' || text[len(text)-1] == ' ' {
		return false
	}
	for _, c := range text {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// CertainTime reports, for a Typer, that ParseTime reads a text or a number, and that an event of
// that time is plausible when it was received then. It reads the usual forms only.
func CertainTime(v rawjson.Value, receivedAt time.Time) bool {
	text := v.Bytes()
	if v.Kind() == rawjson.String {
		text = v.TextBytes()
	}
	at, ok := epochOf(text)
	if !ok && at.UnmarshalText(text) != nil { // what is RFC 3339 to the letter is so to everybody
		return false
	}
	return at.After(OldestOccurredAt) && !at.After(receivedAt.Add(MaxClockAhead))
}

// epochOf reads a whole number since 1970, as ParseTime does.
func epochOf(text []byte) (at time.Time, ok bool) {
	const most = 18 // an int64 holds any of so many
	if len(text) == 0 || len(text) > most {
		return at, false
	}
	n := int64(0)
	for _, c := range text {
		if !isDigit(c) {
			return at, false
		}
		n = 10*n + int64(c-'0')
	}
	at, _ = sinceEpoch(n)
	return at, true
}
