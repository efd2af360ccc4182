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
	own := object{kindOf(o.Get("object")), o.Get("id").Text()}
	related := event.Get("related_object") // thin: {id, type, url}
	thin := object{kindOf(related.Get("type")), related.Get("id").Text()}
	customer, holder, parent := o.Get("customer"), o.Get("account_holder"), o.At("parent", "subscription_details")

	add(&c, kindCustomer, own, thin)
	c.Add(kindCustomer, idOf(customer))
	// A detached payment method no longer says whose it was.
	c.Add(kindCustomer, idOf(data.Get("previous_attributes").Get("customer")))
	c.Add(kindCustomer, idOf(o.Get("related_customer"))) // identity.verification_session
	c.Add(kindCustomer, idOf(holder.Get("customer")))    // financial_connections.account
	addAccount(&c, idOf(o.Get("customer_account")))

	addUUIDs(&c, o, customer, parent)
	addEmails(&c, o, customer, own.kind)

	for _, kind := range [...]string{kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod} {
		add(&c, kind, own, thin)
		c.Add(kind, idOf(o.Get(kind))) // the field has the kind's name
	}
	c.Add(kindSubscription, idOf(parent.Get("subscription")))

	for _, object := range [...]object{own, thin} {
		if object.kind == kindAccount {
			addAccount(&c, object.id)
		}
	}
	addAccount(&c, idOf(o.Get("account")))     // application fees, persons, capabilities
	addAccount(&c, idOf(o.Get("destination"))) // transfers; a payout's is a bank account
	addAccount(&c, idOf(holder.Get("account")))
	addAccount(&c, account)
	return c.List()
}

// object is an object's kind of reference, or "", and its id.
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
// subscription or on its (expanded) customer.
func addUUIDs(c *source.References, o, customer, parent rawjson.Value) {
	const metadata, key = "metadata", "account_uuid"
	c.Add(source.KindAccountUUID, o.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, o.Get("client_reference_id").Text())
	c.Add(source.KindAccountUUID, customer.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, parent.At(metadata, key).Text())
	c.Add(source.KindAccountUUID, o.At("subscription_details", metadata, key).Text()) // before API version 2025-03-31
}

func addEmails(c *source.References, o, customer rawjson.Value, kind string) {
	if kind == kindCustomer || kind == kindAccount {
		c.Add(source.KindEmail, o.Get("email").Text())
	}
	c.Add(source.KindEmail, o.Get("customer_email").Text())
	c.Add(source.KindEmail, o.At("customer_details", "email").Text())
	c.Add(source.KindEmail, customer.Get("email").Text())
	c.Add(source.KindEmail, o.At("billing_details", "email").Text())
	c.Add(source.KindEmail, o.Get("receipt_email").Text())
}

// kindOf gives the kind of reference that an object of this name is, or "".
func kindOf(objectName rawjson.Value) string {
	for _, kind := range [...]string{
		kindCustomer, kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod, kindAccount,
	} {
		if objectName.Is(kind) {
			return kind
		}
	}
	if objectName.Is("v2.core.account") {
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
