package vendors

import "strings"

// stripeVendor: snapshot events of API version 2026-03-25.dahlia, and one thin event.
// Shapes: stripe/openapi's fixtures and stripe-go v85; the test holds every
// member against stripe-go.
func stripeVendor() *vendor {
	v := &vendor{name: "stripe", kinds: map[string]string{
		"customer": "id cus_ 14", "subscription": "id sub_1 23", "invoice": "id in_1 23", "charge": "id ch_3 23",
		"payment_intent": "id pi_3 23", "payment_method": "id pm_1 23",
	}}
	add := func(types, object string, pairs ...string) {
		for t := range strings.FieldsSeq(types) {
			vars := with(parts("type", t, "object", "@"+object, "previous", ""), pairs...)
			v.forms = append(v.forms, &form{vendor: t, file: "envelope", vars: vars})
		}
	}
	paid := []string{"paid", "{{amount}}", "attempts", "1", "attempted", "true", "status", "paid", "reason", "subscription_cycle"}
	add("invoice.paid", "invoice", paid...)
	add("invoice.payment_failed", "invoice", append(paid, "paid", "0", "status", "open")...)
	add("invoice.finalized", "invoice", append(paid, "paid", "0", "status", "open", "attempts", "0", "attempted", "false")...)
	add("invoice.upcoming", "invoice", append(paid, "paid", "0", "status", "draft", "attempts", "0", "attempted", "false", "reason", "upcoming")...)
	add("invoice_payment.paid", "invoice_payment")

	active := []string{"status", "active", "canceled", "null", "ended", "null", "reason", "null", "paused", "null", "trial", "null"}
	add("customer.subscription.created customer.subscription.pending_update_applied customer.subscription.pending_update_expired",
		"subscription", active...)
	add("customer.subscription.updated", "subscription", append(active, "previous", `, "previous_attributes": {"quantity": 10}`)...)
	add("customer.subscription.resumed", "subscription", append(active, "previous", `, "previous_attributes": {"status": "paused"}`)...)
	add("customer.subscription.paused", "subscription", append(active, "status", "paused", "paused", `{"behavior": "void", "resumes_at": null}`)...)
	add("customer.subscription.trial_will_end", "subscription", append(active, "status", "trialing", "trial", "{{unix 259200}}")...)
	add("customer.subscription.deleted", "subscription", append(active, "status", "canceled", "canceled", "{{unix}}", "ended", "{{unix}}", "reason", `"payment_failed"`)...)

	add("customer.created customer.deleted", "customer")
	add("customer.updated", "customer", "previous", `, "previous_attributes": {"name": null}`)
	add("checkout.session.completed", "checkout_session")

	succeeded := []string{"paid", "true", "captured", "{{amount}}", "refunded", "0", "isrefunded", "false", "failure", "null", "status", "succeeded"}
	add("charge.succeeded", "charge", succeeded...)
	add("charge.failed", "charge", append(succeeded, "paid", "false", "captured", "0", "failure", `"card_declined"`, "status", "failed")...)
	add("charge.refunded", "charge", append(succeeded, "refunded", "{{amount}}", "isrefunded", "true")...)
	add("charge.dispute.created", "dispute")
	add("payment_intent.succeeded", "payment_intent")
	add("payment_method.attached", "payment_method", "customer", `"{{ref customer}}"`)
	// A detached payment method no longer says whose it was.
	add("payment_method.detached", "payment_method", "customer", "null", "previous", `, "previous_attributes": {"customer": "{{ref customer}}"}`)
	add("refund.created", "refund")
	add("radar.early_fraud_warning.created", "early_fraud_warning")
	add("entitlements.active_entitlement_summary.updated", "entitlement_summary")
	add("payout.paid", "payout")
	add("balance.available", "balance")
	v.forms = append(v.forms, &form{vendor: "v1.customer.created", file: "thin", vars: parts("type", "v1.customer.created")})
	return v
}
