package api

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Connected is how a source's vendor sends, and what was done about it.
type Connected struct {
	Source  string `json:"source"`
	Address string `json:"address"` // where the vendor is to send
	// Right: the vendor's API says that it sends, and nothing is left to change. It is
	// false where no API was asked.
	Right bool `json:"right"`
	// Asked: the vendor's API was; else only Steps and Received are known.
	Asked         bool                 `json:"asked"`
	DryRun        bool                 `json:"dry_run"`
	Subscriptions []Subscription       `json:"subscriptions"` // at the end
	Changes       []SubscriptionChange `json:"changes"`       // that were to be made
	Notes         []string             `json:"notes"`         // what the vendor's API cannot show or change
	Problems      []string             `json:"problems"`      // what is not right, for a person
	SecretFile    string               `json:"secret_file,omitempty"`
	Steps         []Step               `json:"steps"` // for a person at the vendor, where no API was asked
	Received      *Received            `json:"received,omitempty"`
	NotKnown      string               `json:"received_not_known,omitempty"` // why Received is left out
}

// Subscription is one webhook of a vendor that sends to the address.
type Subscription struct {
	ID           string    `json:"id"`
	Enabled      bool      `json:"enabled"`
	Failing      string    `json:"failing,omitempty"` // in the vendor's words
	Types        []string  `json:"types"`             // the vendor's; "*": all
	LastDelivery time.Time `json:"last_delivery,omitzero"`
}

// NewSubscription gives a subscription.
func NewSubscription(s source.Subscription) Subscription {
	return Subscription{ID: s.ID, Enabled: s.Enabled, Failing: s.Failing, Types: append([]string{}, s.Types...), LastDelivery: s.LastDelivery}
}

// SubscriptionChange is one change at the vendor.
type SubscriptionChange struct {
	ID    string   `json:"id,omitempty"` // of the subscription; left out: a new one
	Text  string   `json:"text"`
	Types []string `json:"types"`
	Made  bool     `json:"made"`
	Error string   `json:"error,omitempty"`
}

// Step is one thing that a person does at the vendor.
type Step struct {
	Text  string `json:"text"`
	Paste string `json:"paste,omitempty"`
}

// Received is what a source's webhooks have brought lately.
type Received struct {
	Newest       time.Time `json:"newest,omitzero"` // left out: none among the newest 100,000
	LastDay      int64     `json:"last_24_hours"`
	AtLeast      bool      `json:"last_24_hours_or_more"`
	Waiting      int64     `json:"in_quarantine"`
	MissingTypes []string  `json:"event_types_never_seen"`
}

// NewReceived gives what was received.
func NewReceived(r postgres.Receipt) *Received {
	return &Received{Newest: r.Newest, LastDay: r.LastDay, AtLeast: r.AtLeast, Waiting: r.Waiting, MissingTypes: append([]string{}, r.MissingTypes...)}
}
