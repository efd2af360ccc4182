package segment

import (
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// calls are those of Segment's spec but track, whose events have names of their own.
var calls = []source.EventType{
	{Vendor: "identify", Type: "user.identified"},
	{Vendor: "group", Type: "group.identified"},
	{Vendor: "page", Type: "page.viewed"},
	{Vendor: "screen", Type: "screen.viewed"},
	{Vendor: "alias", Type: "user.aliased"},
	{Vendor: "delete", Type: "user.deleted"},
}

// typeOf names an event; ok is false for what is no call.
func typeOf(call string, e rawjson.Value) (name string, ok bool) {
	if call == "track" {
		event := e.Get("event").Text()
		return source.TypeName(event), event != ""
	}
	for _, c := range calls {
		if c.Vendor == call {
			return c.Type, true
		}
	}
	return "", false
}

// eventTypes is what the documentation shows.
func eventTypes() []source.EventType {
	return append([]source.EventType{{Vendor: "track (by its event's name: Order Completed)", Type: "order.completed"}}, calls...)
}
