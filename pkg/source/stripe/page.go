package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the events API. Sources: docs.stripe.com/api/events/list (30 days,
// limit 1 to 100, at most 20 types, newest first), /rate-limits (25 requests a
// second in a sandbox and an endpoint), /api/versioning.
const (
	apiVersion = "2026-03-25.dahlia" // stripe-go v85; an event keeps the version that it was made in
	pageEvents = 100
	mostTypes  = 20
	keepsDays  = 30
	rate       = 20
	together   = 4

	events = "events"
)

var _ source.Pager = stripe{}

// API implements source.Pager. A restricted key with read access to events will do.
func (stripe) API() source.API {
	return source.API{
		Address: "https://api.stripe.com",
		Hosts:   []string{"api.stripe.com"},
		Rate:    rate,
		Authorize: func(h http.Header, key string) {
			h.Set("Authorization", "Bearer "+key)
			h.Set("Stripe-Version", apiVersion)
		},
	}
}

// Streams implements source.Pager.
func (stripe) Streams() []source.Stream {
	return []source.Stream{{Name: events, Window: 6 * time.Hour, Keeps: keepsDays * 24 * time.Hour, MostTypes: mostTypes, Together: together}}
}

// Page implements source.Pager. The list is walked from the newest event to the
// oldest, between two times that stand still, so that what happens meanwhile moves
// nothing.
func (stripe) Page(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	ask := url.Values{
		"limit":        {strconv.Itoa(pageEvents)},
		"created[gte]": {strconv.FormatInt(q.From.Unix(), 10)},
		"created[lt]":  {strconv.FormatInt(q.To.Unix(), 10)},
		"types[]":      q.Types,
	}
	if q.Cursor != nil {
		ask.Set("starting_after", string(q.Cursor))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/v1/events?"+ask.Encode(), nil)
	if err != nil {
		return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("asking for events: %w", err))
	}
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return source.APIPage{}, err
	}
	body, err := source.ReadAnswer(resp)
	if err != nil {
		return source.APIPage{}, refused(body, resp.StatusCode, q.Cursor != nil, err)
	}
	return readPage(body)
}

// refused adds Stripe's own code of an error, which is a word, to err. Its message
// may hold what was sent.
func refused(body []byte, status int, cursor bool, err error) error {
	var doc rawjson.Doc
	top, parseErr := doc.ParseBody(body, 0)
	if parseErr != nil {
		return err
	}
	e := top.Get("error")
	if cursor && (status == http.StatusBadRequest || status == http.StatusNotFound) && e.Get("param").Is("starting_after") {
		return fmt.Errorf("%w (%w)", err, source.ErrCursorGone)
	}
	for _, member := range []string{"code", "type"} {
		if word := e.Get(member).Text(); isWord(word) {
			return fmt.Errorf("%w (%s)", err, word)
		}
	}
	return err
}

// isWord: letters and underscores, as in resource_missing.
func isWord(text string) bool {
	const most = 64
	for _, c := range text {
		if c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return text != "" && len(text) <= most
}

// readPage takes {"object":"list","data":[…],"has_more":…} apart.
func readPage(body []byte) (source.APIPage, error) {
	var doc rawjson.Doc
	top, err := doc.ParseBody(body, 0)
	if err != nil {
		return source.APIPage{}, lie(fmt.Errorf("the list cannot be read: %w", err))
	}
	data, ok := stripe{}.List(top)
	more := top.Get("has_more")
	switch {
	case !ok && top.Get("error").Exists():
		return source.APIPage{}, lie(errors.New("the API answered 200 with an error instead of a list"))
	case !ok:
		return source.APIPage{}, lie(errors.New("the answer is no list: it has no object \"list\" with an array data"))
	case more.Kind() != rawjson.Bool:
		return source.APIPage{}, lie(errors.New("the list does not say whether it has_more"))
	case data.Len() > pageEvents:
		return source.APIPage{}, lie(fmt.Errorf("the list has %d events where %d were asked for", data.Len(), pageEvents))
	case data.Len() == 0 && more.Bool():
		return source.APIPage{}, lie(errors.New("the list is empty and says that there are more"))
	}
	var page source.APIPage
	for _, element := range data.Elements() {
		page.Parts = append(page.Parts, source.Part{Value: element.Bytes(), Object: element})
	}
	if more.Bool() {
		last := page.Parts[len(page.Parts)-1].Object.Get("id").Text()
		if last == "" || len(last) > source.MaxCursorBytes {
			return source.APIPage{}, lie(errors.New("the list has more, but its last event's id is no text to go on from"))
		}
		page.Next = []byte(last)
	}
	slices.Reverse(page.Parts)
	return page, nil
}

// lie marks an answer that Stripe does not give: whatever is between may be better
// the next time.
func lie(err error) error { return fault.Transient(fault.Malformed, err) }
