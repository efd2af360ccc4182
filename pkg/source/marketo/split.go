package marketo

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split yields a call's body whole, each element of an activities page's result,
// or each element of an array of either. A page without result has no events; an
// error answer of the API is refused.
func (m marketo) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return func(yield func(source.Part, error) bool) {
		top, err := d.JSON()
		if err != nil {
			yield(source.Part{}, err)
			return
		}
		parts := source.Parts(d, m.Profile().Limits.Events)
		switch result, success := top.Get("result"), top.Get("success"); {
		case success.Kind() == rawjson.Bool && !success.Bool():
			yield(source.Part{}, apiError(firstError(top.Get("errors"))))
			return
		case result.Kind() == rawjson.Array:
			parts = source.Elements(result, m.Profile().Limits.Events)
		case success.Bool() && top.Get("requestId").Exists():
			return // few or no results are usual while moreResult is true
		}
		tenant := strings.TrimSpace(d.Header.Get(TenantHeader))
		for part, err := range parts {
			part.Tenant = tenant
			if !yield(part, err) || err != nil {
				return
			}
		}
	}
}

// firstError gives the code and the message of an error answer's first error.
func firstError(errs rawjson.Value) (code, message string) {
	for _, first := range errs.Elements() {
		return first.Get("code").Literal(), first.Get("message").Literal()
	}
	return "", ""
}

// apiError says what an answer with success:false is. Marketo sends them with
// HTTP 200, so a job that does not look will publish them.
func apiError(code, message string) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf(
		"this is an error answer of Marketo's API (code %.20q: %.80q), not events: make the call again", code, message))
}

// errPage says what to do with a whole page in one record.
func errPage() error {
	return fault.Permanent(fault.Malformed, errors.New(
		"this is a whole page of Marketo's API: publish each element of its result as a record of its own"))
}
