package intercom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the API. Sources: intercom/Intercom-OpenAPI, descriptions/2.16;
// developers.intercom.com "Rate limiting" (10,000 requests a minute for an app, told in
// windows of ten seconds; X-RateLimit-Reset and no Retry-After), "API regions".
const (
	apiVersion = "2.16"
	rate       = 80
)

// API implements source.Pager and source.Learner. The key is an access token. Workspaces
// of the other regions have an API_URL of their own: https://api.eu.intercom.io or
// https://api.au.intercom.io.
func (intercom) API() source.API {
	return source.API{
		Address: "https://api.intercom.io",
		Hosts:   []string{"api.intercom.io", "api.eu.intercom.io", "api.au.intercom.io"},
		Rate:    rate,
		Authorize: func(h http.Header, key string) {
			h.Set("Authorization", "Bearer "+key)
			h.Set("Intercom-Version", apiVersion)
		},
	}
}

// answer is what the API answered with; of an error the status and Intercom's code.
type answer struct {
	top    rawjson.Value
	status int
	code   string
}

// ask makes a request; a body, where it is not nil, becomes JSON. An error has
// Intercom's code.
func ask(ctx context.Context, api source.Doer, method, path string, body any) (answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking Intercom: %w", err))
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(text))
	if err != nil {
		return answer{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking Intercom: %w", err))
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		resp.Header.Set("Retry-After", untilReset(resp.Header))
	}
	given := answer{status: resp.StatusCode}
	text, err = source.ReadAnswer(resp)
	var doc rawjson.Doc
	top, parseErr := doc.ParseBody(text, 0)
	if parseErr == nil && (err != nil || top.Get("type").Is("error.list")) {
		for _, one := range top.Get("errors").Elements() {
			if code := one.Get("code").Text(); isWord(code) {
				given.code = code
			}
		}
		if err == nil {
			err = lie(errors.New("the API answered 200 with an error"))
		}
		if given.code != "" {
			err = fmt.Errorf("%w (%s)", err, given.code)
		}
	}
	switch {
	case err != nil:
		return given, err
	case parseErr != nil:
		return given, lie(fmt.Errorf("the answer cannot be read: %w", parseErr))
	}
	given.top = top
	return given, nil
}

// untilReset gives the seconds until the limit is lifted, by the vendor's own clock
// where the answer tells it, or "".
func untilReset(h http.Header) string {
	reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	now, dateErr := http.ParseTime(h.Get("Date"))
	if err != nil || dateErr != nil {
		return ""
	}
	return strconv.FormatInt(max(1, reset-now.Unix()), 10)
}

// isWord: lower-case letters and underscores, as in not_found. An error's message may
// hold what was sent.
func isWord(text string) bool {
	const most = 64
	return text != "" && len(text) <= most && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// lie marks an answer that Intercom does not give: whatever is between may be better
// the next time.
func lie(err error) error { return fault.Transient(fault.Malformed, err) }
