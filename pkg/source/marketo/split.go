package marketo

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split yields a call's body whole, each element of an activities page's result,
// or each element of an array of either. A page without result has no events; an
// error answer of the API is refused.
func (m marketo) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) {
		events, err := elements(d.Body)
		if err != nil {
			yield(source.Record{}, err)
			return
		}
		if events == nil {
			return
		}
		tenant := strings.TrimSpace(d.Header.Get(TenantHeader))
		for element, err := range source.Elements(events, m.Profile().Limits.Events) {
			if err != nil {
				yield(source.Record{}, err)
				return
			}
			if !yield(m.record(element, tenant, d), nil) {
				return
			}
		}
	}
}

// record gives an element its key and tenant; one that Describe refuses has no
// key and goes to quarantine by itself.
func (m marketo) record(element []byte, tenant string, d *source.Delivery) source.Record {
	r := source.Record{Value: element, Tenant: tenant, Mode: source.Webhook, ReceivedAt: d.ReceivedAt}
	if event, err := m.Describe(r); err == nil {
		r.Tenant, r.Key = event.Tenant, source.RecordKey(event.References, event.ID)
	}
	return r
}

// elements finds the part of a body that holds its events: the result of a page,
// else the body. nil: a page without events.
func elements(body []byte) ([]byte, error) {
	found := gjson.GetManyBytes(body, "result", "success", "requestId")
	result, success, request := found[0], found[1], found[2]
	switch {
	case success.Type == gjson.False:
		return nil, apiError(gjson.GetBytes(body, "errors"))
	case result.IsArray() && result.Index > 0:
		end := result.Index + len(result.Raw)
		return body[result.Index:end:end], nil
	case success.Type == gjson.True && request.Exists():
		return nil, nil // few or no results are usual while moreResult is true
	}
	return body, nil
}

// apiError says what an answer with success:false is. Marketo sends them with
// HTTP 200, so a job that does not look will publish them.
func apiError(errs gjson.Result) error {
	code, message := errs.Get("0.code").String(), errs.Get("0.message").String()
	return fault.Permanent(fault.Malformed, fmt.Errorf(
		"this is an error answer of Marketo's API (code %.20q: %.80q), not events: make the call again", code, message))
}

// errPage says what to do with a whole page in one record.
func errPage() error {
	return fault.Permanent(fault.Malformed, errors.New(
		"this is a whole page of Marketo's API: publish each element of its result as a record of its own"))
}
