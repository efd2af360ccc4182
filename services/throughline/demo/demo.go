// Package demo is the story that `make run` tells and the whole-system tests
// check: one customer from lead to lost, as the vendors would send it, beside
// late events and a customer that nobody knows.
package demo

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

//go:embed story
var files embed.FS

// Account is the story's customer, the one account of Accounts.
var Account = uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01")

// UnknownCustomer is the Stripe customer that no link knows: Unknown is about it.
const UnknownCustomer = "stripe:cus_NimbusLab"

// Message is one thing that a vendor, or a backfill job, sends.
type Message struct {
	Source source.Webhook
	Body   []byte
	// Backfill: not posted, but published to the raw topic, element by element,
	// with only a value, as a third party's job would.
	Backfill bool
}

// Story is everything that is sent, with times counted back from now.
type Story struct {
	Messages []Message // ten events of the last 90 days, in their order
	Late     []Message // two older events of the same customer
	Unknown  []Message // three events of UnknownCustomer
}

// Line is one line of the timeline that Messages must give.
type Line struct{ Source, Type, Subject string }

// Timeline is what the users' query of 90 days gives after Messages.
func Timeline() []Line {
	return []Line{
		{"hubspot", "contact.created", ""},
		{"marketo", "email.opened", ""},
		{"hubspot", "deal.stage.changed", ""},
		{"stripe", "invoice.paid", ""},
		{"intercom", "conversation.created", "billing question"},
		{"zendesk", "ticket.created", "charged twice"},
		{"zendesk", "ticket.replied", ""},
		{"intercom", "conversation.replied", ""},
		{"stripe", "invoice.payment_failed", ""},
		{"stripe", "subscription.deleted", ""},
	}
}

// Accounts gives the account with its ids at the vendors, as a CSV file for
// `throughline accounts import`.
func Accounts() ([]byte, error) { return files.ReadFile("story/accounts.csv") }

// Tell makes the story as of now. Told again on another day it is another
// story: where a vendor has no event id, the time is part of the identity.
func Tell(now time.Time) (Story, error) {
	var s Story
	for _, part := range []struct {
		pattern string
		into    *[]Message
	}{{"story/*.json", &s.Messages}, {"story/late/*.json", &s.Late}, {"story/unknown/*.json", &s.Unknown}} {
		names, err := fs.Glob(files, part.pattern)
		if err != nil || len(names) == 0 {
			return Story{}, errors.Join(err, fmt.Errorf("the story has no %s", part.pattern))
		}
		for _, name := range names {
			m, err := message(name, now)
			if err != nil {
				return Story{}, fmt.Errorf("telling %s: %w", name, err)
			}
			*part.into = append(*part.into, m)
		}
	}
	return s, nil
}

// message fills in one file. Its name says whose it is: [NN-]<source>-….json.
func message(file string, now time.Time) (Message, error) {
	words := strings.Split(strings.TrimLeft(path.Base(file), "0123456789-"), "-")
	found, _ := catalog.Find(words[0])
	src, ok := found.(source.Webhook)
	if !ok {
		return Message{}, fmt.Errorf("no source with a webhook is named %q", words[0])
	}
	text, err := files.ReadFile(file)
	if err != nil {
		return Message{}, err
	}
	t, err := template.New(file).Funcs(template.FuncMap{
		"unix":   func(ago string) (int64, error) { at, err := before(now, ago); return at.Unix(), err },
		"millis": func(ago string) (int64, error) { at, err := before(now, ago); return at.UnixMilli(), err },
		"zulu":   func(ago string) (string, error) { at, err := before(now, ago); return at.Format(time.RFC3339), err },
	}).Parse(string(text))
	if err != nil {
		return Message{}, err
	}
	var body bytes.Buffer
	if err := t.Execute(&body, nil); err != nil {
		return Message{}, err
	}
	return Message{Source: src, Body: bytes.TrimSpace(body.Bytes()), Backfill: src.Name() == "marketo"}, nil
}

// before reads "12d".
func before(now time.Time, ago string) (time.Time, error) {
	days, err := strconv.Atoi(strings.TrimSuffix(ago, "d"))
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a number of days", ago)
	}
	return now.UTC().Truncate(time.Second).AddDate(0, 0, -days), nil
}
