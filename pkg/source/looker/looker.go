package looker

import (
	"encoding/json"
	"net/http"

	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "looker"

// The kinds of reference that are Looker's own.
const (
	kindAccount = "account" // a customer's id in the modelled data
	kindGroup   = "group"   // external_group_id
	kindUser    = "user"    // user.id of System Activity
)

// looker has no state: all that it knows is in its methods.
type looker struct{}

var _ source.Signer = looker{}

// New gives the source.
func New() source.Webhook { return looker{} }

// Name gives "looker".
func (looker) Name() string { return name }

// maxBody keeps a receiver below 100 MB: Split holds the rows' text a second
// time, and its index.
const maxBody = 8 << 20

// Profile says that reports are far larger than other vendors' events.
func (looker) Profile() source.Profile {
	return source.Profile{
		Title:  "Looker",
		Limits: source.Limits{BodyBytes: maxBody, Events: 50_000},
		Kinds:  []source.Kind{{Name: kindAccount, Scoped: true}, {Name: kindGroup, Scoped: true}, {Name: kindUser, Scoped: true}},
		Types:  eventTypes(),
		// A row that has a time of its own is one on whatever day it was received;
		// the others have received_on in their identity, so that it is equal.
		Volatile:     []string{"/received_on", "/scheduled_plan/download_url"},
		Transcodes:   true,
		NeverRetries: true,
	}
}

// Reply wraps the usual answer in what Looker reads: success, and for a failure
// the message that it shows to the schedule's owner.
func (looker) Reply(_ *source.Delivery, outcome error) source.Response {
	if outcome == nil {
		return source.Response{Status: http.StatusOK, Body: []byte(`{"looker":{"success":true}}`)}
	}
	reply := source.DefaultReply(outcome)
	var usual struct{ Error, Detail string }
	if err := json.Unmarshal(reply.Body, &usual); err != nil {
		usual.Detail = "try again later"
	}
	type answer struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		Error   string `json:"error,omitempty"`
	}
	body, err := json.Marshal(map[string]answer{"looker": {Message: usual.Detail, Error: usual.Error}})
	if err != nil {
		body = []byte(`{"looker":{"success":false}}`)
	}
	reply.Body = body
	return reply
}
