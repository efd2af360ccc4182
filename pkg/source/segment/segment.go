package segment

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "segment"

// The kinds of reference that are Segment's own.
const (
	kindGroup     = "group"     // groupId, context.groupId
	kindUser      = "user"      // userId
	kindAnonymous = "anonymous" // anonymousId, a device's
)

// maxBatch is the largest batch that a mapping can set.
const maxBatch = 4000

// Options are what a person knows of the sources that are connected at Segment.
type Options struct {
	// TrustGroups: no visitor and no app has any of their write keys, so that
	// the merchant's own servers wrote every groupId.
	TrustGroups bool
}

// segment has no state but what a person set.
type segment struct{ options Options }

var (
	_ source.Signer = segment{}
	_ source.Former = segment{}
)

// New gives the source.
func New() source.Webhook { return segment{} }

// Configured gives the source with options that a person set.
func Configured(o Options) source.Webhook { return segment{o} }

// Name gives "segment".
func (segment) Name() string { return name }

// Profile bounds a batch as Segment does.
func (segment) Profile() source.Profile {
	return source.Profile{
		Title:  "Segment",
		Limits: source.Limits{BodyBytes: rawjson.MaxPageBytes, Events: maxBatch},
		Kinds: []source.Kind{
			{Name: kindUser, Scoped: true}, {Name: kindGroup, Scoped: true}, {Name: kindAnonymous, Scoped: true},
		},
		Types:    eventTypes(),
		Volatile: []string{"/sentAt"},
	}
}

// Form implements source.Former: Segment works timestamp out of sentAt and
// receivedAt, which differ when a library sends again.
func (segment) Form(event rawjson.Value) source.Form {
	form := source.Form{Name: "message", Ignored: []string{"/receivedAt"}}
	if event.Get("originalTimestamp").Exists() {
		form.Ignored = append(form.Ignored, "/timestamp")
	}
	return form
}

// Split implements source.Webhook: an event, or an array of them.
func (segment) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return source.Parts(d, maxBatch)
}

// Reply implements source.Webhook with the shared answers.
func (segment) Reply(_ *source.Delivery, outcome error) source.Response {
	return source.DefaultReply(outcome)
}
