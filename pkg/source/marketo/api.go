package marketo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of Marketo's API. Sources: Adobe's developer guide, "Authentication" (client
// credentials at <host>/identity, by GET or POST; the token in the Authorization header
// only), "Marketo Integration Best Practices" (100 requests in 20 seconds and ten at a
// time, of all users of the instance; 50,000 a day), "Error Codes". That the
// credentials may stand in the body of a POST is how OAuth has it (RFC 6749 2.3.1), and
// not said by Adobe: in a URL they would be in logs.
const (
	rate      = 2.0
	tokenPath = "/identity/oauth/token"
	// mostCodes bounds how many errors of one answer are looked at.
	mostCodes = 8
)

// API implements source.Pager, source.Learner. The address is
// https://123-ABC-456.mktorest.com. The key is CLIENT_ID:CLIENT_SECRET.
func (marketo) API() source.API {
	return source.API{
		Hosts:     []string{".mktorest.com"},
		Rate:      rate,
		Authorize: func(h http.Header, token string) { h.Set("Authorization", "Bearer "+token) },
		Login:     login,
	}
}

// login exchanges client id and secret for a token of an hour.
func login(ctx context.Context, api source.Doer, key string) (source.Token, error) {
	id, secret, ok := strings.Cut(key, ":")
	if !ok {
		return source.Token{}, fault.Permanent(fault.Unauthenticated, errors.New("the key should be CLIENT_ID:CLIENT_SECRET"))
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		return source.Token{}, fault.Permanent(fault.Malformed, errors.New("making a request for a token"))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return source.Token{}, err
	}
	body, err := source.ReadAnswer(resp)
	if err != nil {
		return source.Token{}, err
	}
	top, err := new(rawjson.Doc).ParseBody(body, 0)
	if err != nil {
		return source.Token{}, lie("the token cannot be read: %w", err)
	}
	lasts, _ := top.Get("expires_in").Int()
	return source.Token{Text: top.Get("access_token").Text(), Lasts: time.Duration(max(lasts, 0)) * time.Second}, nil
}

// get asks, and gives the answer of success.
func get(ctx context.Context, api source.Doer, path string, ask url.Values) (rawjson.Value, error) {
	return request(ctx, api, http.MethodGet, path, ask, nil)
}

// request makes a request, once more where the token has ended, and gives the answer of
// success. Errors are those of source.ReadAnswer and of check.
func request(ctx context.Context, api source.Doer, method, path string, ask url.Values, body []byte) (answer rawjson.Value, err error) {
	if len(ask) > 0 {
		path += "?" + ask.Encode()
	}
	for range 2 {
		r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
		if err != nil {
			return rawjson.Value{}, fault.Permanent(fault.Malformed, fmt.Errorf("making a request: %w", err))
		}
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
		if err != nil {
			return rawjson.Value{}, err
		}
		read, err := source.ReadAnswer(resp)
		if err != nil {
			return rawjson.Value{}, err
		}
		if answer, err = check(read, resp.Header); !errors.Is(err, errToken) {
			return answer, err
		}
		source.TokenRefused(api)
	}
	return rawjson.Value{}, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%w, and the one after it too", errToken))
}

var errToken = errors.New("the API takes the token no longer")

// check gives the answer, or the error that Marketo sends with HTTP 200:
//
//   - 601, 602: errToken;
//   - 603: Permanent(Forbidden);
//   - 606 (rate), 615 (concurrency), 1029 (queue of exports): Transient(Unavailable),
//     with the pause in which the limit passes; 607 and 1029 (quota of the day): until
//     the quota begins anew;
//   - 502, 604, 608, 611, 614, 713, 719: Transient(Unavailable);
//   - any other: Permanent(Malformed), with the field that it names.
func check(body []byte, h http.Header) (rawjson.Value, error) {
	top, err := new(rawjson.Doc).ParseBody(body, 0)
	switch success := top.Get("success"); {
	case err != nil:
		return rawjson.Value{}, lie("the answer cannot be read: %w", err)
	case success.Kind() != rawjson.Bool:
		return rawjson.Value{}, lie("the answer does not say whether it is a success")
	case success.Bool():
		return top, nil
	}
	first := failure{}
	for i, e := range top.Get("errors").Elements() {
		if i < mostCodes && first.code == "" {
			first = failure{e.Get("code").Literal(), e.Get("message").Text()}
		}
	}
	return rawjson.Value{}, first.error(h)
}

// failure is what Marketo says. The message may hold what was sent.
type failure struct{ code, message string }

func (f failure) error(h http.Header) error {
	err := fmt.Errorf("the API answered with error %s", f.shown())
	unavailable := func(pause time.Duration) error {
		return source.Later(fault.Transient(fault.Unavailable, err), pause)
	}
	switch f.code {
	case "601", "602":
		return fmt.Errorf("%w (%w)", errToken, err)
	case "603":
		return fault.Permanent(fault.Forbidden, fault.Advise(err, "give the role of the API user the permissions Read-Only Activity and Read-Only Person, and its addresses access"))
	case "606":
		return unavailable(20 * time.Second)
	case "615":
		return unavailable(5 * time.Second)
	case "607":
		err = fmt.Errorf("%w: the day's requests are used up", err)
		return unavailable(untilMidnight(h))
	case "1029":
		if strings.Contains(strings.ToLower(f.message), "queue") {
			return unavailable(time.Minute)
		}
		err = fmt.Errorf("%w: the day's megabytes of exports are used up", err)
		return unavailable(untilMidnight(h))
	case "502", "604", "608", "611", "614", "713", "719":
		return unavailable(0)
	}
	if field := f.field(); field != "" {
		err = fmt.Errorf("%w: it refuses %s", err, field)
	}
	return fault.Permanent(fault.Malformed, &refusal{err, f})
}

// refusal is a permanent error of Marketo's, for who can do without what it refuses.
type refusal struct {
	error
	failure
}

// Error is that of the error within.
func (r *refusal) Error() string { return r.error.Error() }

// Unwrap gives the error within.
func (r *refusal) Unwrap() error { return r.error }

func (f failure) shown() string {
	if len(f.code) > 8 || strings.Trim(f.code, "0123456789") != "" || f.code == "" {
		return "without a number"
	}
	return f.code
}

// field is the one that the message names in quotes, where it is a name.
func (f failure) field() string {
	_, rest, ok := strings.Cut(f.message, "'")
	name, _, closed := strings.Cut(rest, "'")
	if !ok || !closed || !isName(name) {
		return ""
	}
	return name
}

// isName: letters, digits and underscores, as Marketo's names of fields have.
func isName(text string) bool {
	const most = 64
	for _, c := range text {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return text != "" && len(text) <= most
}

// now is Marketo's own, where the answer says it.
func now(h http.Header) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}

// untilMidnight is how long the quotas of a day still last: they begin anew at
// midnight, as Adobe says once in CST and once in Central Time. In summer the former
// is an hour after the latter, and so right either way.
func untilMidnight(h http.Header) time.Duration {
	cst := time.FixedZone("CST", -6*60*60)
	at := now(h).In(cst)
	return time.Date(at.Year(), at.Month(), at.Day()+1, 0, 1, 0, 0, cst).Sub(at)
}

// lie marks an answer that Marketo does not give: whatever is between may be better
// the next time.
func lie(format string, args ...any) error {
	return fault.Transient(fault.Malformed, fmt.Errorf(format, args...))
}

// readFile reads a body that is no JSON, of at most so many bytes.
func readFile(body io.Reader, most int64) ([]byte, error) {
	read, err := io.ReadAll(io.LimitReader(body, most+1))
	if err != nil && !fault.IsPermanent(err) {
		err = lie("the file breaks off after %d bytes: %w", len(read), err)
	}
	return read, err
}
