package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// CreateAccount is Decider's.
func (b *Service) CreateAccount(ctx context.Context, n NewAccount) (api.Account, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return api.Account{}, fmt.Errorf("making an account id: %w", err)
	}
	return act(ctx, b, deed{role: access.Operator, action: "createAccount", made: id.String()}, func(ctx context.Context, by access.Actor) (api.Account, error) {
		if err := texts("name", n.Name, "domain", n.Domain, "owner", n.Owner); err != nil {
			return api.Account{}, err
		}
		if n.Parent != uuid.Nil {
			if err := b.reading(ctx, func(tx pgx.Tx) error { return b.accounts.In(tx).Exists(ctx, n.Parent) }); err != nil {
				if fault.ReasonOf(err) == fault.NotFound {
					return api.Account{}, malformed("parent_id", "no account has the id %s", n.Parent)
				}
				return api.Account{}, err
			}
		}
		add := b.accounts.AddDistinct
		if n.Anyway {
			add = b.accounts.AddAccount
		}
		made, err := add(ctx, accounts.Account{ID: id, Name: n.Name, Domain: n.Domain, Owner: n.Owner, ParentID: n.Parent}, by.Who)
		return api.NewAccount(made), similar(err)
	})
}

// similar says which accounts are in the way, and how to insist.
func similar(err error) error {
	var others *accounts.SimilarError
	if !errors.As(err, &others) {
		return err
	}
	list := make([]problem.Account, len(others.Accounts))
	for i, a := range others.Accounts {
		list[i] = problem.Account{ID: a.ID, Name: a.Name, Domain: a.Domain}
	}
	return problem.Field("anyway", problem.Similar(list, fault.Permanent(fault.Conflict, fmt.Errorf("%w: with \"anyway\": true it is done all the same; events are not matched by a domain that two accounts share", others))))
}

// ChangeAccount is Decider's.
func (b *Service) ChangeAccount(ctx context.Context, id uuid.UUID, c AccountChange) (api.Account, error) {
	return act(ctx, b, deed{role: access.Operator, action: "changeAccount", target: id.String(), why: c.Reason}, func(ctx context.Context, by access.Actor) (api.Account, error) {
		if c.Name == nil && c.Owner == nil {
			return api.Account{}, malformed("name", "say what is to change: name or owner")
		}
		var changed accounts.Account
		err := pgx.BeginFunc(ctx, b.o.Pool, func(tx pgx.Tx) (err error) {
			store := b.accounts.In(tx)
			rename := store.RenameDistinct
			if c.Anyway {
				rename = store.Rename
			}
			if c.Name != nil {
				if changed, err = rename(ctx, id, *c.Name, by.Who, c.Reason); err != nil {
					return fieldOf("name", similar(err))
				}
			}
			if c.Owner != nil {
				if changed, err = store.SetOwner(ctx, id, *c.Owner); err != nil {
					return fieldOf("owner", err)
				}
			}
			return nil
		})
		return api.NewAccount(changed), err
	})
}

// inField says which parameter a Permanent error is about.
func inField(field string, err error) error {
	if fault.IsPermanent(err) {
		return problem.Field(field, err)
	}
	return err
}

// fieldOf says which member is malformed.
func fieldOf(field string, err error) error {
	if fault.IsPermanent(err) && fault.ReasonOf(err) == fault.Malformed {
		return problem.Field(field, err)
	}
	return err
}

// decide makes a decision of the ledger.
func (b *Service) decide(ctx context.Context, action, target string, d accounts.Decision) (api.Effect, error) {
	return act(ctx, b, deed{role: access.Operator, action: action, target: target, why: d.Reason, dryRun: d.DryRun}, func(ctx context.Context, by access.Actor) (api.Effect, error) {
		d.Author = by.Who
		effect, err := b.accounts.Decide(ctx, d)
		if err != nil {
			return api.Effect{}, err
		}
		return api.NewEffect(d, effect), nil
	})
}

