package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/load"
)

// aboutView says whom sent events are about.
type aboutView struct {
	Reference   string     `json:"reference,omitempty"` // of the customer at the vendor
	AccountID   *uuid.UUID `json:"account_id,omitempty"`
	AccountName string     `json:"account_name,omitempty"`
	Linked      bool       `json:"linked"` // an account is known to have the reference
}

// manyLinks bounds how many links of one account and source are looked at.
const manyLinks = 1000

// about completes the plan's customer, and says on whose timeline the events
// are to be expected.
func (c *sendCommand) about(ctx context.Context, s *session, pool *pgxpool.Pool, simulator *vendors.Simulator, sender *vendors.Sender, plan *load.Plan) (aboutView, error) {
	var view aboutView
	domain := ""
	if c.Account != "" {
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return view, err
		}
		links, err := s.store(pool).Links(ctx, accounts.LinkFilter{AccountID: account.ID, Source: plan.Source, Limit: manyLinks})
		if err != nil {
			return view, err
		}
		view.AccountID, view.AccountName = &account.ID, account.Name
		plan.Event.About = customerOf(account, links, &plan.Event.Tenant)
		domain = plan.Event.About.Domain
	}
	sample := plan.Event
	sample.Serial, sample.Type = 1, plan.Types[0]
	d, err := simulator.Delivery(plan.Source, sample)
	if err != nil {
		return view, usage("%v", err)
	}
	events, err := sender.Identify(d, time.Now())
	if err != nil {
		return view, err
	}
	made, err := simulator.Find(plan.Source, sample.Type)
	if err != nil {
		return view, err
	}
	ref, linked := wayTo(events[0].References, made.Kinds, plan.Event.About.IDs, domain)
	view.Reference, view.Linked = ref.String(), linked
	if ref == (source.Reference{}) {
		view.Reference = ""
		if !c.Tamper {
			s.say("%s has no reference to a customer: its events wait in quarantine", made.Vendor)
		}
	} else if !linked && !c.Tamper { // what is changed after it was signed waits nowhere
		c.hint(s, view, ref)
	}
	return view, nil
}

// customerOf gives the account as the vendor knows it: by its links, of one
// tenant. E-mail addresses are of the account's domain only where that is nobody's.
func customerOf(account accounts.Account, links []accounts.Link, tenant *string) vendors.Customer {
	customer := vendors.Customer{Name: account.Name, IDs: map[string]string{}}
	if strings.HasSuffix(account.Domain, ".example") {
		customer.Domain = account.Domain
	}
	for _, l := range links {
		if l.Tenant != "" && *tenant != "" && l.Tenant != *tenant {
			continue
		}
		column := l.Source + ":" + l.Kind
		if _, have := customer.IDs[column]; have {
			continue
		}
		customer.IDs[column] = l.ID
		if l.Tenant != "" {
			*tenant = l.Tenant
		}
	}
	return customer
}

// wayTo chooses the one that an event finds its account by: a linked id, else
// an address of the account's domain, else the first that could be linked.
func wayTo(refs []source.Reference, kinds []string, ids map[string]string, domain string) (chosen source.Reference, linked bool) {
	for _, r := range refs {
		if ids[r.Source+":"+r.Kind] == r.ID {
			return r, true
		}
	}
	for _, r := range refs {
		if r.Kind == source.KindEmail && domain != "" && strings.HasSuffix(r.ID, "@"+domain) {
			return r, true
		}
	}
	for _, r := range refs {
		if slices.Contains(kinds, r.Kind) {
			return r, false
		}
	}
	return chosen, false
}

// hint says how a made-up reference is linked.
func (c *sendCommand) hint(s *session, view aboutView, ref source.Reference) {
	account := "ACCOUNT"
	if view.AccountID != nil {
		account = view.AccountID.String()
		s.say("%s has no linked id that such an event carries", view.AccountName)
	}
	s.say("%s is not linked, so its events wait in quarantine: `%s` releases them", view.Reference, s.linkLine(ref, account))
}

// landedView is where events are.
type landedView struct {
	Timelines  []timelineView `json:"timelines"`
	Quarantine int            `json:"quarantine"`
	Reasons    map[string]int `json:"reasons,omitempty"` // of those in quarantine
	Erased     int            `json:"erased,omitempty"`  // passed over: what they refer to was erased on request
	Pending    int            `json:"pending"`
}

// timelineView is how many of them are on one timeline.
type timelineView struct {
	AccountID   uuid.UUID `json:"account_id"`
	AccountName string    `json:"account_name"`
	Events      int       `json:"events"`
}

func (l landedView) words() string {
	var parts []string
	for _, t := range l.Timelines {
		parts = append(parts, fmt.Sprintf("%s on the timeline of %s (%s)", plural(int64(t.Events), "event"), t.AccountName, t.AccountID))
	}
	if l.Quarantine > 0 {
		text := fmt.Sprintf("%d in quarantine", l.Quarantine)
		for _, reason := range sortedKeys(l.Reasons) {
			text += fmt.Sprintf(", %d %s", l.Reasons[reason], reason)
		}
		parts = append(parts, text)
	}
	if l.Erased > 0 {
		parts = append(parts, fmt.Sprintf("%d passed over: what it refers to was erased on request (`throughline erasures list`)", l.Erased))
	}
	if l.Pending > 0 {
		parts = append(parts, fmt.Sprintf("%d not arrived", l.Pending))
	}
	return strings.Join(parts, "; ")
}
