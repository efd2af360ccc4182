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
	own := object{kindOf(o), o.Get("id").Text()}
	related := event.Get("related_object") // thin: {id, type, url}
	thin := object{kindNamed(related.Get("type").Text()), related.Get("id").Text()}
	objects := [...]object{own, thin}

	add(&c, kindCustomer, objects[:])
	c.Add(kindCustomer, idOf(o.Get("customer")))
	// A detached payment method no longer says whose it was.
	c.Add(kindCustomer, idOf(data.At("previous_attributes", "customer")))
	c.Add(kindCustomer, idOf(o.Get("related_customer")))          // identity.verification_session
	c.Add(kindCustomer, idOf(o.At("account_holder", "customer"))) // financial_connections.account
	addAccount(&c, idOf(o.Get("customer_account")))

	addUUIDs(&c, o)
	addEmails(&c, o, own.kind)

	for _, kind := range [...]string{kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod} {
		add(&c, kind, objects[:])
		c.Add(kind, idOf(o.Get(kind))) // the field has the kind's name
	}
	c.Add(kindSubscription, idOf(o.At("parent", "subscription_details", "subscription")))

	for _, object := range objects {
		if object.kind == kindAccount {
			addAccount(&c, object.id)
		}
	}
	addAccount(&c, idOf(o.Get("account")))     // application fees, persons, capabilities
	addAccount(&c, idOf(o.Get("destination"))) // transfers; a payout's is a bank account
	addAccount(&c, idOf(o.At("account_holder", "account")))
	addAccount(&c, account)
	return c.List()
}

// object is an object's kind of reference, or "", and its id.
type object struct{ kind, id string }

// add adds those of the objects that are of this kind.
func add(c *source.References, kind string, objects []object) {
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
// subscription or on its (expanded) customer.
func addUUIDs(c *source.References, o rawjson.Value) {
	const metadata, key = "metadata", "account_uuid"
	c.Add(source.KindAccountUUID, o.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, o.Get("client_reference_id").Text())
	c.Add(source.KindAccountUUID, o.At("customer", metadata, key).Text())
	c.Add(source.KindAccountUUID, o.At("parent", "subscription_details", metadata, key).Text())
	c.Add(source.KindAccountUUID, o.At("subscription_details", metadata, key).Text()) // before API version 2025-03-31
}

func addEmails(c *source.References, o rawjson.Value, kind string) {
	if kind == kindCustomer || kind == kindAccount {
		c.Add(source.KindEmail, o.Get("email").Text())
	}
	c.Add(source.KindEmail, o.Get("customer_email").Text())
	c.Add(source.KindEmail, o.At("customer_details", "email").Text())
	c.Add(source.KindEmail, o.At("customer", "email").Text())
	c.Add(source.KindEmail, o.At("billing_details", "email").Text())
	c.Add(source.KindEmail, o.Get("receipt_email").Text())
}

// kindOf gives the kind of reference that an object is, or "".
func kindOf(o rawjson.Value) string { return kindNamed(o.Get("object").Text()) }

func kindNamed(objectName string) string {
	switch objectName {
	case kindCustomer, kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod, kindAccount:
		return objectName
	case "v2.core.account":
		return kindAccount
	}
	return ""
}

// idOf reads a reference to another object: its id, or the object expanded in
// place, or null.
func idOf(v rawjson.Value) string {
	if v.Kind() == rawjson.Object {
		v = v.Get("id")
	}
	return v.Text()
}