// MergeAccount is Decider's.
func (b *Service) MergeAccount(ctx context.Context, from, into uuid.UUID, reason string, dryRun bool) (api.Effect, error) {
	return b.decide(ctx, "mergeAccount", from.String(), accounts.Decision{Verb: accounts.VerbMerge, From: from, To: into, Reason: reason, DryRun: dryRun})
}

// Link is Decider's. A reference that is linked to another account moves here.
func (b *Service) Link(ctx context.Context, l api.Linking) (api.Effect, error) {
	if err := b.allowed(ctx, "linkReference", l.Reference, l.DryRun); err != nil {
		return api.Effect{}, err
	}
	ref, err := b.reference(l.Reference)
	if err != nil {
		return api.Effect{}, err
	}
	if l.AccountID == uuid.Nil {
		return api.Effect{}, malformed("account_id", "say which account")
	}
	return b.decide(ctx, "linkReference", ref.String(), accounts.Decision{Verb: accounts.VerbLink, Reference: ref, To: l.AccountID, Reason: l.Reason, DryRun: l.DryRun})
}

// Unlink is Decider's.
func (b *Service) Unlink(ctx context.Context, reference, reason string, never, dryRun bool) (api.Effect, error) {
	if err := b.allowed(ctx, "unlinkReference", reference, dryRun); err != nil {
		return api.Effect{}, err
	}
	ref, err := b.reference(reference)
	if err != nil {
		return api.Effect{}, err
	}
	d := accounts.Decision{Verb: accounts.VerbUnlink, Reference: ref, Reason: reason, DryRun: dryRun}
	if never {
		d.Verb = accounts.VerbNotThisAccount
		var links []accounts.Link
		if err := b.reading(ctx, func(tx pgx.Tx) (err error) {
			links, err = b.accounts.In(tx).Links(ctx, accounts.LinkFilter{Source: ref.Source, Kind: ref.Kind, ID: ref.ID})
			return err
		}); err != nil {
			return api.Effect{}, err
		}
		for _, l := range links {
			if l.Tenant == ref.Tenant {
				d.From = l.AccountID
			}
		}
		if d.From == uuid.Nil {
			return api.Effect{}, problem.Field("reference", fault.Permanent(fault.NotFound, fmt.Errorf("%s is not linked: there is no account that it could not be", ref)))
		}
	}
	return b.decide(ctx, "unlinkReference", ref.String(), d)
}

// AcceptSuggestion is Decider's.
func (b *Service) AcceptSuggestion(ctx context.Context, id int64, reason string) (api.Effect, error) {
	return b.suggested(ctx, "acceptSuggestion", accounts.VerbLink, id, reason)
}

// RejectSuggestion is Decider's.
func (b *Service) RejectSuggestion(ctx context.Context, id int64, reason string) (api.Effect, error) {
	return b.suggested(ctx, "rejectSuggestion", accounts.VerbNotThisAccount, id, reason)
}

func (b *Service) suggested(ctx context.Context, action string, verb accounts.Verb, id int64, reason string) (api.Effect, error) {
	return act(ctx, b, deed{role: access.Operator, action: action, target: fmt.Sprint(id), why: reason}, func(ctx context.Context, by access.Actor) (api.Effect, error) {
		decide := b.suggestions.Accept
		if verb != accounts.VerbLink {
			decide = b.suggestions.Reject
		}
		s, effect, err := decide(ctx, id, by.Who, reason)
		if err != nil {
			return api.Effect{}, err
		}
		return api.NewEffect(accounts.Decision{Verb: verb, Reference: s.Reference}, effect), nil
	})
}

// mostSelected bounds what is released or discarded at a time.
const mostSelected = 1000

// Release is Decider's.
func (b *Service) Release(ctx context.Context, s Selection) (api.QuarantineChange, error) {
	return b.choose(ctx, "releaseQuarantine", s, b.quarantine.Release)
}

// Discard is Decider's.
func (b *Service) Discard(ctx context.Context, s Selection) (api.QuarantineChange, error) {
	return b.choose(ctx, "discardQuarantine", s, b.quarantine.DiscardAll)
}

