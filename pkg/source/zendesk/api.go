package zendesk

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of Zendesk's API. Sources: developer.zendesk.com/api-reference/introduction/rate-limits
// (the smallest plan allows 200 requests a minute, an incremental export 10),
// /introduction/security-and-auth (an API token is the password of EMAIL/token).
const (
	rate       = 2.0
	exportPath = "/api/v2/incremental/"
	exportRate = 9.0 / 60
)

// API implements source.Pager. The address is https://SUBDOMAIN.zendesk.com. The key
// is EMAIL/token:API_TOKEN or an OAuth access token.
func (zendesk) API() source.API {
	return source.API{Hosts: []string{".zendesk.com"}, Rate: rate, Slower: map[string]float64{exportPath: exportRate}, Authorize: authorize}
}

// authorize: an OAuth token has no colon.
func authorize(h http.Header, key string) {
	if strings.Contains(key, ":") {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(key)))
		return
	}
	h.Set("Authorization", "Bearer "+key)
}

// get asks and reads the JSON object that comes. Errors are those of
// source.ReadAnswer, with Zendesk's own word; refused is the status that it refused
// the request with, or 0.
func get(ctx context.Context, api source.Doer, path string, ask url.Values) (answer rawjson.Value, refused int, err error) {
	return request(ctx, api, http.MethodGet, path, ask, nil)
}

// request is get with any method and a body.
func request(ctx context.Context, api source.Doer, method, path string, ask url.Values, body []byte) (answer rawjson.Value, refused int, err error) {
	if len(ask) > 0 {
		path += "?" + ask.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return rawjson.Value{}, 0, fault.Permanent(fault.Malformed, fmt.Errorf("making a request: %w", err))
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := api.Do(r)
	if err != nil {
		return rawjson.Value{}, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusNoContent && method != http.MethodGet:
		resp.Body.Close()
		return rawjson.Value{}, 0, nil
	case resp.StatusCode == http.StatusCreated && method != http.MethodGet:
		resp.StatusCode = http.StatusOK
	}
	read, err := source.ReadAnswer(resp)
	if err != nil {
		return rawjson.Value{}, resp.StatusCode, explain(read, resp, err)
	}
	top, err := new(rawjson.Doc).ParseBody(read, 0)
	switch {
	case err != nil:
		return rawjson.Value{}, 0, lie("the answer cannot be read: %w", err)
	case top.Kind() != rawjson.Object || top.Get("error").Exists():
		return rawjson.Value{}, 0, lie("the API answered 200 with an error instead of what it was asked for")
	}
	return top, 0, nil
}

// explain adds Zendesk's word of an error, and what a person can do. Its other text
// may hold what was sent.
func explain(body []byte, resp *http.Response, err error) error {
	top, parseErr := new(rawjson.Doc).ParseBody(body, 0)
	if parseErr == nil && isWord(top.Get("error").Text()) {
		err = fmt.Errorf("%w (%s)", err, top.Get("error").Text())
	}
	switch {
	case resp.StatusCode == http.StatusForbidden:
		return fault.Advise(err, "the key must be an administrator's or have the scope read, and some plans have no such API")
	case parseErr == nil && strings.Contains(top.Get("description").Text(), "Too recent start_time"):
		now, dateErr := http.ParseTime(resp.Header.Get("Date"))
		if dateErr != nil {
			now = time.Now()
		}
		return source.Later(fault.Transient(fault.Unavailable, &tooRecentError{err, now}), time.Minute)
	}
	return err
}

// isWord: letters and underscores, as in RecordNotFound.
func isWord(text string) bool {
	const most = 64
	return text != "" && len(text) <= most && !slices.ContainsFunc([]byte(text), func(c byte) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// lie marks an answer that Zendesk does not give: whatever is between may be better
// the next time.
func lie(format string, args ...any) error {
	return fault.Transient(fault.Malformed, fmt.Errorf(format, args...))
}

// isOversized: an answer is over the Doer's bound, and a smaller one may be asked for.
func isOversized(err error) bool {
	return fault.IsPermanent(err) && fault.ReasonOf(err) == fault.Oversized
}

var errNoStream = errors.New("zendesk has no such stream")

// tooRecentError: Zendesk exports nothing from within the last minute, by its own clock.
type tooRecentError struct {
	error
	now time.Time // by its clock
}

// Error adds what a person should look at.
func (e *tooRecentError) Error() string {
	return e.error.Error() + ": the period begins after Zendesk's now, so this machine's clock may be ahead"
}

// Unwrap gives the error within.
func (e *tooRecentError) Unwrap() error { return e.error }
