package source

import (
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Delivery is one HTTP request of a vendor, read whole. It is used by one
// goroutine at a time.
type Delivery struct {
	Method     string
	URL        string // the public URL that the vendor called, query included, escaped as it came
	Header     http.Header
	Body       []byte // raw: never decompressed, never re-encoded, and unchanged once JSON was called
	ReceivedAt time.Time

	doc     rawjson.Doc
	top     rawjson.Value
	err     error
	scanned bool
}

// JSON gives the body's top value, of any kind. The body is scanned by the first
// call and once only; the value is good until Reset. It takes whatever has
// JSON's grammar: rawjson.Value.Check tells whether a part of it can be stored.
// A failure is Permanent: Malformed, or Oversized.
func (d *Delivery) JSON() (rawjson.Value, error) {
	if !d.scanned {
		d.top, d.err = d.doc.ParseBody(d.Body, d.levels())
		d.scanned = true
	}
	return d.top, d.err
}

// levels bounds the index of a large body: of an array's elements only their
// places are noted, and each is scanned by itself when its turn has come.
func (d *Delivery) levels() int {
	if len(d.Body) > rawjson.MaxRecordBytes {
		return 2
	}
	return 0
}

// SetUsual sets a header that the vendor usually sends, unless d has it.
func (d *Delivery) SetUsual(name, value string) {
	if d.Header == nil {
		d.Header = http.Header{}
	}
	if d.Header.Get(name) == "" {
		d.Header.Set(name, value)
	}
}

// Reset makes d ready for the next request and keeps the room of its scan.
func (d *Delivery) Reset() {
	d.Method, d.URL, d.Header, d.Body, d.ReceivedAt = "", "", nil, nil, time.Time{}
	d.top, d.err, d.scanned = rawjson.Value{}, nil, false
}

// Part is one event of a delivery.
type Part struct {
	// Value is the event's bytes, as they will lie in the raw topic.
	Value []byte
	// Object is Value as the delivery's scan has seen it; zero when that has not.
	Object rawjson.Value
	// Tenant is the vendor account, if the delivery says it beside the event.
	Tenant string
}

// Parts is Split for the usual delivery: the body is one event, or an array of
// at most so many. More are Permanent(Oversized), and a body that is neither an
// object nor an array is Permanent(Malformed).
func Parts(d *Delivery, most int) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		top, err := d.JSON()
		if err != nil {
			yield(Part{}, err)
			return
		}
		if top.Kind() == rawjson.Object {
			yield(Part{Value: top.Bytes(), Object: top}, nil)
			return
		}
		Elements(top, most)(yield)
	}
}

// Elements is Parts for an array in a delivery.
func Elements(array rawjson.Value, most int) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		if array.Kind() != rawjson.Array {
			yield(Part{}, fault.Permanent(fault.Malformed, fmt.Errorf("a JSON %s is neither an event nor an array of them", array.Kind())))
			return
		}
		if n := array.Len(); n > most {
			yield(Part{}, fault.Permanent(fault.Oversized, fmt.Errorf("the delivery has %d events, the bound is %d", n, most)))
			return
		}
		for _, element := range array.Elements() {
			if !yield(Part{Value: element.Bytes(), Object: element}, nil) {
				return
			}
		}
	}
}

// Sign signs d as the vendor of s would (Signer). A source that cannot is
// Permanent(Unsupported).
func Sign(s Source, d *Delivery, secret string, now time.Time) error {
	signer, ok := s.(Signer)
	if !ok {
		return fault.Permanent(fault.Unsupported, fmt.Errorf("%s cannot be played: nothing here signs for it", s.Profile().Title))
	}
	return signer.Sign(d, secret, now)
}
