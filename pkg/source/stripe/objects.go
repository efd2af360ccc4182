package stripe

import (
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// kindObject is a thin event's object of a type that is not listed here; its id
// has the type before it.
const kindObject = "object"

// customers are the objects of Stripe's API that are a customer's (or a connected
// account's) although some of them do not say whose. Each is a kind of its own, so
// that what waits can be linked by hand, and so that one thing's events stay in
// order.
// Source: stripe/openapi fixtures3, and the event types of stripe-go.
var customers = strings.Fields(`application_fee apps.install billing.alert_triggered billing.credit_balance_transaction billing.credit_grant
	billing_portal.session capability card bank_account checkout.session credit_note customer_cash_balance_transaction dispute
	fee_refund financial_connections.account financial_connections.authorization identity.verification_session invoiceitem invoice_payment issuing.authorization
	issuing.card issuing.cardholder issuing.dispute issuing.token issuing.transaction mandate payment_attempt_record payment_link
	payment_record person quote radar.early_fraud_warning refund review setup_intent source source_transaction
	subscription_schedule tax_id three_d_secure.authentication topup transfer treasury.credit_reversal treasury.debit_reversal treasury.financial_account
	treasury.inbound_transfer treasury.outbound_payment treasury.outbound_transfer treasury.received_credit treasury.received_debit`)

// merchants are the merchant's own: its catalogue, its money, its settings. A
// snapshot of one belongs to nobody; a thin event says so little that it keeps a
// reference to whatever it is of.
var merchants = strings.Fields(`balance balance_settings billing.alert billing.meter billing_portal.configuration climate.order
	climate.product coupon file issuing.personalization_design payout plan price product promotion_code reporting.report_run
	reporting.report_type reserve.hold reserve.plan reserve.release scheduled_query_run tax.settings tax_rate terminal.reader
	test_helpers.test_clock v2.core.account_link v2.core.account_person v2.core.event_destination`)

// addObjects adds the object itself where it is of no kind that was added before.
func addObjects(c *source.References, own, thin object) {
	if slices.Contains(customers, own.kind) {
		c.Add(own.kind, own.id)
	}
	switch {
	case thin.kind == "" || thin.id == "" || slices.Contains(first[:], thin.kind) || isAccount(thin.kind):
	case slices.Contains(customers, thin.kind) || slices.Contains(merchants, thin.kind):
		c.Add(thin.kind, thin.id)
	default:
		c.Add(kindObject, thin.kind+"/"+thin.id)
	}
}

func isAccount(object string) bool { return object == kindAccount || object == "v2.core.account" }

// kinds gives every kind of reference, the most telling first.
func kinds() []source.Kind {
	all := []source.Kind{
		{Name: kindCustomer, Prefix: "cus_"},
		{Name: kindCharge, Prefix: "ch_"},
		{Name: kindPaymentIntent, Prefix: "pi_"},
		{Name: kindInvoice, Prefix: "in_"},
		{Name: kindSubscription, Prefix: "sub_"},
		{Name: kindPaymentMethod, Prefix: "pm_"},
		{Name: kindAccount, Prefix: "acct_"},
	}
	for _, name := range slices.Concat(customers, merchants, []string{kindObject}) {
		all = append(all, source.Kind{Name: name})
	}
	return all
}