// selected says which records are meant, for the audit log.
func selected(s Selection) string {
	var parts []string
	if len(s.IDs) > 0 {
		parts = append(parts, "ids="+strings.Trim(fmt.Sprint(s.IDs), "[]"))
	}
	if len(s.IDs) == 0 || s.Reason != "" || s.Source != "" || s.Reference != "" {
		parts = append(parts, fmt.Sprintf("reason=%s source=%s reference=%s", s.Reason, s.Source, s.Reference))
	}
	return strings.Join(parts, " ")
}

func (b *Service) choose(ctx context.Context, action string, s Selection, change func(ctx context.Context, f quarantine.Filter, by, note string, dryRun bool) (quarantine.Counts, error)) (api.QuarantineChange, error) {
	target := selected(s)
	if err := b.allowed(ctx, action, target, s.DryRun); err != nil {
		return api.QuarantineChange{}, err
	}
	f := quarantine.Filter{IDs: s.IDs, Reason: s.Reason, Source: s.Source, Since: s.Since}
	common := s.Reason != "" || s.Source != "" || s.Reference != "" || !s.Since.IsZero()
	switch {
	case len(s.IDs) > 0 && common:
		return api.QuarantineChange{}, malformed("ids", "name the records by ids, or by what they have in common, not both")
	case len(s.IDs) == 0 && !common:
		return api.QuarantineChange{}, malformed("ids", "name the records by ids, or by reason, source, reference or since")
	case len(s.IDs) > mostSelected:
		return api.QuarantineChange{}, malformed("ids", "at most 1,000 ids")
	}
	if err := texts("reason", s.Reason, "source", s.Source, "reference", s.Reference, "note", s.Note); err != nil {
		return api.QuarantineChange{}, err
	}
	if err := b.knownFilters(ctx, s.Source, s.Reason); err != nil {
		return api.QuarantineChange{}, err
	}
	if common {
		f.IDs, f.Status = nil, quarantine.Open
		if s.Reference != "" {
			var err error
			if f.Keys, err = b.keys(s.Reference); err != nil {
				return api.QuarantineChange{}, err
			}
		}
	}
	return act(ctx, b, deed{role: access.Operator, action: action, target: target, why: s.Note, said: "note", dryRun: s.DryRun}, func(ctx context.Context, by access.Actor) (api.QuarantineChange, error) {
		counts, err := change(ctx, f, by.Who, s.Note, s.DryRun)
		return api.NewQuarantineChange(counts, s.DryRun), err
	})
}

// AcknowledgeDrift is Decider's.
func (b *Service) AcknowledgeDrift(ctx context.Context, id int64, reason string) (api.Finding, error) {
	return act(ctx, b, deed{role: access.Operator, action: "acknowledgeDrift", target: fmt.Sprint(id), why: reason}, func(ctx context.Context, by access.Actor) (api.Finding, error) {
		f, err := b.drift.Decide(ctx, id, postgres.FindingAcknowledged, by.Who, reason)
		return api.NewFinding(f), err
	})
}

// CreateToken is Decider's.
func (b *Service) CreateToken(ctx context.Context, name string, role access.Role, expires time.Time) (api.NewTokenMade, error) {
	return act(ctx, b, deed{role: access.Admin, action: "createToken", target: name}, func(ctx context.Context, by access.Actor) (api.NewTokenMade, error) {
		if err := texts("name", name); err != nil {
			return api.NewTokenMade{}, err
		}
		made, err := b.o.Access.CreateToken(ctx, by, name, role, expires)
		return made, fieldOf("name", err)
	})
}

// RevokeToken is Decider's.
func (b *Service) RevokeToken(ctx context.Context, id int64) error {
	_, err := act(ctx, b, deed{role: access.Admin, action: "revokeToken", target: fmt.Sprint(id)}, func(ctx context.Context, _ access.Actor) (struct{}, error) {
		return struct{}{}, b.o.Access.RevokeToken(ctx, id)
	})
	return err
}
