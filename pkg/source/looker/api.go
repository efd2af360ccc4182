package looker

import (
	"bytes"
	"context"
	"encoding/json"
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

// The facts of the API. Sources: docs.cloud.google.com/looker API 4.0 reference
// ("Login": the credentials in the body, `Authorization: token …`, expires_in; "Run
// Inline Query"; "Get All Users": ids; "Get All Scheduled Plans"), spectacles-ci#67 (a
// query that fails is 200 with [{"looker_error": …}]). How many requests it allows is
// not documented.
const (
	apiPath = "/api/4.0"
	rate    = 5
)

// API implements source.Pager, source.Learner and source.Subscriber. The key is a user's
// API key, "CLIENT_ID:CLIENT_SECRET"; the address is the instance's.
func (looker) API() source.API {
	return source.API{
		Hosts: []string{".looker.com", ".looker.app"},
		Rate:  rate,
		Authorize: func(h http.Header, token string) {
			h.Set("Authorization", "token "+token)
		},
		Login: logIn,
	}
}

func logIn(ctx context.Context, api source.Doer, key string) (source.Token, error) {
	id, secret, ok := strings.Cut(key, ":")
	if !ok || id == "" || secret == "" {
		return source.Token{}, fault.Permanent(fault.Unauthenticated, errors.New("the key is not like CLIENT_ID:CLIENT_SECRET"))
	}
	form := url.Values{"client_id": {id}, "client_secret": {secret}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, apiPath+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		return source.Token{}, fault.Permanent(fault.Malformed, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	top, err := send(api, r)
	switch {
	case err != nil && fault.IsPermanent(err) && fault.ReasonOf(err) == fault.Malformed: // 404: credentials that are none
		return source.Token{}, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%w: no API key of this instance", err))
	case err != nil:
		return source.Token{}, err
	case top.Get("access_token").Text() == "":
		return source.Token{}, lie(errors.New("the answer has no access_token"))
	}
	lasts, _ := strconv.ParseInt(top.Get("expires_in").Literal(), 10, 32)
	return source.Token{Text: top.Get("access_token").Text(), Lasts: time.Duration(max(0, lasts)) * time.Second}, nil
}

// ask makes a request of a resource, with a body where it is not nil.
func ask(ctx context.Context, api source.Doer, method, resource string, body any) (rawjson.Value, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return rawjson.Value{}, fault.Permanent(fault.Malformed, err)
	}
	if body == nil {
		text = nil
	}
	r, err := http.NewRequestWithContext(ctx, method, apiPath+resource, bytes.NewReader(text))
	if err != nil {
		return rawjson.Value{}, fault.Permanent(fault.Malformed, err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return send(api, r)
}

func send(api source.Doer, r *http.Request) (rawjson.Value, error) {
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return rawjson.Value{}, err
	}
	body, err := source.ReadAnswer(resp)
	if err != nil {
		return rawjson.Value{}, err
	}
	top, err := new(rawjson.Doc).ParseBody(body, 0)
	if err != nil {
		return rawjson.Value{}, lie(fmt.Errorf("the answer cannot be read: %w", err))
	}
	return top, nil
}

// lie marks an answer that Looker does not give: whatever is between may be better the
// next time.
func lie(err error) error { return fault.Transient(fault.Malformed, err) }
