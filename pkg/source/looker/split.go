package looker

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The bounds of what each record repeats, the plan above all, and of all records
// of one delivery together, which without them could be a thousand times its body.
const (
	maxFrameBytes   = 64 << 10
	maxRecordsBytes = 8 * maxBody
)

// Split implements source.Webhook. It yields one record a row; see the package
// comment for their form and for what becomes of a delivery without rows. Only
// the text of an attachment is held a second time: records are made as they are
// asked for.
func (l looker) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	top, err := d.JSON()
	if err != nil || top.Kind() != rawjson.Object {
		return source.Parts(d, l.Profile().Limits.Events) // rows of System Activity as they are, or no rows at all
	}
	return func(yield func(source.Part, error) bool) {
		tenant := planHost(top.Get("scheduled_plan"))
		array, err := rows(top)
		switch size := len(top.Bytes()); {
		case err != nil:
			yield(source.Part{}, err)
			return
		case array.Exists():
		case size > source.MaxRecordBytes:
			yield(source.Part{}, fault.Permanent(fault.Oversized, fmt.Errorf("%d bytes and %w", size, errNoRows)))
			return
		default:
			yield(source.Part{Value: top.Bytes(), Object: top, Tenant: tenant}, nil)
			return
		}
		frame, err := frameOf(top, array, d.ReceivedAt)
		if err != nil {
			yield(source.Part{}, err)
			return
		}
		for row, err := range source.Elements(array, l.Profile().Limits.Events) {
			if err != nil {
				yield(source.Part{}, fmt.Errorf("reading the rows: %w", err))
				return
			}
			value := make([]byte, 0, len(frame)+len(row.Value)+len("}"))
			value = append(append(append(value, frame...), row.Value...), '}')
			if !yield(source.Part{Value: value, Tenant: tenant}, nil) {
				return
			}
		}
	}
}

// frameOf is what stands before the row in each record of a delivery of these rows.
func frameOf(top, rows rawjson.Value, receivedAt time.Time) ([]byte, error) {
	orNull := func(v rawjson.Value) []byte {
		if !v.Exists() {
			return []byte("null")
		}
		return v.Bytes()
	}
	frame := fmt.Appendf(nil, `{"type":%s,"scheduled_plan":%s,"received_on":"%s","row":`,
		orNull(top.Get("type")), orNull(top.Get("scheduled_plan")), receivedAt.UTC().Format(time.DateOnly))
	if len(frame) > maxFrameBytes {
		return nil, fault.Permanent(fault.Oversized, fmt.Errorf("type and scheduled_plan have %d bytes, the bound is %d", len(frame), maxFrameBytes))
	}
	n := rows.Len()
	if size := n*(len(frame)+len("}")) + len(rows.Bytes()); size > maxRecordsBytes {
		return nil, fault.Permanent(fault.Oversized, fmt.Errorf(
			"the records of %d rows, which repeat the scheduled_plan, have %d bytes, the bound is %d: schedule fewer rows", n, size, maxRecordsBytes))
	}
	return frame, nil
}

// rows finds a delivery's array of rows: in attachment.data, else in data;
// Missing when it has none that we read.
func rows(top rawjson.Value) (rawjson.Value, error) {
	attachment, data := top.Get("attachment"), top.Get("data")
	if attachment.Kind() == rawjson.Object {
		data = attachment.Get("data")
	}
	if data.Kind() == rawjson.Array {
		return data, nil
	}
	text := bytes.TrimSpace(data.TextBytes())
	if !bytes.HasPrefix(text, []byte("[")) || !saysJSON(attachment.Get("mimetype").Text(), attachment.Get("extension").Text()) {
		made, err := textRows(attachment)
		if err != nil || made == nil {
			return rawjson.Value{}, err
		}
		text = made
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
