package looker

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "looker"

// The kinds of reference that are Looker's own.
const (
	kindAccount = "account" // a customer's id in the modelled data
	kindGroup   = "group"   // external_group_id
	kindUser    = "user"    // user.id of System Activity
	// kindExternalUser is who an embedded user is in the host application.
	kindExternalUser = "external_user" // external_user_id
)

// looker has no state but what a person set.
type looker struct{ columns Columns }

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
		Kinds:  []source.Kind{{Name: kindAccount, Scoped: true}, {Name: kindGroup, Scoped: true}, {Name: kindUser, Scoped: true}, {Name: kindExternalUser, Scoped: true}},
		Types:  eventTypes(),
		// A row that has a time of its own is one on whatever day it was received;
		// the others have received_on in their identity, so that it is equal.
		Volatile:     []string{"/received_on", "/scheduled_plan/download_url"},
		Transcodes:   true,
		NeverRetries: true,
	}
}

// Form implements source.Former: the fact is the row, whatever plan sent it, and
// the same row of System Activity has the columns that somebody asked for.
func (looker) Form(e rawjson.Value) source.Form {
	row := e.Get("row")
	framed := row.Exists() && e.Get("scheduled_plan").Exists()
	if !framed {
		row = e
	}
	names := make([]string, 0, row.Len())
	for column := range row.Members() {
		names = append(names, column)
	}
	slices.Sort(names)
	form := source.Form{Name: strings.Join(names, "\x00"), Ignored: []string{"/type", "/scheduled_plan"}}
	if framed {
		form.Name = "row of " + form.Name
	}
	return form
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
