package webtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// CreateAccount makes one.
func (f *Fake) CreateAccount(ctx context.Context, n backend.NewAccount) (api.Account, error) {
	if err := f.decide(ctx, "createAccount", n.Name, access.Operator); err != nil {
		return api.Account{}, err
	}
	defer f.mu.Unlock()
	if strings.TrimSpace(n.Name) == "" {
		return api.Account{}, problem.Field("name", errors.New("an account needs a name"))
	}
	if err := f.distinct(uuid.Nil, n.Name, n.Anyway); err != nil {
		return api.Account{}, err
	}
	a := api.AccountSummary{Account: api.Account{ID: uuid.New(), Name: n.Name, Domain: n.Domain, Owner: n.Owner, ParentID: n.Parent, CreatedBy: access.ActorOf(ctx).Who, CreatedAt: f.now(), UpdatedAt: f.now()}}
	f.accounts = append(f.accounts, a)
	f.did(ctx, "createAccount", a.ID.String(), "", false)
	return a.Account, nil
}

// distinct refuses a name that another account has.
func (f *Fake) distinct(id uuid.UUID, name string, anyway bool) error {
	for i := range f.accounts {
		if a := f.accounts[i]; !anyway && a.ID != id && strings.EqualFold(a.Name, name) {
			return problem.Field("anyway", problem.Similar([]problem.Account{{ID: a.ID, Name: a.Name, Domain: a.Domain}}, fault.Permanent(fault.Conflict, errors.New("there is a similar account"))))
		}
	}
	return nil
}

// ChangeAccount changes one.
func (f *Fake) ChangeAccount(ctx context.Context, id uuid.UUID, c backend.AccountChange) (api.Account, error) {
	if err := f.decide(ctx, "changeAccount", id.String(), access.Operator); err != nil {
		return api.Account{}, err
	}
	defer f.mu.Unlock()
	a, err := f.account(id)
	if err != nil {
		return api.Account{}, err
	}
	if c.Name != nil {
		if err := f.distinct(id, *c.Name, c.Anyway); err != nil {
			return api.Account{}, err
		}
		a.Name = *c.Name
	}
	if c.Owner != nil {
		a.Owner = *c.Owner
	}
	f.did(ctx, "changeAccount", id.String(), c.Reason, false)
	return a.Account, nil
}

// MergeAccount moves everything.
func (f *Fake) MergeAccount(ctx context.Context, from, into uuid.UUID, reason string, dryRun bool) (api.Effect, error) {
	if err := f.decide(ctx, "mergeAccount", from.String(), access.Operator); err != nil {
		return api.Effect{}, err
	}
	defer f.mu.Unlock()
	a, err := f.account(from)
	if err == nil {
		_, err = f.account(into)
	}
	if err != nil {
		return api.Effect{}, err
	}
	e := api.Effect{Verb: "merge", Changed: true, DryRun: dryRun, FromAccount: from, ToAccount: into, Moves: []api.MoveCount{{FromAccount: from, ToAccount: into, Events: int64(len(f.events[from]))}}}
	f.did(ctx, "mergeAccount", from.String(), reason, dryRun)
	if !dryRun {
		a.MergedInto = into
	}
	return e, nil
}

// Link links a reference: what waits for it comes onto the account's timeline.
func (f *Fake) Link(ctx context.Context, l api.Linking) (api.Effect, error) {
	if err := f.decide(ctx, "linkReference", l.Reference, access.Operator); err != nil {
		return api.Effect{}, err
	}
	defer f.mu.Unlock()
	return f.link(ctx, l)
}

func (f *Fake) link(ctx context.Context, l api.Linking) (api.Effect, error) {
	a, err := f.account(l.AccountID)
	if err != nil {
		return api.Effect{}, problem.Field("account_id", err)
	}
	if slices.ContainsFunc(f.links, func(x api.Link) bool { return x.Reference == l.Reference && x.AccountID != l.AccountID }) {
		return api.Effect{}, fault.Permanent(fault.Conflict, fmt.Errorf("%s is linked to another account", l.Reference))
	}
	e := api.Effect{Verb: "link", Reference: l.Reference, Changed: true, DryRun: l.DryRun, ToAccount: l.AccountID, Moves: []api.MoveCount{}}
	f.did(ctx, "linkReference", l.Reference, l.Reason, l.DryRun)
	if l.DryRun {
		return e, nil
	}
	e.DecisionID = f.decided(ctx, "link", l.Reference, uuid.Nil, l.AccountID, l.Reason)
	f.links = append(f.links, api.Link{Reference: l.Reference, AccountID: l.AccountID, AccountName: a.Name, Learned: "operator", CreatedBy: access.ActorOf(ctx).Who, CreatedAt: f.now(), DecisionID: e.DecisionID})
	for i := range f.suggestions {
		if f.suggestions[i].Reference == l.Reference {
			f.suggestions[i].Status = "accepted"
		}
	}
	return e, nil
}

