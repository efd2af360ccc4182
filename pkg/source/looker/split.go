package looker

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// maxPlanBytes bounds scheduled_plan, because every row's record repeats it.
const maxPlanBytes = 64 << 10

// Split yields one record a row; see the package comment for their form and for
// what becomes of a delivery without rows. Rows are decoded as they are asked
// for: only the text of an attachment is held a second time.
func (l looker) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		body := bytes.TrimSpace(d.Body)
		parts, err := l.open(body, d)
		if err != nil {
			yield(source.Record{}, err)
			return
		}
		if parts.rows == nil {
			if len(body) > source.MaxRecordBytes {
				yield(source.Record{}, fault.Permanent(fault.Oversized, fmt.Errorf(
					"%d bytes that cannot be read row by row, the bound is %d: %s", len(body), source.MaxRecordBytes, advice)))
				return
			}
			yield(l.record(body, parts.tenant, d), nil)
			return
		}
		for row, err := range source.Elements(parts.rows, l.Profile().Limits.Events) {
			if err != nil {
				yield(source.Record{}, fmt.Errorf("reading the rows: %w", err))
				return
			}
			if !yield(l.record(parts.wrap(row), parts.tenant, d), nil) {
				return
			}
		}
	}
}

// record gives a value its key and tenant; one that Describe refuses has no key
// and goes to quarantine by itself.
func (l looker) record(value []byte, tenant string, d *source.Delivery) source.Record {
	r := source.Record{Value: value, Tenant: tenant, Mode: source.Webhook, ReceivedAt: d.ReceivedAt}
	if event, err := l.Describe(r); err == nil {
		r.Tenant, r.Key = event.Tenant, source.RecordKey(event.References, event.ID)
	}
	return r
}

// delivery is a body taken apart; its parts alias the body, except for rows that
// came as text.
type delivery struct {
	kind, plan []byte // exact bytes, or nil
	rows       []byte // a JSON array, or nil when there are no rows to read
	bare       bool   // the body is the array: its elements are records already
	day        string // UTC day of the receipt
	tenant     string
}

// open finds the rows of a body.
func (looker) open(body []byte, d *source.Delivery) (delivery, error) {
	out := delivery{day: d.ReceivedAt.UTC().Format(time.DateOnly), tenant: host(d.Header.Get(instanceHeader))}
	if bytes.HasPrefix(body, []byte("[")) {
		out.rows, out.bare = body, true
		return out, nil
	}
	if !bytes.HasPrefix(body, []byte("{")) {
		return out, fault.Permanent(fault.Malformed, errors.New("the body is neither a JSON object nor an array of rows"))
	}
	var attachment, data []byte
	err := members(body, func(name string, value []byte) {
		switch name {
		case "type":
			out.kind = value
		case "scheduled_plan":
			out.plan = value
		case "attachment":
			attachment = value
		case "data":
			data = value
		}
	})
	if err != nil {
		return out, err
	}
	if len(out.plan) > maxPlanBytes {
		return out, fault.Permanent(fault.Oversized, fmt.Errorf("scheduled_plan has %d bytes, the bound is %d", len(out.plan), maxPlanBytes))
	}
	if planHost := planTenant(out.plan); planHost != "" {
		out.tenant = planHost
	}
	out.rows, err = rows(attachment, data)
	return out, err
}

// wrap makes a row's record.
func (p delivery) wrap(row []byte) []byte {
	if p.bare {
		return row
	}
	orNull := func(part []byte) []byte {
		if part == nil {
			return []byte("null")
		}
		return part
	}
	out := make([]byte, 0, len(p.kind)+len(p.plan)+len(row)+80)
	out = append(append(out, `{"type":`...), orNull(p.kind)...)
	out = append(append(out, `,"scheduled_plan":`...), orNull(p.plan)...)
	out = append(out, `,"received_on":"`+p.day+`","row":`...)
	return append(append(out, row...), '}')
}

// rows finds a delivery's array of rows: in attachment.data, else in data; nil
// when it has none that we read.
func rows(attachment, data []byte) ([]byte, error) {
	var mime, extension string
	if bytes.HasPrefix(attachment, []byte("{")) {
		data = nil
		err := members(attachment, func(name string, value []byte) {
			switch name {
			case "mimetype":
				mime = unquote(value)
			case "extension":
				extension = unquote(value)
			case "data":
				data = value
			}
		})
		if err != nil {
			return nil, err
		}
	}
	switch {
	case bytes.HasPrefix(data, []byte("[")):
		return data, nil
	case bytes.HasPrefix(data, []byte(`"`)) && saysJSON(mime, extension):
		text, err := jsontext.AppendUnquote(nil, data)
		if err != nil {
			return nil, fault.Permanent(fault.Malformed, fmt.Errorf("reading attachment.data: %w", err))
		}
		if text = bytes.TrimSpace(text); !bytes.HasPrefix(text, []byte("[")) {
			return nil, nil
		}
		// The receiver has held the body against the grammar, not this text.
		if err := source.ValidateBody(text); err != nil {
			return nil, fmt.Errorf("reading the rows in attachment.data: %w", err)
		}
		return text, nil
	}
	return nil, nil
}

// saysJSON: the attachment's own words, where it has any. What is in base64
// ("…;base64") never looks like an array, so it needs no word here.
func saysJSON(mime, extension string) bool {
	return strings.Contains(extension, "json") || extension == "" && (mime == "" || strings.Contains(mime, "json"))
}

// members gives the top-level names and exact values of a JSON object, the first
// of each name only, without copying them.
func members(object []byte, each func(name string, value []byte)) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := dec.ReadToken()
	seen := map[string]bool{}
	for err == nil && dec.PeekKind() == '"' {
		var key, value jsontext.Value
		if key, err = dec.ReadValue(); err != nil {
			break
		}
		name := unquote(key)
		if value, err = dec.ReadValue(); err == nil && !seen[name] {
			seen[name] = true
			end := dec.InputOffset()
			each(name, object[end-int64(len(value)):end:end])
		}
	}
	if err == nil {
		_, err = dec.ReadToken() // the closing brace
	}
	if err != nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("reading the delivery: %w", err))
	}
	return nil
}

// unquote is the text of a JSON string, "" for anything else.
func unquote(value []byte) string {
	if !bytes.HasPrefix(value, []byte(`"`)) {
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return ""
	}
	return string(text)
}
