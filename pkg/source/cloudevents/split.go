package cloudevents

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	attributePrefix = "Ce-" // as net/http writes the names of headers
	cloudEvents     = "application/cloudevents"

	maxAttributes     = 100
	maxNameBytes      = 64 // the specification recommends 20
	maxAttributeBytes = 64 << 10
)

// Split implements source.Webhook. Whatever says that it is of an event format, or
// has no attributes in its headers, is one event or an array of them.
func (n *named) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	if !binary(d.Header) {
		return source.Parts(d, n.Profile().Limits.Events)
	}
	return func(yield func(source.Part, error) bool) {
		value, err := envelope(d)
		yield(source.Part{Value: value}, err)
	}
}

// binary: the delivery is in the binary content mode.
func binary(header http.Header) bool {
	if strings.HasPrefix(strings.ToLower(header.Get("Content-Type")), cloudEvents) {
		return false
	}
	for _, name := range [...]string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
		if _, ok := header[name]; ok {
			return true
		}
	}
	return false
}

// envelope makes the event of a delivery in the binary content mode.
func envelope(d *source.Delivery) ([]byte, error) {
	attributes, err := attributesOf(d.Header)
	if err != nil {
		return nil, err
	}
	if len(d.Body) > source.MaxRecordBytes {
		return nil, fault.Permanent(fault.Oversized, fmt.Errorf("the event's data has %d bytes, the bound is %d", len(d.Body), source.MaxRecordBytes))
	}
	out := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		text, err := json.Marshal(attributes[name])
		if err != nil {
			return nil, source.Malformed("the attribute %q: %w", name, err)
		}
		out = append(append(append(append(out, '"'), name...), `":`...), text...)
		out = append(out, ',')
	}
	if len(d.Body) == 0 {
		out[len(out)-1] = '}'
		return out, nil
	}
	data, err := d.JSON()
	if err != nil {
		return nil, fmt.Errorf("reading the event's data: %w", err)
	}
	out = slices.Grow(out, len(data.Bytes())+len(`"data":}`))
	return append(append(append(out, `"data":`...), data.Bytes()...), '}'), nil
}

// attributesOf gives the attributes that the headers hold, by name.
func attributesOf(header http.Header) (map[string]string, error) {
	attributes, size := map[string]string{}, 0
	for key, values := range header {
		name, ok := strings.CutPrefix(key, attributePrefix)
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		switch {
		case !isName(name):
			return nil, source.Malformed("the header %.80q is no attribute: a name is of letters and digits, and data and datacontenttype are none of them", key)
		case len(values) != 1:
			return nil, source.Malformed("the header %.80q is there %d times", key, len(values))
		}
		value := decodeHeader(values[0])
		if !utf8.ValidString(value) {
			return nil, source.Malformed("the header %.80q is not UTF-8", key)
		}
		attributes[name], size = value, size+len(value)
		if len(attributes) > maxAttributes || size > maxAttributeBytes {
			return nil, fault.Permanent(fault.Oversized, fmt.Errorf("the event has more than %d attributes, or more than %d bytes of them", maxAttributes, maxAttributeBytes))
		}
	}
	if media := header.Get("Content-Type"); media != "" && utf8.ValidString(media) {
		attributes["datacontenttype"] = media
	}
	return attributes, nil
}

func isName(name string) bool {
	if name == "" || len(name) > maxNameBytes || name == "data" || name == "datacontenttype" {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// decodeHeader takes a value's quotes away, and one round of percent-encoding.
func decodeHeader(value string) string {
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = unquote(value[1 : len(value)-1])
	}
	if !strings.Contains(value, "%") {
		return value
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			high, low := unhex(value[i+1]), unhex(value[i+2])
			if high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				i += 2
				continue
			}
		}
		out = append(out, value[i])
	}
	return string(out)
}

func unquote(value string) string {
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		out = append(out, value[i])
	}
	return string(out)
}

func unhex(c byte) int { return strings.IndexByte("0123456789abcdef", lower(c)) }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
