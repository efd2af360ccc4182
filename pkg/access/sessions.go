package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// How long a session lasts: at most SessionLife, and SessionIdle after it was used last.
const (
	SessionLife = 12 * time.Hour
	SessionIdle = 2 * time.Hour
)

// SignIn opens a session for somebody whom an identity provider knows, and gives its secret, for a cookie. Sessions
// that have ended are deleted.
func (s *Store) SignIn(ctx context.Context, a Actor) (session string, err error) {
	return s.open(ctx, a, nil)
}

// SignInWithToken opens a session for whoever has a token. It ends with the token. The error is Unauthenticated where
// the token is not valid.
func (s *Store) SignInWithToken(ctx context.Context, token string) (session string, a Actor, err error) {
	a, id, err := s.token(ctx, token)
	if err != nil {
		return "", Actor{}, err
	}
	session, err = s.open(ctx, a, &id)
	return session, a, err
}

func (s *Store) open(ctx context.Context, a Actor, token *int64) (string, error) {
	session := newSecret("")
	if _, err := s.pool.Exec(ctx, `WITH ended AS (DELETE FROM console_sessions WHERE expires_at < now())
		INSERT INTO console_sessions (session_sha256, who, role, token_id, expires_at) VALUES ($1, $2, $3, $4, now() + $5)`,
		digest(session), clip(a.Who, 200), a.Role, token, SessionLife); err != nil {
		return "", postgres.Classify(fmt.Errorf("opening a session: %w", err))
	}
	return session, nil
}

// BySession gives who acts in a session. The error is Unauthenticated where it has ended.
func (s *Store) BySession(ctx context.Context, session string) (a Actor, err error) {
	var stale bool
	err = s.pool.QueryRow(ctx, `SELECT c.who, c.role, c.seen_at < now() - INTERVAL '1 minute' FROM console_sessions c
		LEFT JOIN api_tokens t ON t.id = c.token_id
		WHERE c.session_sha256 = $1 AND c.expires_at > now() AND c.seen_at > now() - $2::interval
		  AND (c.token_id IS NULL OR t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()))`,
		digest(session), SessionIdle).Scan(&a.Who, &a.Role, &stale)
	if errors.Is(err, pgx.ErrNoRows) {
		return Actor{}, errUnknown
	}
	if err == nil && stale {
		_, err = s.pool.Exec(ctx, "UPDATE console_sessions SET seen_at = now() WHERE session_sha256 = $1", digest(session))
	}
	if err != nil {
		return Actor{}, postgres.Classify(fmt.Errorf("looking a session up: %w", err))
	}
	return a, nil
}

// SignOut ends a session; one that is unknown stays so.
func (s *Store) SignOut(ctx context.Context, session string) error {
	if _, err := s.pool.Exec(ctx, "DELETE FROM console_sessions WHERE session_sha256 = $1", digest(session)); err != nil {
		return postgres.Classify(fmt.Errorf("ending a session: %w", err))
	}
	return nil
}