func (f *Fake) decided(ctx context.Context, verb, reference string, from, to uuid.UUID, reason string) int64 {
	id := int64(len(f.decisions) + 1)
	f.decisions = append(f.decisions, api.Decision{ID: id, Verb: verb, Reference: reference, FromAccount: from, ToAccount: to, Level: "decided", Learned: "operator",
		Author: access.ActorOf(ctx).Who, Reason: reason, At: f.now()})
	return id
}

// Drain brings one record that waits for a linked reference onto its timeline, as the pipeline does. It says whether there was one.
func (f *Fake) Drain() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.quarantine {
		q := &f.quarantine[i]
		for _, l := range f.links {
			if (q.Status == "open" || q.Status == "replaying") && slices.Contains(references(q.QuarantineRecord), l.Reference) {
				q.Status, q.Outcome = "resolved", "inserted"
				f.store(l.AccountID, q.Source, q.EventType, "", q.FirstSeen, string(q.Raw))
				return true
			}
		}
	}
	return false
}

// Unlink takes a link back.
func (f *Fake) Unlink(ctx context.Context, reference, reason string, never, dryRun bool) (api.Effect, error) {
	if err := f.decide(ctx, "unlinkReference", reference, access.Operator); err != nil {
		return api.Effect{}, err
	}
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.links, func(l api.Link) bool { return l.Reference == reference })
	if at < 0 {
		return api.Effect{}, notFound("link of " + reference)
	}
	from := f.links[at].AccountID
	e := api.Effect{Verb: "unlink", Reference: reference, Changed: true, DryRun: dryRun, FromAccount: from, Moves: []api.MoveCount{{FromAccount: from, Events: 3}}, Untraced: 1}
	f.did(ctx, "unlinkReference", reference, reason, dryRun)
	if !dryRun {
		verb := "unlink"
		if never {
			verb = "not_this_account"
		}
		e.DecisionID = f.decided(ctx, verb, reference, from, uuid.Nil, reason)
		f.links = slices.Delete(f.links, at, at+1)
		f.moves = append(f.moves, api.Move{ID: int64(len(f.moves) + 1), DecisionID: e.DecisionID, Verb: verb, Reference: reference, FromAccount: from, Events: 3, Author: access.ActorOf(ctx).Who, CreatedAt: f.now()})
	}
	return e, nil
}

// AcceptSuggestion links it.
func (f *Fake) AcceptSuggestion(ctx context.Context, id int64, reason string) (api.Effect, error) {
	if err := f.decide(ctx, "acceptSuggestion", fmt.Sprint(id), access.Operator); err != nil {
		return api.Effect{}, err
	}
	defer f.mu.Unlock()
	for _, s := range f.suggestions {
		if s.ID == id {
			return f.link(ctx, api.Linking{Reference: s.Reference, AccountID: s.AccountID, Reason: reason})
		}
	}
	return api.Effect{}, notFound(fmt.Sprintf("suggestion %d", id))
}

// RejectSuggestion says no.
func (f *Fake) RejectSuggestion(ctx context.Context, id int64, reason string) (api.Effect, error) {
	if err := f.decide(ctx, "rejectSuggestion", fmt.Sprint(id), access.Operator); err != nil {
		return api.Effect{}, err
	}
	defer f.mu.Unlock()
	for i := range f.suggestions {
		if f.suggestions[i].ID == id {
			f.suggestions[i].Status = "rejected"
			f.did(ctx, "rejectSuggestion", fmt.Sprint(id), reason, false)
			return api.Effect{Verb: "not_this_account", Reference: f.suggestions[i].Reference, Changed: true, Moves: []api.MoveCount{}}, nil
		}
	}
	return api.Effect{}, notFound(fmt.Sprintf("suggestion %d", id))
}

func (f *Fake) change(ctx context.Context, action, to string, s backend.Selection) (api.QuarantineChange, error) {
	if err := f.decide(ctx, action, cmp.Or(s.Reference, s.Reason, fmt.Sprint(s.IDs)), access.Operator); err != nil {
		return api.QuarantineChange{}, err
	}
	defer f.mu.Unlock()
	c := api.QuarantineChange{DryRun: s.DryRun}
	if len(s.IDs) == 0 && s.Reason == "" && s.Source == "" && s.Reference == "" {
		return c, problem.Field("ids", errors.New("say which records"))
	}
	for i := range f.quarantine {
		q := &f.quarantine[i]
		if len(s.IDs) > 0 && !slices.Contains(s.IDs, q.ID) || s.Reason != "" && q.Reason != s.Reason || s.Source != "" && q.Source != s.Source ||
			s.Reference != "" && !slices.Contains(references(q.QuarantineRecord), s.Reference) {
			continue
		}
		c.Matched++
		if q.Status != "open" {
			c.Skipped++
			continue
		}
		c.Changed++
		if !s.DryRun {
			q.Decisions = append(q.Decisions, api.StatusDecision{From: q.Status, To: to, By: access.ActorOf(ctx).Who, At: f.now(), Note: s.Note})
			q.Status, q.StatusBy, q.StatusAt = to, access.ActorOf(ctx).Who, f.now()
		}
	}
	f.did(ctx, action, cmp.Or(s.Reference, s.Reason, fmt.Sprint(s.IDs)), s.Note, s.DryRun)
	return c, nil
}

