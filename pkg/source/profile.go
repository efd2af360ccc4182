package source

import (
	"slices"
	"strings"
	"time"
)

// Profile is the static side of a source.
type Profile struct {
	// Title is the vendor's name as it writes it: "HubSpot".
	Title string
	// Limits bound one delivery.
	Limits Limits
	// Kinds are the kinds of reference that its events carry; the first is what
	// `throughline link` takes a bare id for.
	Kinds []Kind
	// Types lists the vendor's types that have a name of their own here. Others
	// pass through TypeName. docs/event-types.md is made from it.
	Types []EventType
	// Media are the media types of its deliveries, lower case and without
	// parameters. nil: JSON in any of its names, or no content type at all.
	Media []string
	// Volatile are JSON pointers of members that may differ between two
	// deliveries of one event: attempt counters, renderings. They take no part in
	// its identity, type, time or references.
	Volatile []string
	// Transcodes: Split makes raw records of its own (of rows, of XML), so they
	// are not parts of the body.
	Transcodes bool
	// NeedsPublicURL: the signature covers the URL that the vendor called.
	NeedsPublicURL bool
	// NeverRetries: the vendor sends once, so the receiver keeps a spool.
	NeverRetries bool
	// SignatureWindow is how far a signature's own time may be from now, both
	// ways; 0 when the scheme has none, and then only identity stops a replay.
	SignatureWindow time.Duration
}

// Kind names one kind of vendor object that a reference can point at.
type Kind struct {
	// Name as it stands in account_links: "customer", "contact", "organization".
	Name string
	// Prefix of ids that can only be of this kind ("cus_"), or "".
	Prefix string
	// Scoped: an id of this kind is unique within one tenant only, so a link of
	// one without its tenant would take another tenant's object too.
	Scoped bool
	// Form reads an id as a person writes it, where the vendor has more than one
	// form of it; nil: there is one. It is comparable.
	Form IDForm
}

// IDForm knows the forms of a vendor's ids.
type IDForm interface {
	// One gives the form that references have; ok is false for what is no id.
	One(text string) (id string, ok bool)
}

// EventType is one row of docs/event-types.md.
type EventType struct {
	Vendor string // the vendor's own type, in the vendor's words
	Type   string // event_type on the timeline
}

// Limits bound one delivery.
type Limits struct {
	BodyBytes int64 // largest body; over it: Oversized
	Events    int   // most events in one delivery; over it: Oversized
}

// Takes reports whether deliveries of this content type are the source's. For
// JSON none is taken too: some vendors' templates send none.
func (p *Profile) Takes(contentType string) bool {
	if p.Media == nil && (contentType == "" || contentType == "application/json") {
		return true // by far the most
	}
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if p.Media != nil {
		return slices.Contains(p.Media, media)
	}
	switch media {
	case "", "application/json", "text/json":
		return true
	}
	return strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}
