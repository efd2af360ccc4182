package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
)

// tokens serves an API that takes the newest of the tokens it has given, and gives a client of it.
func tokens(t *testing.T, lasts time.Duration) (c *Client, logins *atomic.Int64) {
	t.Helper()
	logins = new(atomic.Int64)
	server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch want := fmt.Sprintf("Bearer token-%d", logins.Load()); {
		case r.URL.Path == "/login":
			require.Empty(t, r.Header.Get("Authorization"))
			fmt.Fprintf(w, "token-%d", logins.Add(1))
		case r.Header.Get("Authorization") != want:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprintf(w, "%s %s", want, body)
		}
	})
	c, err := New(Options{Address: server.URL, AllowPrivate: true, Key: key, API: source.API{
		Authorize: bearer,
		Login: func(ctx context.Context, api source.Doer, with string) (source.Token, error) {
			require.Equal(t, key, with)
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/login", nil)
			require.NoError(t, err)
			resp, err := api.Do(r)
			if err != nil {
				return source.Token{}, err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return source.Token{Text: string(body), Lasts: lasts}, err
		},
	}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, logins
}

func TestLogsInOnceForAll(t *testing.T) {
	t.Parallel()
	c, logins := tokens(t, time.Hour)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			body, err := get(t, c, "/x")
			require.NoError(t, err)
			require.Equal(t, "Bearer token-1 ", body)
		})
	}
	all.Wait()
	require.EqualValues(t, 1, logins.Load())
}

func TestLogsInAgainAfterARefusal(t *testing.T) {
	t.Parallel()
	c, logins := tokens(t, 0)
	_, err := get(t, c, "/x")
	require.NoError(t, err)
	logins.Add(1) // the vendor has forgotten the first
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader("with a body"))
	require.NoError(t, err)
	resp, err := c.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "Bearer token-3 with a body", string(body))
	source.TokenRefused(c) // as a 200 said
	_, err = get(t, c, "/x")
	require.NoError(t, err)
	require.EqualValues(t, 4, logins.Load())
}

func TestRenewsATokenThatHasEnded(t *testing.T) {
	t.Parallel()
	c, logins := tokens(t, time.Nanosecond)
	for n := int64(1); n < 4; n++ {
		_, err := get(t, c, "/x")
		require.NoError(t, err)
		require.Equal(t, n, logins.Load())
	}
}

func TestALoginThatFails(t *testing.T) {
	t.Parallel()
	refused := errors.New("no such client")
	for _, login := range []func(context.Context, source.Doer, string) (source.Token, error){
		func(context.Context, source.Doer, string) (source.Token, error) { return source.Token{}, refused },
		func(context.Context, source.Doer, string) (source.Token, error) { return source.Token{}, nil },
	} {
		server, calls := serve(t, func(http.ResponseWriter, *http.Request) {})
		c := client(t, Options{Address: server.URL, AllowPrivate: true, API: source.API{Login: login}})
		_, err := get(t, c, "/x")
		require.ErrorContains(t, err, "logging in: ")
		require.Zero(t, calls.Load())
	}
}
