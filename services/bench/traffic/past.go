package traffic

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Past is what a vendor's API that answers at once has: Stripe's events, as many in
// each window of its time as in any other, all different, made anew for each page by
// patching those of the first. It is safe for concurrent use.
type Past struct {
	// Began is when the oldest event happened, in whole seconds.
	Began time.Time
	// PerWindow is how many events lie in each Window.
	PerWindow int
	Window    time.Duration

	events []pattern
}

// PageEvents is how many events a page has.
const PageEvents = 100

// pattern is an event without its id and its time.
type pattern struct{ before, between, after []byte }

// idDigits are those of an event's number.
const idDigits = 24

// Past gives the past of some accounts, which began then.
func (a Accounts) Past(began time.Time, window time.Duration, perWindow int) (*Past, error) {
	t, err := a.Traffic()
	if err != nil {
		return nil, err
	}
	p := &Past{Began: began.UTC().Truncate(time.Second), PerWindow: perWindow, Window: window}
	for i := range PageEvents {
		d, err := t.Stripe(i)
		if err != nil {
			return nil, err
		}
		id, created := []byte(`"id":"evt_`), []byte(`"created":`+strconv.FormatInt(t.began.Add(time.Duration(i)*time.Millisecond).Unix(), 10))
		body := bytes.ReplaceAll(d.Body, []byte(`": `), []byte(`":`))
		from := bytes.Index(body, id)
		if from < 0 {
			return nil, fmt.Errorf("an event has no id: %.100s", body)
		}
		from += len(id)
		to := from + bytes.IndexByte(body[from:], '"')
		at := bytes.Index(body[to:], created)
		if at < 0 {
			return nil, fmt.Errorf("an event has no time of creation: %.100s", body)
		}
		at += to
		p.events = append(p.events, pattern{body[:from], body[to : at+len(`"created":`)], body[at+len(created):]})
	}
	return p, nil
}

// Append appends event n, the oldest being 0.
func (p *Past) Append(to []byte, n int) []byte {
	e := &p.events[n%len(p.events)]
	to = append(to, e.before...)
	to = fmt.Appendf(to, "%0*d", idDigits, n)
	to = append(to, e.between...)
	to = strconv.AppendInt(to, p.at(n).Unix(), 10)
	return append(to, e.after...)
}

func (p *Past) at(n int) time.Time {
	window, in := n/p.PerWindow, n%p.PerWindow
	return p.Began.Add(time.Duration(window)*p.Window + time.Duration(in)*p.Window/time.Duration(p.PerWindow)).Truncate(time.Second)
}

// Page gives the answer to a question of Stripe's event list for one window, and for
// what lies before an event of it, "" for its newest: as in Stripe's list, the newest
// first.
func (p *Past) Page(from time.Time, after string) ([]byte, error) {
	window := int(from.Sub(p.Began) / p.Window)
	first, end := window*p.PerWindow, (window+1)*p.PerWindow
	if after != "" {
		n, err := strconv.Atoi(after[len("evt_"):])
		if err != nil || n < first || n >= end {
			return nil, fmt.Errorf("%.50q is no event of the window", after)
		}
		end = n
	}
	start := max(first, end-PageEvents)
	body := make([]byte, 0, PageEvents*1600)
	body = fmt.Appendf(body, `{"object":"list","url":"/v1/events","has_more":%t,"data":[`, start > first)
	for n := end - 1; n >= start; n-- {
		body = p.Append(body, n)
		if n > start {
			body = append(body, ',')
		}
	}
	return append(body, "]}"...), nil
}
