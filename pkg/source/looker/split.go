package looker

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// maxPlanBytes bounds scheduled_plan, because every row's record repeats it.
const maxPlanBytes = 64 << 10

// Split yields one record a row; see the package comment for their form and for
// what becomes of a delivery without rows. Rows are decoded as they are asked
// for: only the text of an attachment is held a second time.
func (l looker) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return func(yield func(source.Part, error) bool) {
		top, err := d.JSON()
		if err != nil {
			yield(source.Part{}, err)
			return
		}
		parts, err := open(top, d)
		if err != nil {
			yield(source.Part{}, err)
			return
		}
		if !parts.rows.Exists() {
			if n := len(top.Bytes()); n > source.MaxRecordBytes {
				yield(source.Part{}, fault.Permanent(fault.Oversized, fmt.Errorf(
					"%d bytes that cannot be read row by row, the bound is %d: %s", n, source.MaxRecordBytes, advice)))
				return
			}
			yield(source.Part{Value: top.Bytes(), Object: top, Tenant: parts.tenant}, nil)
			return
		}
		for row, err := range source.Elements(parts.rows, l.Profile().Limits.Events) {
			if err != nil {
				yield(source.Part{}, fmt.Errorf("reading the rows: %w", err))
				return
			}
			if !yield(parts.part(row), nil) {
				return
			}
		}
	}
}

// delivery is a body taken apart; its parts alias the body, except for rows that
// came as text.
type delivery struct {
	kind, plan rawjson.Value
	rows       rawjson.Value // an array; missing when there are no rows to read
	bare       bool          // the body is the array: its elements are records already
	day        string        // UTC day of the receipt
	tenant     string
}

// open finds the rows of a body.
func open(top rawjson.Value, d *source.Delivery) (delivery, error) {
	out := delivery{day: d.ReceivedAt.UTC().Format(time.DateOnly), tenant: host(d.Header.Get(instanceHeader))}
	switch top.Kind() {
	case rawjson.Array:
		out.rows, out.bare = top, true
		return out, nil
	case rawjson.Object:
	default:
		return out, fault.Permanent(fault.Malformed, errors.New("the body is neither a JSON object nor an array of rows"))
	}
	out.kind, out.plan = top.Get("type"), top.Get("scheduled_plan")
	if n := len(out.plan.Bytes()); n > maxPlanBytes {
		return out, fault.Permanent(fault.Oversized, fmt.Errorf("scheduled_plan has %d bytes, the bound is %d", n, maxPlanBytes))
	}
	if planHost := host(out.plan.Get("url").Text()); planHost != "" {
		out.tenant = planHost
	}
	var err error
	out.rows, err = rows(top)
	return out, err
}

// part makes a row's record.
func (p delivery) part(row source.Part) source.Part {
	row.Tenant = p.tenant
	if p.bare {
		return row
	}
	orNull := func(part rawjson.Value) []byte {
		if !part.Exists() {
			return []byte("null")
		}
		return part.Bytes()
	}
	kind, plan := orNull(p.kind), orNull(p.plan)
	out := make([]byte, 0, len(kind)+len(plan)+len(row.Value)+80)
	out = append(append(out, `{"type":`...), kind...)
	out = append(append(out, `,"scheduled_plan":`...), plan...)
	out = append(out, `,"received_on":"`+p.day+`","row":`...)
	out = append(append(out, row.Value...), '}')
	return source.Part{Value: out, Tenant: p.tenant}
}

// rows finds a delivery's array of rows: in attachment.data, else in data;
// missing when it has none that we read.
func rows(top rawjson.Value) (rawjson.Value, error) {
	attachment, data := top.Get("attachment"), top.Get("data")
	if attachment.Kind() == rawjson.Object {
		data = attachment.Get("data")
	}
	switch data.Kind() {
	case rawjson.Array:
		return data, nil
	case rawjson.String:
		if !saysJSON(attachment.Get("mimetype").Text(), attachment.Get("extension").Text()) {
			return rawjson.Value{}, nil
		}
	default:
		return rawjson.Value{}, nil
	}
	text := bytes.TrimSpace(data.TextBytes())
	if !bytes.HasPrefix(text, []byte("[")) {
		return rawjson.Value{}, nil
	}
	// The delivery's scan has held the body against the grammar, not this text.
	const rowsOnly = 1
	array, err := new(rawjson.Doc).ParseBody(text, rowsOnly)
	if err != nil {
		return rawjson.Value{}, fmt.Errorf("reading the rows in attachment.data: %w", err)
	}
	return array, nil
}

// saysJSON: the attachment's own words, where it has any. What is in base64
// ("…;base64") never looks like an array, so it needs no word here.
func saysJSON(mime, extension string) bool {
	return strings.Contains(extension, "json") || extension == "" && (mime == "" || strings.Contains(mime, "json"))
}
