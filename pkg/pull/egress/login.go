package egress

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// login keeps the token that a key was exchanged for, and renews it before it ends.
type login struct {
	by   func(context.Context, source.Doer, string) (source.Token, error)
	key  string
	turn chan struct{} // whoever has put something in may touch what follows

	text  string
	until time.Time // zero: until it is refused
}

// renewBefore is how long before its end a token is not used any more: longer than a
// request takes.
const renewBefore = 2 * time.Minute

// token gives one, and logs in for it where there is none that holds. Only one
// caller logs in, the others wait for its token.
func (l *login) token(ctx context.Context, c *Client) (string, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return "", fault.Transient(fault.Unavailable, fmt.Errorf("waiting for a token of the API: %w", context.Cause(ctx)))
	}
	if l.text != "" && (l.until.IsZero() || time.Now().Before(l.until)) {
		return l.text, nil
	}
	asked := time.Now()
	token, err := l.by(ctx, plain{c}, l.key)
	if err != nil {
		return "", fmt.Errorf("logging in: %w", err)
	}
	if token.Text == "" {
		return "", fault.Transient(fault.Malformed, fmt.Errorf("logging in: the API answered without a token"))
	}
	l.text, l.until = token.Text, time.Time{}
	if token.Lasts > 0 {
		l.until = asked.Add(max(token.Lasts-renewBefore, token.Lasts/2))
	}
	return l.text, nil
}

// refused forgets the token, if it still is this one; "" is any.
func (l *login) refused(text string) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if text == "" || l.text == text {
		l.text = ""
	}
}

// plain asks without a token: for the login itself.
type plain struct{ c *Client }

// Do implements source.Doer.
func (p plain) Do(r *http.Request) (*http.Response, error) { return p.c.send(r, "") }
