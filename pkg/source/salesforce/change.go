package salesforce

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// changes are the values of changeType. A gap event says that a record changed and
// not how; an overflow event not even which.
// Source: Change Data Capture developer guide, "Change Event Header Fields", "Gap
// Events", "Overflow Events".
var changes = []struct{ vendor, happened string }{
	{"CREATE", "created"}, {"UPDATE", "updated"}, {"DELETE", "deleted"}, {"UNDELETE", "undeleted"},
	{"GAP_CREATE", "gap.created"}, {"GAP_UPDATE", "gap.updated"}, {"GAP_DELETE", "gap.deleted"}, {"GAP_UNDELETE", "gap.undeleted"},
	{"GAP_OVERFLOW", "gap.overflow"},
}

const (
	// maxChanges bounds the events of a delivery of change events.
	maxChanges = 1000
	// maxChangesBytes bounds the records that a delivery becomes: one whose event has
	// many record ids repeats the event for each.
	maxChangesBytes = 8 * rawjson.MaxPageBytes

	headerName = "ChangeEventHeader"
	idsName    = "recordIds"
)

// change is a change event as it stands in JSON.
type change struct {
	payload, header rawjson.Value
	uuid            string
}

// changeOf finds a change event: {"schema":…,"payload":{"ChangeEventHeader":…},
// "event":{"EventUuid":…}}, also within "data" (a channel's message), with its id
// beside the payload (the Pub/Sub API's ProducerEvent), or the payload alone.
func changeOf(top rawjson.Value) (change, bool) {
	if data := top.Get("data"); data.Kind() == rawjson.Object {
		top = data
	}
	c := change{payload: top}
	if payload := top.Get("payload"); payload.Kind() == rawjson.Object {
		c.payload = payload
	}
	c.header = c.payload.Get(headerName)
	for _, at := range [][]string{{"event", "EventUuid"}, {"event", "id"}, {"id"}} {
		if c.uuid == "" {
			c.uuid = top.At(at...).Text()
		}
	}
	return c, c.header.Kind() == rawjson.Object
}

func (c change) describe(r source.Record, tenant string) (source.Event, error) {
	kind, changeType := c.header.Get("entityName").Text(), c.header.Get("changeType").Text()
	if kind == "" || changeType == "" {
		return source.Event{}, source.Malformed("the ChangeEventHeader has no entityName or no changeType")
	}
	happened := strings.ToLower(changeType)
	for _, known := range changes {
		if known.vendor == changeType {
			happened = known.happened
		}
	}
	event := source.Event{Type: typeOf(kind, happened), Tenant: tenant}
	ids := c.header.Get(idsName)
	if ids.Len() > 1 {
		return event, source.Malformed("the change event has %d recordIds: send it to the receiver, or publish it as a record of its own, and it is taken apart", ids.Len())
	}
	record := ""
	for _, id := range ids.Elements() {
		record = id.Text()
	}
	sequence, _ := c.header.Get("sequenceNumber").Int()
	identity := []string{"change", c.uuid, record}
	if c.uuid == "" {
		identity = []string{"change", c.header.Get("transactionKey").Text(), c.header.Get("sequenceNumber").Literal(), record}
	}
	if identity[1] == "" {
		return event, source.Malformed("the change event has neither an EventUuid nor a transactionKey")
	}
	id, ok := ID(record)
	if ok {
		identity[len(identity)-1] = id
	} // else a gap of all records of an object ("001*"), or none at all
	event.ID = source.ID(tenant, identity...)
	at, err := source.ParseTime(c.header.Get("commitTimestamp").Literal())
	if err != nil {
		return event, fmt.Errorf("reading commitTimestamp: %w", err)
	}
	// The changes of a transaction have one time; a timeline shows them in their order.
	const most = 999
	event.OccurredAt = at.Add(time.Duration(min(max(sequence-1, 0), most)) * time.Microsecond)
	if !r.Brief {
		event.References, event.Subject = references(c.payload, kind, id, tenant), subject(c.payload)
	}
	return event, nil
}

// splitChanges yields one record for each record id of each change event of a
// delivery in JSON.
func splitChanges(d *source.Delivery) iter.Seq2[source.Part, error] {
	return func(yield func(source.Part, error) bool) {
		events, left := maxChanges, maxChangesBytes
		for part, err := range source.Parts(d, maxChanges) {
			if err != nil {
				yield(part, err)
				return
			}
			ids := recordIDs(part.Object)
			n := max(1, ids.Len())
			events, left = events-n, left-n*len(part.Value)
			if events < 0 || left < 0 {
				yield(source.Part{}, fault.Permanent(fault.Oversized, fmt.Errorf(
					"the change events become more than %d records or %d bytes, one for each of their recordIds", maxChanges, maxChangesBytes)))
				return
			}
			if n == 1 {
				if !yield(part, nil) {
					return
				}
				continue
			}
			for _, id := range ids.Elements() {
				if !yield(source.Part{Value: narrow(nil, part.Object, false, id.Bytes())}, nil) {
					return
				}
			}
		}
	}
}

// recordIDs gives the ids of a change event that has several; else Missing. One that
// cannot be stored is not taken apart, so that it is refused as it came.
func recordIDs(event rawjson.Value) rawjson.Value {
	c, ok := changeOf(event)
	ids := c.header.Get(idsName)
	if !ok || ids.Kind() != rawjson.Array || ids.Len() < 2 || event.Check() != nil {
		return rawjson.Value{}
	}
	return ids
}

// narrow appends a change event as it would be with this record id alone.
func narrow(out []byte, v rawjson.Value, header bool, id []byte) []byte {
	if v.Kind() != rawjson.Object {
		return append(out, v.Bytes()...)
	}
	separator := byte('{')
	for name, member := range v.Members() {
		quoted, _ := json.Marshal(name) // every string has a JSON form
		out = append(append(append(out, separator), quoted...), ':')
		separator = ','
		switch {
		case header && name == idsName:
			out = append(append(append(out, '['), id...), ']')
		case !header && (name == "data" || name == "payload" || name == headerName):
			out = narrow(out, member, name == headerName, id)
		default:
			out = append(out, member.Bytes()...)
		}
	}
	if separator == '{' {
		out = append(out, '{')
	}
	return append(out, '}')
}

// List implements source.Lister: a query's answer, and a change event of several
// records, of which each is an event.
func (salesforce) List(page rawjson.Value) (elements rawjson.Value, ok bool) {
	if records := page.Get("records"); records.Kind() == rawjson.Array && page.Get("done").Exists() {
		return records, true
	}
	ids := recordIDs(page)
	if n := ids.Len(); n == 0 || n > maxChanges || n*len(page.Bytes()) > maxChangesBytes {
		return rawjson.Value{}, false
	}
	out := []byte{'['}
	for i, id := range ids.Elements() {
		if i > 0 {
			out = append(out, ',')
		}
		out = narrow(out, page, false, id.Bytes())
	}
	array, err := new(rawjson.Doc).ParseBody(append(out, ']'), 0)
	return array, err == nil
}
