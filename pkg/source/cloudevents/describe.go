package cloudevents

import (
	"encoding/base64"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe implements source.Source: source and id are the identity, and all else
// is where the mapping says.
func (n *named) Describe(r source.Record) (source.Event, error) {
	event := r.Object
	id, origin := event.Get("id").Text(), event.Get("source").Text()
	switch version := event.Get("specversion"); {
	case id == "" || origin == "" || !version.Exists():
		return source.Event{}, source.Malformed("this is no CloudEvent: it needs specversion, id, source and type")
	case !strings.HasPrefix(version.Text(), "1."):
		return source.Event{}, fault.Permanent(fault.Unsupported, source.Malformed("specversion %.10q is none of 1.x: let the sender send CloudEvents 1.0", version.Literal()))
	}
	identity, find := source.ID("", origin, id), rawjson.Pointer
	if encoded := event.Get("data_base64"); encoded.Exists() {
		data, err := decoded(event, encoded)
		if err != nil {
			return source.Event{ID: identity}, err
		}
		find = data.find
	}
	return n.mapping.Describe(n.name, identity, r, find)
}

// decodedData is the data of an event that came in base64: Missing unless it is
// JSON.
type decodedData struct{ value rawjson.Value }

func decoded(event, encoded rawjson.Value) (data decodedData, err error) {
	if event.Get("data").Exists() {
		return data, source.Malformed("the event has both data and data_base64")
	}
	text, err := base64.StdEncoding.AppendDecode(nil, encoded.TextBytes())
	if err != nil || encoded.Kind() != rawjson.String {
		return data, source.Malformed("data_base64 is not base64")
	}
	if isJSON(event.Get("datacontenttype").Text()) {
		data.value, _ = new(rawjson.Doc).ParseBody(text, 0) // what is no JSON has nothing where a pointer leads
	}
	return data, nil
}

// find implements mapping.Finder.
func (d decodedData) find(event rawjson.Value, pointer string) rawjson.Value {
	if rest, ok := strings.CutPrefix(pointer, "/data"); ok && (rest == "" || rest[0] == '/') {
		return rawjson.Pointer(d.value, rest)
	}
	return rawjson.Pointer(event, pointer)
}

// isJSON: data of this content type is JSON, as it is without any.
func isJSON(contentType string) bool {
	return (&source.Profile{}).Takes(contentType)
}
