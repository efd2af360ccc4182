package access

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	for role, may := range map[Role][]Role{Viewer: {Viewer}, Operator: {Viewer, Operator}, Admin: {Viewer, Operator, Admin}, "": nil, "root": nil} {
		for _, needed := range Roles() {
			require.Equal(t, slices.Contains(may, needed), role.May(needed), "%s may %s", role, needed)
		}
	}
	require.False(t, Admin.May("root"), "a role that does not exist is nobody's")
	require.Equal(t, fault.Forbidden, fault.ReasonOf(ActorOf(t.Context()).Require(Viewer)), "without an actor nothing is allowed")
	a := Actor{Who: "user:ada@example.com", Role: Viewer}
	require.ErrorContains(t, ActorOf(WithActor(t.Context(), a)).Require(Operator), "ask an admin")
	_, err := ParseRole("root")
	require.ErrorContains(t, err, "viewer, operator and admin")
}

func TestTokensAndSessions(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), postgrestest.New(t)
	s := NewStore(pool)
	admin := Actor{Who: "user:root@example.com", Role: Admin, Via: "console"}

	made, err := s.CreateToken(ctx, admin, "reports", Operator, time.Time{})
	require.NoError(t, err)
	require.Regexp(t, `^tl_[A-Za-z0-9_-]{43}$`, made.Secret)
	who, err := s.ByToken(ctx, made.Secret)
	require.NoError(t, err)
	require.Equal(t, Actor{Who: "token:reports", Role: Operator}, who)
	list, err := s.Tokens(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.False(t, list[0].LastUsedAt.IsZero())
	require.False(t, list[0].LastUsedAt.Before(list[0].CreatedAt), "used %s, made %s", list[0].LastUsedAt, list[0].CreatedAt)
	var stored int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM api_tokens t WHERE t::text LIKE '%' || $1 || '%'", made.Secret[3:]).Scan(&stored))
	require.Zero(t, stored, "the token itself is nowhere")

	_, err = s.CreateToken(ctx, admin, "reports", Viewer, time.Time{})
	require.Equal(t, fault.Conflict, fault.ReasonOf(err))
	for name, expires := range map[string]time.Time{"": {}, "a\x00b": {}, "old": time.Now().Add(-time.Minute)} {
		_, err = s.CreateToken(ctx, admin, name, Viewer, expires)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), name)
	}
	for _, wrong := range []string{"", "tl_", "x" + made.Secret, made.Secret + "x", made.Secret[3:]} {
		_, err = s.ByToken(ctx, wrong)
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err), wrong)
	}

	session, who, err := s.SignInWithToken(ctx, made.Secret)
	require.NoError(t, err)
	require.Equal(t, "token:reports", who.Who)
	person, err := s.SignIn(ctx, Actor{Who: "user:ada@example.com", Role: Viewer})
	require.NoError(t, err)
	for open, want := range map[string]string{session: "token:reports", person: "user:ada@example.com"} {
		who, err = s.BySession(ctx, open)
		require.NoError(t, err)
		require.Equal(t, want, who.Who)
	}

	require.NoError(t, s.RevokeToken(ctx, made.ID))
	require.NoError(t, s.RevokeToken(ctx, made.ID), "twice is no error")
	require.Equal(t, fault.NotFound, fault.ReasonOf(s.RevokeToken(ctx, 999)))
	_, err = s.ByToken(ctx, made.Secret)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	_, err = s.BySession(ctx, session)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err), "a session ends with its token")
	_, err = s.CreateToken(ctx, admin, "reports", Viewer, time.Time{})
	require.NoError(t, err, "the name of a revoked token is free")

	_, err = pool.Exec(ctx, "UPDATE console_sessions SET seen_at = now() - $1::interval", SessionIdle+time.Minute)
	require.NoError(t, err)
	_, err = s.BySession(ctx, person)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err), "a session that nobody used ends")
	person, err = s.SignIn(ctx, Actor{Who: "user:ada@example.com", Role: Viewer})
	require.NoError(t, err)
	require.NoError(t, s.SignOut(ctx, person))
	_, err = s.BySession(ctx, person)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
}

func TestAudit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := NewStore(postgrestest.New(t))
	ada, bob := Actor{Who: "user:ada@example.com", Role: Operator, Via: "console"}, Actor{Who: "token:bob", Role: Viewer, Via: "api"}
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'x'
	}
	require.NoError(t, s.Record(ctx, ada, "linkReference", "stripe:customer:cus_1", Done, "bad \xff text\x00", false))
	require.NoError(t, s.Record(ctx, bob, "linkReference", string(long), Refused, "this is for the role operator", true))
	all, err := s.Audit(ctx, "", "", 0, 10)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "token:bob", all[0].Who)
	require.True(t, all[0].DryRun)
	require.LessOrEqual(t, len(all[0].Target), 1200)
	require.Equal(t, "bad \uFFFD text", all[1].Why)
	for _, c := range []struct {
		who, action string
		after       int64
		n           int
	}{{"token:bob", "", 0, 1}, {"", "linkReference", 0, 2}, {"", "revokeToken", 0, 0}, {"", "", all[0].ID, 1}} {
		some, err := s.Audit(ctx, c.who, c.action, c.after, 10)
		require.NoError(t, err)
		require.Len(t, some, c.n, c)
	}
}
