package sourcetest

import (
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe is source.Keyed without the bounds of an event and the key, for a
// source's tests of what it makes of a record, with a time of receipt or without.
func Describe(s source.Source, r source.Record) (source.Event, error) {
	var doc rawjson.Doc
	object, err := doc.Parse(r.Value)
	if err != nil {
		return source.Event{}, err
	}
	r.Object = object
	return s.Describe(r)
}
