package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Options are what a person set for HubSpot alone. The zero value serves.
type Options struct {
	// APIVersion is the date in the paths of HubSpot's API; "": DefaultAPIVersion.
	APIVersion string
	// Portals are those whose webhooks journal is read, in the place of the CRM: one is
	// asked for by its local journal, several are picked from the global one, and
	// AllPortals is all of that. None: no journal, which wants another key than the CRM.
	Portals []string
	// AppID is the app whose webhook subscriptions Look and Change deal with.
	AppID string
	// CrossReferences are properties of companies that hold another vendor's id.
	CrossReferences []CrossReference
}

// AllPortals in Options.Portals are all that have the app.
const AllPortals = "all"

// DefaultAPIVersion is the newest version whose documentation this package was
// written from.
const DefaultAPIVersion = "2026-03"

// CrossReference is a property of a company that holds another vendor's id.
type CrossReference struct {
	Property string // HubSpot's name of it: "stripe_customer_id"
	Source   string // "stripe"
	Kind     string // "customer"
}

// ParseCrossReference reads "stripe_customer_id=stripe:customer".
func ParseCrossReference(text string) (CrossReference, error) {
	property, to, ok := strings.Cut(text, "=")
	name, kind, kinded := strings.Cut(to, ":")
	if !ok || !kinded || property == "" || name == "" || kind == "" {
		return CrossReference{}, fmt.Errorf("%q should be PROPERTY=SOURCE:KIND, like stripe_customer_id=stripe:customer", text)
	}
	return CrossReference{Property: property, Source: name, Kind: kind}, nil
}

// defaultCrossReferences are the names that integrations give such properties.
var defaultCrossReferences = []CrossReference{
	{"stripe_customer_id", "stripe", "customer"},
	{"zendesk_organization_id", "zendesk", "organization"},
	{"intercom_company_id", "intercom", "company"},
}

// The facts of the API. Sources: developers.hubspot.com, "API usage guidelines" (110
// requests in ten seconds for an app and account; search has five a second of its
// own), "Authentication overview" (client credentials).
const (
	rate      = 4
	tokenPath = "/oauth/%s/token"
	// journalScope is what a token for the journal is asked for.
	journalScope = "developer.webhooks_journal.read"
)

func (h hubspot) version() string {
	if h.o.APIVersion != "" {
		return h.o.APIVersion
	}
	return DefaultAPIVersion
}

// API implements source.Pager, source.Learner and source.Subscriber. A key is the access
// token of an app or a service key, which reads the CRM, or CLIENT_ID:CLIENT_SECRET,
// which reads the webhooks journal and deals with subscriptions.
func (h hubspot) API() source.API {
	return source.API{
		Address:   "https://api.hubapi.com",
		Hosts:     []string{"api.hubapi.com", ".amazonaws.com"}, // the journal's files lie in S3
		Rate:      rate,
		Authorize: func(header http.Header, key string) { header.Set("Authorization", "Bearer "+key) },
		Login:     h.login,
	}
}

// login gives an access token as it is, and exchanges a client's id and secret for one.
func (h hubspot) login(ctx context.Context, api source.Doer, key string) (source.Token, error) {
	client, secret, ok := strings.Cut(key, ":")
	if !ok {
		return source.Token{Text: key}, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}, "scope": {journalScope}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf(tokenPath, h.version()), strings.NewReader(form.Encode()))
	if err != nil {
		return source.Token{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking for a token: %w", err))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := do(api, r)
	if err != nil {
		if fault.ReasonOf(err) == fault.Malformed && fault.IsPermanent(err) { // 400: unknown client, wrong secret, a scope that the app has not
			err = fault.Permanent(fault.Unauthenticated, err)
		}
		return source.Token{}, err
	}
	seconds, _ := answer.top.Get("expires_in").Int()
	return source.Token{Text: answer.top.Get("access_token").Text(), Lasts: time.Duration(seconds) * time.Second}, nil
}

// answer is what the API answered with.
type answer struct {
	top    rawjson.Value
	status int
}

// get asks with GET.
func get(ctx context.Context, api source.Doer, path string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return answer{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking HubSpot: %w", err))
	}
	return do(api, r)
}

// send asks with a body, which is JSON.
func send(ctx context.Context, api source.Doer, method, path string, body any) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking HubSpot: %w", err))
	}
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(text))
	if err != nil {
		return answer{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking HubSpot: %w", err))
	}
	r.Header.Set("Content-Type", "application/json")
	return do(api, r)
}

// do makes a request. A 204 has no value and is no error; a batch answers 207 where
// some of it could not be had, and 201 is what creating gives. An error has HubSpot's
// category, and the status.
func do(api source.Doer, r *http.Request) (answer, error) {
	resp, err := api.Do(r)
	if err != nil {
		return answer{}, err
	}
	status := resp.StatusCode
	switch status {
	case http.StatusNoContent:
		return answer{status: status}, resp.Body.Close()
	case http.StatusMultiStatus, http.StatusCreated:
		resp.StatusCode = http.StatusOK
	}
	body, err := source.ReadAnswer(resp)
	if err != nil {
		return answer{status: status}, categorised(body, err)
	}
	var doc rawjson.Doc
	top, err := doc.ParseBody(body, 0)
	switch {
	case err != nil:
		return answer{}, lie(fmt.Errorf("the answer cannot be read: %w", err))
	case top.Get("status").Is("error"):
		return answer{}, categorised(body, lie(errors.New("the API answered 200 with an error")))
	}
	return answer{top, status}, nil
}

// categorised adds HubSpot's own category of an error, which is a word, to err. Its
// message may hold what was sent.
func categorised(body []byte, err error) error {
	var doc rawjson.Doc
	top, parseErr := doc.ParseBody(body, 0)
	if parseErr != nil {
		return err
	}
	for _, member := range []string{"category", "error"} {
		if word := top.Get(member).Text(); isWord(word) {
			return fmt.Errorf("%w (%s)", err, word)
		}
	}
	return err
}

// isWord: letters and underscores, as in VALIDATION_ERROR.
func isWord(text string) bool {
	const most = 64
	return text != "" && len(text) <= most && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz_") == ""
}

// lie marks an answer that HubSpot does not give: whatever is between may be better
// the next time.
func lie(err error) error { return fault.Transient(fault.Malformed, err) }
