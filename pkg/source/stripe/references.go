package stripe

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The kinds of reference. An account is one kind whether it buys (Accounts v2,
// customer_account) or is connected: acct_ ids are one space, so one link
// serves both.
const (
	kindCustomer      = "customer"
	kindCharge        = "charge"
	kindPaymentIntent = "payment_intent"
	kindInvoice       = "invoice"
	kindSubscription  = "subscription"
	kindPaymentMethod = "payment_method"
	kindAccount       = "account"

	accountPrefix = "acct_"
)

// references lists what points at the customer: the customer itself, what the
// merchant wrote on the object, e-mail addresses, then the objects through
// which a customer can be learned, and last the connected account.
func references(event rawjson.Value, account, tenant string) []source.Reference {
	c := source.References{Source: name, Tenant: tenant}
	data := event.Get("data")
	o := data.Get("object")
	own := object{o.Get("object").Text(), o.Get("id").Text()}
	related := event.Get("related_object") // thin: {id, type, url}
	thin := object{related.Get("type").Text(), related.Get("id").Text()}
	var path []string
	if url := related.Get("url").Text(); url != "" {
		path = strings.SplitN(url, "/", maxURLParts)
	}
	customer, parent := o.Get(kindCustomer), o.At("parent", "subscription_details")
	nested := nestedIn(o)

	add(&c, kindCustomer, own, thin)
	addURL(&c, kindCustomer, path)
	c.Add(kindCustomer, idOf(customer))
	// A detached payment method no longer says whose it was.
	c.Add(kindCustomer, idOf(data.Get("previous_attributes").Get(kindCustomer)))
	c.Add(kindCustomer, idOf(o.Get("related_customer")))              // identity.verification_session
	c.Add(kindCustomer, o.At("payload", "stripe_customer_id").Text()) // billing.meter_event
	c.Add(kindCustomer, data.Get(kindCustomer).Text())                // a thin event that was fetched
	for _, n := range nested {
		c.Add(kindCustomer, idOf(n.Get(kindCustomer)))
	}
	addAccount(&c, idOf(o.Get("customer_account")))
	for _, n := range nested {
		addAccount(&c, idOf(n.Get("customer_account")))
	}

	addUUIDs(&c, o, customer, parent)
	addEmails(&c, o, customer, own.kind)

	for _, kind := range first[1:] {
		add(&c, kind, own, thin)
		addURL(&c, kind, path)
		c.Add(kind, idOf(o.Get(kind))) // the field has the kind's name
		for _, n := range nested {
			c.Add(kind, idOf(n.Get(kind)))
		}
	}
	c.Add(kindCharge, idOf(o.Get("latest_charge")))
	if source := idOf(o.Get("source")); strings.HasPrefix(source, "ch_") { // balance_transaction
		c.Add(kindCharge, source)
	}
	addObjects(&c, own, thin)
	c.Add(kindSubscription, data.Get(kindSubscription).Text())
	addAccount(&c, data.Get("account_id").Text())
	addAccounts(&c, o, nested, own, thin)
	addAccount(&c, account)
	return c.List()
}

// first are the customer, and the kinds through which one can be learned.
var first = [...]string{kindCustomer, kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod}

// containers are the members of an object of Stripe's API that hold, some
// expanded in place, what points at a customer.
// Source: stripe/openapi fixtures3, all resources.
var containers = [...][]string{
	{"account_holder"}, {"owner"}, {"source"}, {"discount"}, {"customer_details"}, {"payment_method_preview"}, {"payment_method_details"},
	{"parent", "subscription_details"}, {"parent", "invoice_item_details"}, {"parent", "subscription_item_details"},
	{"action", "process_payment_intent"}, {"action", "process_setup_intent"}, {"action", "refund_payment"}, {"action", "collect_payment_method"},
	{"action", "confirm_payment_intent"}, // terminal.reader
	{"payment"},                          // invoice_payment
	{"fee_source"}, {"from_invoice"}, {"card", "generated_from"}, {"transfer_data"}, {"default_settings", "transfer_data"}, {"default_settings"},
	{"credit", "credits_application_invoice_voided"}, {"debit", "credits_applied"},
	{"cardholder"}, {"card"}, {"authorization"}, {"transaction"}, // issuing
	{"flow", "subscription_cancel"}, {"flow", "subscription_update"}, {"flow", "subscription_update_confirm"},
	{kindCharge}, {"latest_charge"}, {kindPaymentIntent}, {kindInvoice}, {kindSubscription}, {kindPaymentMethod}, // when they are expanded
	{"setup_intent"}, {"payment_record"},
}

// nestedIn gives the object's containers that are objects, in their fixed order.
func nestedIn(o rawjson.Value) []rawjson.Value {
	var at [len(containers)]rawjson.Value
	count := 0
	// One pass: most members of an object are texts and numbers.
	o.Each(func(name []byte, member rawjson.Value) bool {
		if member.Kind() != rawjson.Object {
			return true
		}
		for i, path := range containers {
			if string(name) != path[0] {
				continue
			}
			if n := member.At(path[1:]...); n.Kind() == rawjson.Object {
				at[i] = n
				count++
			}
		}
		return true
	})
	if count == 0 {
		return nil
	}
	found := make([]rawjson.Value, 0, count)
	for _, n := range at {
		if n.Exists() {
			found = append(found, n)
		}
	}
	return found
}

// addAccounts adds the connected accounts that the object or a part of it names.
func addAccounts(c *source.References, o rawjson.Value, nested []rawjson.Value, own, thin object) {
	for _, object := range [...]object{own, thin} {
		if isAccount(object.kind) {
			addAccount(c, object.id)
		}
	}
	for i := -1; i < len(nested); i++ {
		if i >= 0 {
			o = nested[i]
		}
		// A payout's destination is a bank account, which addAccount leaves out.
		for _, field := range [...]string{kindAccount, "destination", "on_behalf_of"} {
			addAccount(c, idOf(o.Get(field)))
		}
	}
}

// addURL adds what the URL of a thin event's object names on the way to it:
// /v1/customers/cus_1/sources/card_1.
func addURL(c *source.References, kind string, path []string) {
	for i, part := range path {
		if name, plural := strings.CutSuffix(part, "s"); plural && name == kind && i+1 < len(path) {
			c.Add(kind, path[i+1])
		}
	}
}

const maxURLParts = 16

// object is an object's name in Stripe's API and its id.
type object struct{ kind, id string }

// add adds those of the objects that are of this kind.
func add(c *source.References, kind string, objects ...object) {
	for _, o := range objects {
		if o.kind == kind {
			c.Add(kind, o.id)
		}
	}
}

// addAccount adds an account, if id is one. Its id is unique over Stripe, so the
// reference has no tenant: one link serves the platform and the account.
func addAccount(c *source.References, id string) {
	if !strings.HasPrefix(id, accountPrefix) {
		return
	}
	tenant := c.Tenant
	c.Tenant = ""
	c.Add(kindAccount, id)
	c.Tenant = tenant
}

// addUUIDs adds the account id that the merchant wrote on the object, on its
// subscription or on its (expanded) customer. A Checkout session's
// client_reference_id is none: a payment link takes it from its URL, which
// whoever pays may change.
func addUUIDs(c *source.References, o, customer, parent rawjson.Value) {
	const metadata, key = "metadata", "account_uuid"
	c.Add(source.KindAccountUUID, o.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, customer.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, parent.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, o.At("subscription_details", metadata, key).Text()) // before API version 2025-03-31
}

func addEmails(c *source.References, o, customer rawjson.Value, kind string) {
	switch kind {
	case kindCustomer, kindAccount, "person", "issuing.cardholder":
		c.Add(source.KindEmail, o.Get("email").Text())
	}
	c.Add(source.KindEmail, o.Get("customer_email").Text())
	c.Add(source.KindEmail, o.At("customer_details", "email").Text())
	c.Add(source.KindEmail, customer.Get("email").Text())
	c.Add(source.KindEmail, o.At("billing_details", "email").Text())
	c.Add(source.KindEmail, o.Get("receipt_email").Text())
	c.Add(source.KindEmail, o.At("owner", "email").Text()) // source
	c.Add(source.KindEmail, o.At("source", "owner", "email").Text())
	c.Add(source.KindEmail, o.At("cardholder", "email").Text()) // issuing
	c.Add(source.KindEmail, o.At("card", "cardholder", "email").Text())
	c.Add(source.KindEmail, o.At("payment_method_details", "billing_details", "email").Text())
}

// idOf reads a reference to another object: its id, or the object expanded in
// place, or null.
func idOf(v rawjson.Value) string {
	if v.Kind() == rawjson.Object {
		v = v.Get("id")
	}
	return v.Text()
}
