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
func (e *envelope) references(tenant string) []source.Reference {
	c := source.References{Source: name, Tenant: tenant}
	e.addReferences(&c)
	return c.List()
}

// addReferences stops once c is full.
func (e *envelope) addReferences(c *source.References) {
	var o object
	o.read(e.data)
	related, relatedID := kindOf(textAt(e.related, "type")), textAt(e.related, "id")

	o.addOwn(c, kindCustomer)
	if related == kindCustomer {
		c.Add(kindCustomer, relatedID)
	}
	c.Add(kindCustomer, idOf(o.customer))
	// A detached payment method no longer says whose it was.
	c.Add(kindCustomer, idAt(e.previous, "customer"))
	c.Add(kindCustomer, idOf(o.relatedCustomer))           // identity.verification_session
	c.Add(kindCustomer, idAt(o.accountHolder, "customer")) // financial_connections.account
	addAccount(c, idOf(o.customerAccount))

	if c.Full() {
		return // most often
	}
	o.addUUIDs(c)
	o.addEmails(c)

	for _, kind := range [...]string{kindCharge, kindPaymentIntent, kindInvoice, kindSubscription, kindPaymentMethod} {
		o.addOwn(c, kind)
		if related == kind {
			c.Add(kind, relatedID)
		}
		c.Add(kind, idOf(*o.field(kind)))
	}
	c.Add(kindSubscription, idAt(o.parent, "subscription_details.subscription"))

	if kindOf(o.name) == kindAccount {
		addAccount(c, o.id)
	}
	if related == kindAccount {
		addAccount(c, relatedID)
	}
	addAccount(c, idOf(o.account))     // application fees, persons, capabilities
	addAccount(c, idOf(o.destination)) // transfers; a payout's is a bank account
	addAccount(c, idAt(o.accountHolder, "account"))
	addAccount(c, e.tenant())
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
type object struct {
	name, id string // of the object itself

	customer, relatedCustomer, accountHolder, customerAccount gjson.Result
	account, destination                                      gjson.Result
	charge, paymentIntent, invoice                            gjson.Result
	subscription, paymentMethod                               gjson.Result
	metadata, parent, subscriptionDetails                     gjson.Result
	customerDetails, billingDetails                           gjson.Result
	clientReferenceID, email, customerEmail, receiptEmail     string
}

// read reads the object once: an invoice has some hundred fields.
func (o *object) read(raw string) {
	source.Members(raw, func(key, value string) {
		if field := o.field(key); field != nil {
			*field = gjson.Parse(value)
			return
		}
		switch key {
		case "object":
			o.name = textOf(value)
		case "id":
			o.id = textOf(value)
		case "client_reference_id":
			o.clientReferenceID = textOf(value)
		case "email":
			o.email = textOf(value)
		case "customer_email":
			o.customerEmail = textOf(value)
		case "receipt_email":
			o.receiptEmail = textOf(value)
		}
	})
}

// field gives where the value of this key goes, or nil.
func (o *object) field(key string) *gjson.Result {
	switch key {
	case kindCustomer:
		return &o.customer
	case "related_customer":
		return &o.relatedCustomer
	case "account_holder":
		return &o.accountHolder
	case "customer_account":
		return &o.customerAccount
	case kindAccount:
		return &o.account
	case "destination":
		return &o.destination
	case kindCharge:
		return &o.charge
	case kindPaymentIntent:
		return &o.paymentIntent
	case kindInvoice:
		return &o.invoice
	case kindSubscription:
		return &o.subscription
	case kindPaymentMethod:
		return &o.paymentMethod
	case "metadata":
		return &o.metadata
	case "parent":
		return &o.parent
	case "subscription_details":
		return &o.subscriptionDetails
	case "customer_details":
		return &o.customerDetails
	case "billing_details":
		return &o.billingDetails
	}
	return nil
}

// addOwn adds the object's own id when the object is of this kind.
func (o *object) addOwn(c *source.References, kind string) {
	if kindOf(o.name) == kind {
		c.Add(kind, o.id)
	}
}

// addUUIDs adds the account id that the merchant wrote on the object, on its
// subscription or on its (expanded) customer.
func (o *object) addUUIDs(c *source.References) {
	const path = "metadata.account_uuid"
	c.Add(source.KindAccountUUID, textAt(o.metadata, "account_uuid"))
	c.Add(source.KindAccountUUID, o.clientReferenceID)
	c.Add(source.KindAccountUUID, textAt(o.customer, path))
	c.Add(source.KindAccountUUID, textAt(o.parent, "subscription_details."+path))
	c.Add(source.KindAccountUUID, textAt(o.subscriptionDetails, path)) // before API version 2025-03-31
}

func (o *object) addEmails(c *source.References) {
	if kind := kindOf(o.name); kind == kindCustomer || kind == kindAccount {
		c.Add(source.KindEmail, o.email)
	}
	c.Add(source.KindEmail, o.customerEmail)
	c.Add(source.KindEmail, textAt(o.customerDetails, "email"))
	c.Add(source.KindEmail, textAt(o.customer, "email"))
	c.Add(source.KindEmail, textAt(o.billingDetails, "email"))
	c.Add(source.KindEmail, o.receiptEmail)
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

// idAt is idOf for what stands at path in an object.
func idAt(v gjson.Result, path string) string {
	if !v.IsObject() {
		return ""
	}
	return idOf(v.Get(path))
}
