package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
)

type tokensCommand struct {
	List   tokensListCommand   `cmd:"" default:"withargs" help:"List tokens, the newest first. The tokens themselves are nowhere."`
	Create tokensCreateCommand `cmd:"" help:"Make a token, and print it: it is never shown again."`
	Revoke tokensRevokeCommand `cmd:"" help:"Revoke a token, and end the sessions that it opened."`
}

// Help is kong's: what --help says beyond the summary.
func (*tokensCommand) Help() string {
	return "Tokens are for the HTTP API and for signing in to the console. It takes the database's role console, or its owner."
}

type tokensListCommand struct {
	Limit int `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

func (*tokensListCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *tokensListCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *tokensListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		found, err := access.NewStore(pool).Tokens(ctx, 0, c.Limit)
		if err != nil {
			return err
		}
		s.hintList(len(found), c.Limit, "token", "throughline tokens create NAME --role viewer makes one")
		return list(s, c.JSON, found, []column[api.Token]{
			{title: "id", text: func(v api.Token) string { return fmt.Sprint(v.ID) }},
			{title: "name", text: func(v api.Token) string { return v.Name }, wide: true},
			{title: "role", text: func(v api.Token) string { return v.Role }},
			{title: "state", text: func(v api.Token) string { return tokenState(v, s.now()) }},
			{title: "expires_at", text: func(v api.Token) string { return stamp(v.ExpiresAt) }},
			{title: "last_used_at", text: func(v api.Token) string { return stamp(v.LastUsedAt) }},
			{title: "created_by", text: func(v api.Token) string { return v.CreatedBy }, leave: 1},
			{title: "created_at", text: func(v api.Token) string { return stamp(v.CreatedAt) }, leave: 2},
		})
	})
}

func tokenState(t api.Token, now time.Time) string {
	switch {
	case !t.RevokedAt.IsZero():
		return "revoked"
	case !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now):
		return "expired"
	}
	return "valid"
}

type tokensCreateCommand struct {
	Name    string        `arg:"" help:"Whose it is or what for; it stands in the audit log as token:NAME."`
	Role    string        `name:"role" required:"" enum:"viewer,operator,admin" help:"What it may do: ${enum}. A viewer reads; an operator decides about accounts, links, the quarantine, drift and pulls; an admin makes tokens and reads the audit log."`
	Expires time.Duration `name:"expires-in" placeholder:"DURATION" help:"How long it is valid, such as 720h; default: until it is revoked."`
	byFlags
	outputFlags
}

func (*tokensCreateCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *tokensCreateCommand) Validate() error {
	if c.Expires < 0 {
		return fmt.Errorf("--expires-in is %s: it should be above 0", c.Expires)
	}
	return nil
}

// Run is kong's.
func (c *tokensCreateCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		store, actor := access.NewStore(pool), c.actor()
		var expires time.Time
		if c.Expires > 0 {
			expires = s.now().Add(c.Expires)
		}
		made, err := store.CreateToken(ctx, actor, c.Name, access.Role(c.Role), expires)
		if err != nil {
			return err
		}
		if err := store.Record(ctx, actor, "createToken", fmt.Sprintf("token %d (%s, %s)", made.ID, made.Name, made.Role), access.Done, "", false); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, made)
		}
		s.say("Keep this token: it is not shown again. It opens the console, and programs send it as Authorization: Bearer.")
		_, err = fmt.Fprintln(s.Out, made.Secret)
		return err
	})
}

type tokensRevokeCommand struct {
	ID int64 `arg:"" help:"The token's number, as the list shows it."`
	byFlags
}

func (*tokensRevokeCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *tokensRevokeCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		store := access.NewStore(pool)
		if err := store.RevokeToken(ctx, c.ID); err != nil {
			return err
		}
		s.say("token %d is revoked", c.ID)
		return store.Record(ctx, c.actor(), "revokeToken", fmt.Sprintf("token %d", c.ID), access.Done, "", false)
	})
}

// actor is whoever runs the command line, in the audit log. The database's roles say what they may.
func (f byFlags) actor() access.Actor {
	return access.Actor{Who: "cli:" + f.author(), Role: access.Admin, Via: "cli"}
}
