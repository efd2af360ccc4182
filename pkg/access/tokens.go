package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// CreateToken makes a token with a role, and gives it: it is shown now and never again. A zero expires is never. The
// name must not be that of a token that is in use (Conflict), expires not in the past (Malformed). The caller has
// checked that the actor may.
func (s *Store) CreateToken(ctx context.Context, by Actor, name string, role Role, expires time.Time) (api.NewTokenMade, error) {
	if err := checkName(name); err != nil {
		return api.NewTokenMade{}, err
	}
	if _, err := ParseRole(string(role)); err != nil {
		return api.NewTokenMade{}, err
	}
	if !expires.IsZero() && !expires.After(s.now()) {
		return api.NewTokenMade{}, fault.Permanent(fault.Malformed, fmt.Errorf("the token would have expired at %s", expires.UTC().Format(time.RFC3339)))
	}
	made := api.NewTokenMade{Secret: newSecret(TokenPrefix)}
	rows, err := s.pool.Query(ctx, `INSERT INTO api_tokens (name, role, token_sha256, created_by, expires_at) VALUES ($1, $2, $3, $4, $5)
		RETURNING `+tokenColumns, name, role, digest(made.Secret), clip(by.Who, 200), orNull(expires))
	if err == nil {
		made.Token, err = pgx.CollectExactlyOneRow(rows, scanToken)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.ConstraintName == "api_tokens_name_idx" {
		return api.NewTokenMade{}, fault.Permanent(fault.Conflict, fmt.Errorf("there is a token named %q: revoke it, or give this one another name", name))
	}
	if err != nil {
		return api.NewTokenMade{}, postgres.Classify(fmt.Errorf("making a token: %w", err))
	}
	return made, nil
}

// RevokeToken ends a token and the sessions that it opened. The error is NotFound for a token that is not there; a
// token that is revoked already stays so.
func (s *Store) RevokeToken(ctx context.Context, id int64) error {
	tag, err := s.pool.Exec(ctx, `WITH gone AS (DELETE FROM console_sessions WHERE token_id = $1)
		UPDATE api_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1`, id)
	if err != nil {
		return postgres.Classify(fmt.Errorf("revoking a token: %w", err))
	}
	if tag.RowsAffected() == 0 {
		return fault.Permanent(fault.NotFound, fmt.Errorf("there is no token %d", id))
	}
	return nil
}

// Tokens lists tokens whose id is below after (0: all), the newest first, revoked ones too.
func (s *Store) Tokens(ctx context.Context, after int64, limit int) ([]api.Token, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+tokenColumns+" FROM api_tokens WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2", after, limit)
	if err == nil {
		var list []api.Token
		if list, err = pgx.CollectRows(rows, scanToken); err == nil {
			return list, nil
		}
	}
	return nil, postgres.Classify(fmt.Errorf("listing tokens: %w", err))
}

// ByToken gives who acts with a token: token:NAME. The error is Unauthenticated where it is not valid.
func (s *Store) ByToken(ctx context.Context, token string) (Actor, error) {
	if !strings.HasPrefix(token, TokenPrefix) {
		return Actor{}, errUnknown
	}
	who, _, err := s.token(ctx, token)
	return who, err
}

// token looks a token up, and notes that it was used: once an hour, so that a busy token costs no writes.
func (s *Store) token(ctx context.Context, token string) (a Actor, id int64, err error) {
	var name string
	var stale bool
	err = s.pool.QueryRow(ctx, `SELECT id, name, role, coalesce(last_used_at < now() - INTERVAL '1 hour', true) FROM api_tokens
		WHERE token_sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`, digest(token)).Scan(&id, &name, &a.Role, &stale)
	if errors.Is(err, pgx.ErrNoRows) {
		return Actor{}, 0, errUnknown
	}
	if err != nil {
		return Actor{}, 0, postgres.Classify(fmt.Errorf("looking a token up: %w", err))
	}
	if stale {
		if _, err := s.pool.Exec(ctx, "UPDATE api_tokens SET last_used_at = greatest(date_trunc('hour', now()), created_at) WHERE id = $1", id); err != nil {
			return Actor{}, 0, postgres.Classify(fmt.Errorf("noting that a token was used: %w", err))
		}
	}
	a.Who = "token:" + name
	return a, id, nil
}

const tokenColumns = "id, name, role, created_by, created_at, expires_at, last_used_at, revoked_at"

func scanToken(row pgx.CollectableRow) (t api.Token, err error) {
	var expires, used, revoked *time.Time
	err = row.Scan(&t.ID, &t.Name, &t.Role, &t.CreatedBy, &t.CreatedAt, &expires, &used, &revoked)
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt, t.RevokedAt = t.CreatedAt.UTC(), utc(expires), utc(used), utc(revoked)
	return t, err
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
