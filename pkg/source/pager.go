package source

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Pager is implemented by sources whose vendor's API gives the events of the past.
// Like the rest of a source it is pure: who calls, how often, with which key and
// within which bounds is the caller's business (pkg/pull).
type Pager interface {
	Source

	// API says how the vendor's API is called.
	API() API

	// Streams gives what the API can be asked for, at least one.
	Streams() []Stream

	// Page makes one request and gives its events. A Transient error may be tried
	// again with the same query, after the pause that After gives; one whose reason
	// is Malformed is an answer that no such API gives, which may come of something
	// between. ErrCursorGone in the chain says that only the cursor is refused.
	Page(ctx context.Context, api Doer, q Query) (APIPage, error)
}

// API is how a vendor's API is called.
type API struct {
	// Address is what requests are relative to: "https://api.stripe.com". "": each
	// customer of the vendor has its own, and the setting API_URL gives it.
	Address string
	// Hosts are the only ones that may be called. One with a dot before it stands
	// for every name that ends so.
	Hosts []string
	// Rate is how many requests a second the vendor allows, with room to spare.
	Rate float64
	// Left reads from an answer's headers what is left of the requests that the vendor
	// allows; nil: ReadLeft does.
	Left func(h http.Header) (Left, bool)
	// Slower are the beginnings of paths that have a lower rate of their own.
	Slower map[string]float64
	// Authorize puts the key, or the token of Login, on a request's headers, never
	// in its URL.
	Authorize func(h http.Header, key string)
	// Login exchanges the key for a token, where the vendor wants one; else nil. Its
	// requests go without Authorize. Errors are those of Pager.Page.
	Login func(ctx context.Context, api Doer, key string) (Token, error)
}

// Token is what a Login gave.
type Token struct {
	Text string
	// Lasts is for how long the vendor says that it is valid; 0: until it is refused.
	Lasts time.Duration
}

// Stream is one thing that a vendor's API can be asked for.
type Stream struct {
	// Name is how checkpoints name it: "events".
	Name string
	// Window is the longest time that one cursor walks through; a longer period is
	// taken in several, the oldest first.
	Window time.Duration
	// Keeps is how far back the vendor promises to have events; 0: without end.
	Keeps time.Duration
	// MostTypes is how many types may be asked for; 0: types cannot be chosen.
	MostTypes int
	// Together is how many windows may be asked for side by side, where requests of
	// one do not depend on another's; 0: one at a time.
	Together int
	// Poll: the vendor never pushes these events, so they must be asked for again
	// and again.
	Poll bool
	// Late is how long after an event the API may still not tell of it: polls
	// overlap by so much, and a comparison leaves so much of the end out. 0: a minute.
	Late time.Duration
}

// Query asks for one page of a stream.
type Query struct {
	Stream string
	// From and To bound the time of events, To not included. Both are whole seconds.
	From, To time.Time
	// Types are the vendor's own types; none: all.
	Types []string
	// Cursor is the Next of the page before, or nil.
	Cursor []byte
}

// MaxCursorBytes bounds a page's Next.
const MaxCursorBytes = 4 << 10

// APIPage is what one request gave. Its parts may alias the answer's bytes, which
// belong to it alone.
type APIPage struct {
	// Parts are the events, the oldest first, as a webhook would have brought them.
	Parts []Part
	// Others is how many more things the answer listed that are no events of the
	// query: a page of them alone is not empty.
	Others int
	// Next is where the next page begins, of at most MaxCursorBytes bytes; nil:
	// this was the last of the query's period.
	Next []byte
	// Gaps are what the vendor says that there is and does not give.
	Gaps []Gap
}

// Gap is a part of the past that a vendor's API does not give.
type Gap struct {
	// Object is whose part it is, in the form of References.
	Object Reference
	// Missing is how many events there are in it at least.
	Missing int
	// Why is for a person: "Intercom gives the newest 500 parts of a conversation".
	Why string
}

// Doer makes requests of one vendor's API. A request's URL is relative to
// API.Address; the Doer adds the key, and bounds time, size and rate. The
// answer's body must be closed.
type Doer interface {
	Do(r *http.Request) (*http.Response, error)
}

// WithoutKey gives a context whose requests a Doer makes without the key: those to an
// address that a vendor gave, and that holds its own permission.
func WithoutKey(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutKey{}, true)
}

// GoesWithoutKey reports whether a request's context is one of WithoutKey.
func GoesWithoutKey(ctx context.Context) bool { return ctx.Value(withoutKey{}) != nil }

type withoutKey struct{}

// TokenRefused tells a Doer that the vendor no longer takes its token, for vendors
// that say so in a 200; after a 401 a Doer knows. The next request logs in again.
func TokenRefused(api Doer) {
	if forgets, ok := api.(interface{ TokenRefused() }); ok {
		forgets.TokenRefused()
	}
}

// ErrCursorGone says that the vendor no longer knows a cursor. The period may be
// asked for again from its beginning.
var ErrCursorGone = errors.New("the vendor no longer knows the cursor")

// Later says that err, which the vendor's API answered with, may be tried again
// after this pause and not before. A nil err gives nil.
func Later(err error, pause time.Duration) error {
	if err == nil || pause <= 0 {
		return err
	}
	return &later{err, pause}
}

// After gives the pause that an error of a vendor's API asks for, or 0.
func After(err error) time.Duration {
	var l *later
	if errors.As(err, &l) {
		return l.pause
	}
	return 0
}

type later struct {
	err   error
	pause time.Duration
}

// Error is that of the error within.
func (l *later) Error() string { return l.err.Error() }

// Unwrap gives the error within.
func (l *later) Unwrap() error { return l.err }
