package vendors

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// stripeObjects are stripe-go's own types by Stripe's names.
var stripeObjects = map[string]any{
	"customer": stripe.Customer{}, "subscription": stripe.Subscription{}, "invoice": stripe.Invoice{}, "invoice_payment": stripe.InvoicePayment{},
	"charge": stripe.Charge{}, "dispute": stripe.Dispute{}, "checkout.session": stripe.CheckoutSession{}, "payment_intent": stripe.PaymentIntent{},
	"payment_method": stripe.PaymentMethod{}, "refund": stripe.Refund{}, "radar.early_fraud_warning": stripe.RadarEarlyFraudWarning{},
	"entitlements.active_entitlement_summary": stripe.EntitlementsActiveEntitlementSummary{}, "payout": stripe.Payout{}, "balance": stripe.Balance{},
}

// Stripe's own library takes the events, and knows every member of them.
func TestStripeKnowsItsEvents(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	sender := Sender{Sources: catalog.Set(), URL: "http://127.0.0.1:8080", Secrets: map[string]string{"stripe": "whsec_of_the_test"}}
	for _, typ := range s.Types("stripe") {
		t.Run(typ.Vendor, func(t *testing.T) {
			t.Parallel()
			d, err := s.Delivery("stripe", Event{Type: typ.Vendor})
			require.NoError(t, err)
			signed, err := sender.Sign(d)
			require.NoError(t, err)
			header := signed.Header.Get("Stripe-Signature")
			require.NoError(t, webhook.ValidatePayload(signed.Body, header, "whsec_of_the_test"))
			if typ.Vendor == "v1.customer.created" {
				return // ConstructEvent takes no thin events
			}
			event, err := webhook.ConstructEvent(signed.Body, header, "whsec_of_the_test")
			require.NoError(t, err)
			require.EqualValues(t, typ.Vendor, event.Type)
			require.WithinDuration(t, time.Now(), time.Unix(event.Created, 0), time.Minute)
			object, ok := stripeObjects[event.Data.Object["object"].(string)]
			require.True(t, ok)
			knowsMembers(t, reflect.TypeOf(object), event.Data.Object, "")
			require.NoError(t, json.Unmarshal(event.Data.Raw, reflect.New(reflect.TypeOf(object)).Interface()))
		})
	}
}

// knowsMembers: every member of a value is a field of the library's type.
func knowsMembers(t *testing.T, typ reflect.Type, value any, at string) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		if typ.Kind() == reflect.Map {
			return
		}
		require.Equal(t, reflect.Struct, typ.Kind(), at)
		for name, member := range v {
			if name == "object" {
				continue // also of lists, whose types leave it out
			}
			field, ok := fieldOf(typ, name)
			require.True(t, ok, "stripe-go does not know %s%s", at, name)
			knowsMembers(t, field, member, at+name+".")
		}
	case []any:
		require.Equal(t, reflect.Slice, typ.Kind(), at)
		for _, element := range v {
			knowsMembers(t, typ.Elem(), element, at)
		}
	}
}

func fieldOf(typ reflect.Type, name string) (reflect.Type, bool) {
	for _, f := range reflect.VisibleFields(typ) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return f.Type, true
		}
	}
	return nil, false
}