// Release releases records.
func (f *Fake) Release(ctx context.Context, s backend.Selection) (api.QuarantineChange, error) {
	return f.change(ctx, "releaseQuarantine", "replaying", s)
}

// Discard discards records.
func (f *Fake) Discard(ctx context.Context, s backend.Selection) (api.QuarantineChange, error) {
	return f.change(ctx, "discardQuarantine", "discarded", s)
}

// StartPull asks for a pull.
func (f *Fake) StartPull(ctx context.Context, n backend.NewPull) (api.PullRequest, error) {
	if err := f.decide(ctx, "startPull", n.Source, access.Operator); err != nil {
		return api.PullRequest{}, err
	}
	defer f.mu.Unlock()
	if n.Since.IsZero() {
		return api.PullRequest{}, problem.Field("since", errors.New("say since when"))
	}
	if r, ok := f.asked[n.Key]; ok && n.Key != "" {
		return f.requests[r-1], nil
	}
	r := api.PullRequest{ID: int64(len(f.requests) + 1), Source: n.Source, Stream: n.Stream, Types: n.Types, Since: n.Since, Until: cmp.Or(n.Until, f.now()), DryRun: n.DryRun,
		State: "requested", AskedBy: access.ActorOf(ctx).Who, AskedAt: f.now()}
	f.requests = append(f.requests, r)
	if f.asked == nil {
		f.asked = map[string]int64{}
	}
	f.asked[n.Key] = r.ID
	f.did(ctx, "startPull", n.Source, "", n.DryRun)
	return r, nil
}

// CancelPull cancels a request.
func (f *Fake) CancelPull(ctx context.Context, id int64) (api.PullRequest, error) {
	if err := f.decide(ctx, "cancelPull", fmt.Sprint(id), access.Operator); err != nil {
		return api.PullRequest{}, err
	}
	defer f.mu.Unlock()
	for i := range f.requests {
		if r := &f.requests[i]; r.ID == id {
			if !r.FinishedAt.IsZero() {
				return *r, fault.Permanent(fault.Conflict, fmt.Errorf("request %d has ended already: it is %s", id, r.State))
			}
			r.State, r.Reason, r.FinishedAt = "cancelled", "cancelled by "+access.ActorOf(ctx).Who, f.now()
			f.did(ctx, "cancelPull", fmt.Sprint(id), "", false)
			return *r, nil
		}
	}
	return api.PullRequest{}, notFound(fmt.Sprintf("request %d", id))
}

// AcknowledgeDrift acknowledges a finding.
func (f *Fake) AcknowledgeDrift(ctx context.Context, id int64, reason string) (api.Finding, error) {
	if err := f.decide(ctx, "acknowledgeDrift", fmt.Sprint(id), access.Operator); err != nil {
		return api.Finding{}, err
	}
	defer f.mu.Unlock()
	for i := range f.drift {
		if f.drift[i].ID == id {
			f.drift[i].State, f.drift[i].StateBy = "acknowledged", access.ActorOf(ctx).Who
			f.did(ctx, "acknowledgeDrift", fmt.Sprint(id), reason, false)
			return f.drift[i], nil
		}
	}
	return api.Finding{}, notFound(fmt.Sprintf("finding %d", id))
}

// CreateToken makes a token.
func (f *Fake) CreateToken(ctx context.Context, name string, role access.Role, expires time.Time) (api.NewTokenMade, error) {
	if err := f.decide(ctx, "createToken", name, access.Admin); err != nil {
		return api.NewTokenMade{}, err
	}
	defer f.mu.Unlock()
	t := api.Token{ID: int64(len(f.tokens) + 1), Name: name, Role: string(role), CreatedBy: access.ActorOf(ctx).Who, CreatedAt: f.now(), ExpiresAt: expires}
	f.tokens = append(f.tokens, t)
	f.did(ctx, "createToken", name, "", false)
	return api.NewTokenMade{Token: t, Secret: "tl_made_for_a_test"}, nil
}

// RevokeToken revokes one.
func (f *Fake) RevokeToken(ctx context.Context, id int64) error {
	if err := f.decide(ctx, "revokeToken", fmt.Sprint(id), access.Admin); err != nil {
		return err
	}
	defer f.mu.Unlock()
	for i := range f.tokens {
		if f.tokens[i].ID == id {
			f.tokens[i].RevokedAt = f.now()
			f.did(ctx, "revokeToken", fmt.Sprint(id), "", false)
			return nil
		}
	}
	return notFound(fmt.Sprintf("token %d", id))
}
