package stripe

import (
	"strings"

	"github.com/tidwall/gjson"

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
func (e envelope) references(tenant string) []source.Reference {
	c := source.References{Source: name, Tenant: tenant}
	o := readObject(e.data.Get("object"))
	related, relatedID := kindOf(text(e.related.Get("type"))), text(e.related.Get("id"))

	o.addOwn(&c, kindCustomer)
	if related == kindCustomer {
		c.Add(kindCustomer, relatedID)
	}
	c.Add(kindCustomer, idOf(o.fields["customer"]))
	// A detached payment method no longer says whose it was.
	c.Add(kindCustomer, idOf(e.data.Get("previous_attributes.customer")))
	c.Add(kindCustomer, idOf(o.fields["related_customer"]))               // identity.verification_session
	c.Add(kindCustomer, idOf(o.fields["account_holder"].Get("customer"))) // financial_connections.account
	addAccount(&c, idOf(o.fields["customer_account"]))

	o.addUUIDs(&c)
	o.addEmails(&c)

	for _, kind := range []string{kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod} {
		o.addOwn(&c, kind)
		if related == kind {
			c.Add(kind, relatedID)
		}
		c.Add(kind, idOf(o.fields[kind]))
	}
	c.Add(kindSubscription, idOf(o.fields["parent"].Get("subscription_details.subscription")))

	if kindOf(text(o.fields["object"])) == kindAccount {
		addAccount(&c, text(o.fields["id"]))
	}
	if related == kindAccount {
		addAccount(&c, relatedID)
	}
	addAccount(&c, idOf(o.fields["account"]))     // application fees, persons, capabilities
	addAccount(&c, idOf(o.fields["destination"])) // transfers; a payout's is a bank account
	addAccount(&c, idOf(o.fields["account_holder"].Get("account")))
	addAccount(&c, e.tenant())
	return c.List()
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

// object is data.object: the fields that references look at.
type object struct{ fields map[string]gjson.Result }

// readObject reads the object once, keeping only the fields asked for later:
// an invoice has some hundred.
func readObject(v gjson.Result) object {
	o := object{fields: make(map[string]gjson.Result, 16)}
	if !v.IsObject() {
		return o
	}
	v.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "id", "object", "customer", "related_customer", "account_holder", "customer_account", "metadata",
			"client_reference_id", "subscription_details", "parent", "email", "customer_email", "customer_details",
			"billing_details", "receipt_email", kindCharge, kindPaymentIntent, kindInvoice, kindSubscription,
			kindPaymentMethod, kindAccount, "destination":
			o.fields[key.Str] = value
		}
		return true
	})
	return o
}

// addOwn adds the object's own id when the object is of this kind.
func (o object) addOwn(c *source.References, kind string) {
	if kindOf(text(o.fields["object"])) == kind {
		c.Add(kind, text(o.fields["id"]))
	}
}

// addUUIDs adds the account id that the merchant wrote on the object, on its
// subscription or on its (expanded) customer.
func (o object) addUUIDs(c *source.References) {
	const path = "metadata.account_uuid"
	c.Add(source.KindAccountUUID, text(o.fields["metadata"].Get("account_uuid")))
	c.Add(source.KindAccountUUID, text(o.fields["client_reference_id"]))
	c.Add(source.KindAccountUUID, text(o.fields["customer"].Get(path)))
	c.Add(source.KindAccountUUID, text(o.fields["parent"].Get("subscription_details."+path)))
	c.Add(source.KindAccountUUID, text(o.fields["subscription_details"].Get(path))) // before API version 2025-03-31
}

func (o object) addEmails(c *source.References) {
	if kind := kindOf(text(o.fields["object"])); kind == kindCustomer || kind == kindAccount {
		c.Add(source.KindEmail, text(o.fields["email"]))
	}
	c.Add(source.KindEmail, text(o.fields["customer_email"]))
	c.Add(source.KindEmail, text(o.fields["customer_details"].Get("email")))
	c.Add(source.KindEmail, text(o.fields["customer"].Get("email")))
	c.Add(source.KindEmail, text(o.fields["billing_details"].Get("email")))
	c.Add(source.KindEmail, text(o.fields["receipt_email"]))
}

// kindOf gives the kind of reference that an object of this name is, or "".
func kindOf(objectName string) string {
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
func idOf(v gjson.Result) string {
	if v.IsObject() {
		return text(v.Get("id"))
	}
	return text(v)
}
