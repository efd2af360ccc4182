package source

import (
	"encoding/json"
	"net/http"

	"github.com/throughline-dev/throughline/pkg/fault"
)

var accepted = []byte(`{"ok":true}`)

// DefaultReply is the answer of a source whose vendor takes any 2xx, retries on
// any 5xx and needs no body: fault.HTTPStatus, and for a failure one line of
// JSON that names the problem: {"error":"malformed","detail":"…"}. Sources
// start from it and change what their vendor wants otherwise.
func DefaultReply(outcome error) Response {
	if outcome == nil {
		return Response{Status: http.StatusOK, Body: accepted}
	}
	detail := clip(outcome.Error(), 300)
	if !fault.IsPermanent(outcome) {
		detail = "try again later" // what is broken inside is nobody else's business
	}
	body, err := json.Marshal(map[string]string{"error": string(fault.ReasonOf(outcome)), "detail": detail})
	if err != nil {
		body = []byte(`{"error":"unavailable"}`)
	}
	return Response{Status: fault.HTTPStatus(outcome), Body: body}
}
