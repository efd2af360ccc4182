package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// learnable are the objects that can be asked about, and where each is. Stripe has no
// request for several by their ids: its search knows no id, its lists no list of ids.
// Sources: docs.stripe.com/api, one "Retrieve" a resource; stripe/openapi spec3.
var learnable = []struct{ kind, path string }{
	{kindCustomer, "customers"},
	{kindCharge, "charges"},
	{kindPaymentIntent, "payment_intents"},
	{kindInvoice, "invoices"},
	{kindSubscription, "subscriptions"},
	{kindPaymentMethod, "payment_methods"},
	{"dispute", "disputes"},
	{"refund", "refunds"},
	{"credit_note", "credit_notes"},
	{"setup_intent", "setup_intents"},
	{"checkout.session", "checkout/sessions"},
	{"radar.early_fraud_warning", "radar/early_fraud_warnings"},
	{"review", "reviews"},
	{"mandate", "mandates"},
	{"quote", "quotes"},
	{"invoiceitem", "invoiceitems"},
	{"subscription_schedule", "subscription_schedules"},
}

// pointers are the members of those objects that hold the id of an object of the same
// customer, the most telling first.
var pointers = []struct {
	kind string
	path []string
}{
	{kindCustomer, []string{"customer"}},
	{kindSubscription, []string{"subscription"}},
	{kindSubscription, []string{"parent", "subscription_details", "subscription"}}, // invoice, since 2025-03-31
	{kindInvoice, []string{"invoice"}},
	{kindCharge, []string{"charge"}},
	{kindPaymentIntent, []string{"payment_intent"}},
	{kindCharge, []string{"latest_charge"}},
	{"setup_intent", []string{"setup_intent"}},
	{kindPaymentMethod, []string{"payment_method"}},
}

var _ source.Learner = stripe{}

// Learns implements source.Learner. A restricted key needs read access to what is to
// be asked about, and to customers.
func (stripe) Learns() []source.Learnable {
	all := make([]source.Learnable, len(learnable))
	for i, l := range learnable {
		all[i] = source.Learnable{Kind: l.kind, Most: 1}
	}
	return all
}

// Learn implements source.Learner.
func (stripe) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	var path string
	for _, l := range learnable {
		if l.kind == kind {
			path = l.path
		}
	}
	if path == "" || len(ids) != 1 {
		return nil, fault.Permanent(fault.Unsupported, fmt.Errorf("Stripe is asked about one object at a time, not %d of kind %s", len(ids), kind))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/v1/"+path+"/"+url.PathEscape(ids[0]), nil)
	if err != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("asking for a %s: %w", kind, err))
	}
	resp, err := api.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return nil, err
	}
	body, err := source.ReadAnswer(resp)
	if resp.StatusCode == http.StatusNotFound && isMissing(body) {
		return []source.Learned{{ID: ids[0], Gone: true, Evidence: json.RawMessage(`{"code":"resource_missing"}`)}}, nil
	}
	if err != nil {
		return nil, refused(body, resp.StatusCode, false, err)
	}
	learned, err := readObject(body, kind, ids[0])
	if err != nil {
		return nil, err
	}
	return []source.Learned{learned}, nil
}

// isMissing: it is Stripe that says so, not something between.
func isMissing(body []byte) bool {
	var doc rawjson.Doc
	top, err := doc.ParseBody(body, 0)
	return err == nil && top.At("error", "code").Is("resource_missing")
}

// readObject takes what an object points at.
func readObject(body []byte, kind, id string) (source.Learned, error) {
	var doc rawjson.Doc
	o, err := doc.ParseBody(body, 0)
	if err != nil {
		return source.Learned{}, lie(fmt.Errorf("the %s cannot be read: %w", kind, err))
	}
	switch {
	case o.Get("error").Exists():
		return source.Learned{}, lie(errors.New("the API answered 200 with an error instead of an object"))
	case !o.Get("object").Is(kind) || !o.Get("id").Is(id):
		return source.Learned{}, lie(fmt.Errorf("the answer is not the %s that was asked for", kind))
	}
	learned := source.Learned{ID: id, Gone: o.Get("deleted").Bool()}
	fields := map[string]string{}
	add := func(refKind, ref string, by source.LeadLevel, path ...string) {
		c := source.References{Source: name}
		c.Add(refKind, ref)
		for _, r := range c.List() {
			field := strings.Join(path, ".")
			learned.Leads = append(learned.Leads, source.Lead{Reference: r, By: by, Field: field})
			if by != source.LeadPerson {
				fields[field] = r.ID
			}
		}
	}
	add(source.KindAccountUUID, o.At("metadata", "account_uuid").Text(), source.LeadDeclared, "metadata", "account_uuid")
	for _, p := range pointers {
		if p.kind != kind { // a setup_intent has no setup_intent
			add(p.kind, idOf(o.At(p.path...)), source.LeadDeclared, p.path...)
		}
	}
	if kind == kindCustomer {
		add(source.KindEmail, o.Get("email").Text(), source.LeadPerson, "email")
		learned.Name = o.Get("name").Text()
	}
	learned.Evidence, err = json.Marshal(fields)
	return learned, err
}
