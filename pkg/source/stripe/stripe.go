package stripe

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// name is the source's name: topic raw.stripe, path /webhooks/stripe.
const name = "stripe"

// window is Stripe's own default tolerance (stripe-go webhook.DefaultTolerance).
const window = 300 * time.Second

// New gives the Stripe source. It holds no state.
func New() source.Webhook { return stripe{} }

type stripe struct{}

var (
	_ source.Signer = stripe{}
	_ source.Lister = stripe{}
	_ source.Typer  = stripe{}
)

// Name implements source.Source.
func (stripe) Name() string { return name }

// Profile implements source.Source.
func (stripe) Profile() source.Profile {
	return source.Profile{
		Title:           "Stripe",
		Limits:          source.Limits{BodyBytes: source.MaxRecordBytes, Events: 1},
		Kinds:           kinds(),
		Types:           types(),
		Volatile:        []string{"/pending_webhooks", "/api_version"},
		SignatureWindow: window,
	}
}

// Form implements source.Former: a snapshot is rendered in an API version, and a
// thin event has its data only where it was fetched.
func (stripe) Form(e rawjson.Value) source.Form {
	if e.Get("object").Is(objectThin) {
		if e.Get("data").Exists() || e.Get("changes").Exists() {
			return source.Form{Name: "thin, fetched"}
		}
		return source.Form{Name: "thin", Partial: true, Ignored: []string{"/id"}} // snapshot_event is the identity
	}
	return source.Form{Name: "snapshot " + e.Get("api_version").Text()}
}

// Reply implements source.Webhook. Stripe wants any 2xx and asks again after
// anything else, so the shared answers serve.
func (stripe) Reply(_ *source.Delivery, outcome error) source.Response {
	return source.DefaultReply(outcome)
}

// types are the renamed types, and of those that keep their name the ones that
// tell a customer's story. Stripe has some 275.
func types() []source.EventType {
	var out []source.EventType
	for _, action := range []string{
		"created", "updated", "deleted", "paused", "resumed", "pending_update_applied", "pending_update_expired", "trial_will_end",
	} {
		out = append(out, source.EventType{Vendor: subscriptionPrefix + action, Type: "subscription." + action})
	}
	for _, verbatim := range []string{
		"customer.created", "customer.updated", "customer.deleted", "checkout.session.completed",
		"invoice.finalized", "invoice.upcoming", "invoice.paid", "invoice.payment_failed", "invoice_payment.paid",
		"charge.succeeded", "charge.failed", "charge.refunded", "charge.dispute.created", "payment_intent.succeeded",
		"payment_method.attached", "payment_method.detached", "refund.created", "radar.early_fraud_warning.created",
		"entitlements.active_entitlement_summary.updated", "payout.paid", "balance.available",
	} {
		out = append(out, source.EventType{Vendor: verbatim, Type: verbatim})
	}
	return append(out, source.EventType{Vendor: thinPrefix + "customer.created", Type: "customer.created"})
}
