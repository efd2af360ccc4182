package source

import (
	"context"
	"time"
)

// Connector is implemented by sources that can say what is to be done at the
// vendor so that its events come.
type Connector interface {
	Source

	// Steps are for a person, in order, when the vendor is to send to this address.
	Steps(address string) []Step
}

// Step is one thing that a person does at the vendor.
type Step struct {
	// Text is one or two sentences: the screen, what to choose there, and which
	// setting of ours takes what the vendor shows.
	Text string
	// Paste is to be copied as it is, such as the body of a trigger; it may be "".
	Paste string
}

// Subscriber is implemented by a Connector whose vendor's API shows its webhook
// subscriptions, and lets them be changed as far as Change says. It is as pure as
// a Pager.
type Subscriber interface {
	Connector

	// API says how the vendor's API is called.
	API() API

	// Look asks for the vendor's own view of what it sends to this address, in as
	// many requests as that takes. Errors are those of Pager.Page.
	Look(ctx context.Context, api Doer, address string) (Subscriptions, error)

	// Change makes one of the changes that Look named. Errors are those of
	// Pager.Page. The secret is what the vendor shows once, and "" where it shows none.
	Change(ctx context.Context, api Doer, address string, change SubscriptionChange) (secret string, err error)
}

// Subscriptions is a vendor's view.
type Subscriptions struct {
	Have    []Subscription
	Changes []SubscriptionChange // none: all is as it should be
	// Notes say what the API does not show or cannot change, and so a person must
	// look at; each is a sentence.
	Notes []string
	// Test: what is seen is the vendor's test mode, whose webhooks send test data.
	Test bool
}

// Subscription is one webhook of a vendor that sends to the address.
type Subscription struct {
	ID string
	// Enabled is false where the vendor, or somebody, has switched it off.
	Enabled bool
	// Failing is the vendor's own word on deliveries that fail, or "".
	Failing string
	// Types are the vendor's own types that it sends; "*": all.
	Types []string
	// LastDelivery is when the vendor last sent, where it says so; else zero.
	LastDelivery time.Time
}

// SubscriptionChange is one change at the vendor that would make a subscription what
// it should be.
type SubscriptionChange struct {
	// ID is the subscription that is changed; "": a new one is created.
	ID string
	// Text says to a person what would be done: "enable we_123, which Stripe disabled".
	Text string
	// Types are those that the subscription should have after it.
	Types []string
	// Secret: the vendor will show a secret that it shows once, which Change gives.
	Secret bool
}
