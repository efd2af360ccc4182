// Package story is the story that `make run` tells and the whole-system tests
// check: one customer from lead to lost, as the vendors would send it, beside
// late events and an unknown customer.
package story

import (
	"bytes"
	"encoding/csv"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

// Account is the story's customer, the one account of Accounts.
var Account = uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01")

// UnknownCustomer is the Stripe customer that no link knows: Unknown is about it.
const UnknownCustomer = "stripe:cus_NimbusLab"

// Message is one thing that a vendor, or a backfill job, sends.
type Message struct {
	vendors.Delivery
	// Backfill: not posted, but published to the raw topic, element by element,
	// with only a value, as a third party's job would.
	Backfill bool
}

// Story is everything that is sent, with times counted back from now.
type Story struct {
	Messages []Message // thirteen events of the last 90 days, in their order
	Late     []Message // two older events of the same customer
	Unknown  []Message // three events of UnknownCustomer
}

// Line is one line of the timeline that Messages must give.
type Line struct{ Source, Type, Subject string }

// Timeline is what the users' query of 90 days gives after Messages.
func Timeline() []Line {
	return []Line{
		{"salesforce", "lead.changed", "Kim Example"},
		{"hubspot", "contact.created", ""},
		{"salesforce", "opportunity.changed", "40 robot arms"},
		{"marketo", "email.opened", ""},
		{"hubspot", "deal.stage.changed", ""},
		{"salesforce", "opportunity.changed", "40 robot arms"},
		{"stripe", "invoice.paid", ""},
		{"intercom", "conversation.created", "billing question"},
		{"zendesk", "ticket.created", "charged twice"},
		{"zendesk", "ticket.replied", ""},
		{"intercom", "conversation.replied", ""},
		{"stripe", "invoice.payment_failed", ""},
		{"stripe", "subscription.deleted", ""},
	}
}

const (
	company = "Acme Robotics"
	domain  = "acme-robotics.example"
)

// links are the customer's ids at the vendors, as columns of an import. Intercom
// and Salesforce's lead have none: they find the account by the domain of an e-mail
// address.
func links() []struct{ column, id string } {
	return []struct{ column, id string }{
		{"stripe:customer", "cus_Tz1Acme"},
		{"hubspot:contact", "901"},
		{"hubspot:deal", "267448862446"},
		{"marketo:lead", "5414087"},
		{"salesforce:account", "0010800000XyZaBAAV"},
		{"zendesk:organization", "8447346622462"},
	}
}

// Accounts gives the account with its ids at the vendors, as a CSV file for
// `throughline accounts import`.
func Accounts() ([]byte, error) {
	header, row := []string{"id", "name", "domain"}, []string{Account.String(), company, domain}
	for _, l := range links() {
		header, row = append(header, l.column), append(row, l.id)
	}
	var out bytes.Buffer
	err := csv.NewWriter(&out).WriteAll([][]string{header, row})
	return out.Bytes(), err
}

// chapter is one delivery of the story.
type chapter struct {
	source   string
	backfill bool
	events   []vendors.Event
}

// Tell makes the story as of now. Told again on another day it is another
// story: where a vendor has no event id, the time is part of the identity.
func Tell(now time.Time) (Story, error) {
	sim, err := vendors.New(catalog.Set(), 0)
	if err != nil {
		return Story{}, err
	}
	today := now.UTC().Truncate(time.Second)
	acme := vendors.Customer{Name: company, Domain: domain, IDs: map[string]string{}}
	for _, l := range links() {
		acme.IDs[l.column] = l.id
	}
	event := func(daysAgo int, eventType string) vendors.Event {
		return vendors.Event{Type: eventType, At: today.AddDate(0, 0, -daysAgo), About: acme}
	}
	nimbus := vendors.Customer{Key: 1, Name: "Nimbus Lab", Domain: "nimbus-lab.example", IDs: map[string]string{"stripe:customer": "cus_NimbusLab"}}
	unknown := func(daysAgo int, eventType string) chapter {
		return chapter{source: "stripe", events: []vendors.Event{{Type: eventType, At: today.AddDate(0, 0, -daysAgo), About: nimbus}}}
	}
	asked, answered := event(12, "conversation.user.created"), event(9, "conversation.user.replied")
	asked.Object, answered.Object = "137324500000001", "137324500000001"
	asked.Subject, answered.Subject = "billing question", "billing question"
	opened, replied := event(11, "ticket.created"), event(10, "ticket.replied")
	opened.Object, replied.Object = "5158", "5158"
	opened.Subject, replied.Subject = "charged twice", "charged twice"
	opportunity, won := event(58, "Opportunity"), event(42, "Opportunity")
	opportunity.Object, won.Object = "0065g00000AcmeArms", "0065g00000AcmeArms"
	opportunity.Subject, won.Subject = "40 robot arms", "40 robot arms"
	opportunity.Text, won.Text = "Prospecting", "Closed Won"
	mail := event(55, "activity 10 (Open Email)")
	mail.Subject = "Spring launch"

	var s Story
	for _, part := range []struct {
		into     *[]Message
		chapters []chapter
	}{
		{&s.Messages, []chapter{
			{source: "hubspot", events: []vendors.Event{event(62, "contact.created"), event(48, "deal.stage.changed")}},
			{source: "salesforce", events: []vendors.Event{event(70, "Lead")}},
			{source: "salesforce", events: []vendors.Event{opportunity}},
			{source: "salesforce", events: []vendors.Event{won}},
			{source: "marketo", events: []vendors.Event{mail}, backfill: true},
			{source: "stripe", events: []vendors.Event{event(40, "invoice.paid")}},
			{source: "intercom", events: []vendors.Event{asked}},
			{source: "zendesk", events: []vendors.Event{opened}},
			{source: "zendesk", events: []vendors.Event{replied}},
			{source: "intercom", events: []vendors.Event{answered}},
			{source: "stripe", events: []vendors.Event{event(5, "invoice.payment_failed")}},
			{source: "stripe", events: []vendors.Event{event(1, "subscription.deleted")}},
		}},
		{&s.Late, []chapter{
			{source: "hubspot", events: []vendors.Event{event(120, "contact.lifecyclestage.changed")}},
			{source: "stripe", events: []vendors.Event{event(130, "customer.created")}},
		}},
		{&s.Unknown, []chapter{unknown(3, "customer.created"), unknown(2, "invoice.paid"), unknown(2, "charge.succeeded")}},
	} {
		for _, c := range part.chapters {
			d, err := sim.Delivery(c.source, c.events...)
			if err != nil {
				return Story{}, err
			}
			*part.into = append(*part.into, Message{Delivery: d, Backfill: c.backfill})
		}
	}
	return s, nil
}
