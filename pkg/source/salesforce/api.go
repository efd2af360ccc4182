package salesforce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the REST API. Sources: developer.salesforce.com REST API developer guide
// ("QueryAll": deleted and merged records too, errors as [{message, errorCode}],
// Sforce-Limit-Info), SOQL reference ("FIELDS()": FIELDS(ALL) needs a LIMIT of 200 at
// most), help "OAuth 2.0 Client Credentials Flow" (the token endpoint of My Domain; the
// answer has no expires_in: a token lasts as long as the session that it is).
const (
	version   = "v67.0" // Summer '26
	queryPath = "/services/data/" + version + "/queryAll"
	tokenPath = "/services/oauth2/token"
	mostRows  = 200
	rate      = 10
	// limitPause is how long to wait where the requests of 24 hours are used up.
	limitPause = time.Hour
)

// API implements source.Pager and source.Learner. The key is that of an external client
// app with the client credentials flow, "CONSUMER_KEY:CONSUMER_SECRET"; the address is
// the organization's My Domain.
func (salesforce) API() source.API {
	return source.API{
		Hosts: []string{".my.salesforce.com"},
		Rate:  rate,
		Left:  left,
		Authorize: func(h http.Header, token string) {
			h.Set("Authorization", "Bearer "+token)
		},
		Login: logIn,
	}
}

// left reads "api-usage=18/5000", of 24 hours.
func left(h http.Header) (source.Left, bool) {
	_, usage, _ := strings.Cut(h.Get("Sforce-Limit-Info"), "api-usage=")
	usage, _, _ = strings.Cut(usage, ",")
	used, of, _ := strings.Cut(strings.TrimSpace(usage), "/")
	n, err := strconv.ParseInt(used, 10, 64)
	most, errMost := strconv.ParseInt(of, 10, 64)
	if err != nil || errMost != nil || n < 0 {
		return source.Left{}, false
	}
	return source.Left{Requests: max(0, most-n)}, true
}

func logIn(ctx context.Context, api source.Doer, key string) (source.Token, error) {
	id, secret, ok := strings.Cut(key, ":")
	if !ok || id == "" || secret == "" {
		return source.Token{}, fault.Permanent(fault.Unauthenticated, errors.New("the key is not like CONSUMER_KEY:CONSUMER_SECRET"))
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		return source.Token{}, fault.Permanent(fault.Malformed, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return source.Token{}, err
	}
	body, err := source.ReadAnswer(resp)
	var doc rawjson.Doc
	top, parseErr := doc.ParseBody(body, 0)
	if err != nil {
		if word := top.Get("error").Text(); parseErr == nil && isWord(word) {
			// invalid_client_id, invalid_grant, …: with 400, and nothing that time heals.
			return source.Token{}, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%w (%s)", err, word))
		}
		return source.Token{}, err
	}
	if parseErr != nil || top.Get("access_token").Text() == "" {
		return source.Token{}, lie(errors.New("the answer has no access_token"))
	}
	lasts, _ := strconv.ParseInt(top.Get("expires_in").Literal(), 10, 32)
	return source.Token{Text: top.Get("access_token").Text(), Lasts: time.Duration(max(0, lasts)) * time.Second}, nil
}

// answer is what a query gave.
type answer struct {
	records rawjson.Value
	done    bool
}

// query asks for records, deleted ones too. each of a well-formed answer's records is
// of this object and has an id.
func query(ctx context.Context, api source.Doer, object, soql string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, queryPath+"?"+url.Values{"q": {soql}}.Encode(), nil)
	if err != nil {
		return answer{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking for %s: %w", object, err))
	}
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return answer{}, err
	}
	body, err := source.ReadAnswer(resp)
	if err != nil {
		return answer{}, refused(body, err)
	}
	top, err := new(rawjson.Doc).ParseBody(body, 0)
	if err != nil {
		return answer{}, lie(fmt.Errorf("the answer cannot be read: %w", err))
	}
	a := answer{records: top.Get("records"), done: top.Get("done").Bool()}
	switch {
	case top.Kind() == rawjson.Array || top.Get("errorCode").Exists():
		return answer{}, lie(errors.New("the API answered 200 with an error instead of records"))
	case a.records.Kind() != rawjson.Array:
		return answer{}, lie(errors.New("the answer has no array of records"))
	case top.Get("done").Kind() != rawjson.Bool:
		return answer{}, lie(errors.New("the answer does not say whether it is done"))
	case a.records.Len() > mostRows:
		return answer{}, lie(fmt.Errorf("the answer has %d records where %d were asked for", a.records.Len(), mostRows))
	case a.records.Len() == 0 && !a.done:
		return answer{}, lie(errors.New("the answer is empty and says that there are more"))
	}
	for _, record := range a.records.Elements() {
		if _, ok := ID(record.Get("Id").Text()); !ok || !record.At("attributes", "type").Is(object) {
			return answer{}, lie(fmt.Errorf("a record of the answer is no %s with an Id", object))
		}
	}
	return a, nil
}

// refused adds Salesforce's own code of an error, which is a word. Its message may hold
// what was sent.
func refused(body []byte, err error) error {
	var doc rawjson.Doc
	top, parseErr := doc.ParseBody(body, 0)
	if parseErr != nil {
		return err
	}
	for _, one := range top.Elements() {
		word := one.Get("errorCode").Text()
		switch {
		case word == "REQUEST_LIMIT_EXCEEDED": // with 403
			return source.Later(fault.Transient(fault.Unavailable, fmt.Errorf("the organization's requests of 24 hours are used up (%s)", word)), limitPause)
		case word == "QUERY_TIMEOUT": // with 400
			return fault.Transient(fault.Unavailable, fmt.Errorf("%w (%s)", err, word))
		case isWord(word):
			return fmt.Errorf("%w (%s)", err, word)
		}
	}
	return err
}

// isWord: letters and underscores, as in INVALID_SESSION_ID.
func isWord(text string) bool {
	const most = 64
	return text != "" && len(text) <= most && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_") == ""
}

// lie marks an answer that Salesforce does not give: whatever is between may be better
// the next time.
func lie(err error) error { return fault.Transient(fault.Malformed, err) }
