package stripe

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// answers plays Stripe's API: a body by path, and a status where it is no object.
type answers map[string]string

func (a answers) Do(r *http.Request) (*http.Response, error) {
	status, body := http.StatusNotFound, `{"error":{"code":"resource_missing","type":"invalid_request_error","message":"No such thing"}}`
	if text, ok := a[r.URL.Path]; ok {
		status, body = http.StatusOK, text
		if code, rest, cut := strings.Cut(text, "!"); cut {
			status, body = map[string]int{"403": http.StatusForbidden, "404": http.StatusNotFound, "429": http.StatusTooManyRequests}[code], rest
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestLearn(t *testing.T) {
	t.Parallel()
	const id = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	api := answers{
		"/v1/disputes/dp_1":         `{"id":"dp_1","object":"dispute","charge":"ch_1","payment_intent":null,"evidence":{"customer_name":"cus_evil"}}`,
		"/v1/charges/ch_1":          `{"id":"ch_1","object":"charge","customer":"cus_1","description":"cus_evil","receipt_email":"eve@evil.example","metadata":{"customer":"cus_evil"}}`,
		"/v1/charges/ch_2":          `{"id":"ch_2","object":"charge","customer":{"id":"cus_2","object":"customer"},"payment_intent":"pi_2"}`,
		"/v1/charges/ch_nobody":     `{"id":"ch_nobody","object":"charge","customer":null}`,
		"/v1/customers/cus_1":       `{"id":"cus_1","object":"customer","email":"Kim@Acme.example","name":"Acme GmbH","metadata":{"account_uuid":"` + id + `"}}`,
		"/v1/customers/cus_deleted": `{"id":"cus_deleted","object":"customer","deleted":true}`,
		"/v1/invoices/in_1":         `{"id":"in_1","object":"invoice","customer":"cus_1","parent":{"subscription_details":{"subscription":"sub_1"}}}`,
		"/v1/charges/ch_html":       `<html>`,
		"/v1/charges/ch_other":      `{"id":"ch_9","object":"charge","customer":"cus_9"}`,
		"/v1/charges/ch_error":      `{"error":{"code":"x"}}`,
		"/v1/charges/ch_403":        `403!{"error":{"type":"invalid_request_error"}}`,
		"/v1/charges/ch_429":        `429!{}`,
		"/v1/charges/ch_proxy":      `404!not here`,
	}
	learn := func(kind, id string) (source.Learned, error) {
		list, err := stripe{}.Learn(context.Background(), api, kind, []string{id})
		if err != nil {
			return source.Learned{}, err
		}
		require.Len(t, list, 1)
		require.Equal(t, id, list[0].ID)
		return list[0], nil
	}
	for object, want := range map[string]string{
		"dispute dp_1":         "charge:ch_1 declared charge",
		"charge ch_1":          "customer:cus_1 declared customer",
		"charge ch_2":          "customer:cus_2 declared customer; payment_intent:pi_2 declared payment_intent",
		"charge ch_nobody":     "",
		"customer cus_1":       "account_uuid:" + id + " declared metadata.account_uuid; email:kim@acme.example person email",
		"invoice in_1":         "customer:cus_1 declared customer; subscription:sub_1 declared parent.subscription_details.subscription",
		"customer cus_deleted": "gone", "charge ch_gone": "gone",
	} {
		kind, id, _ := strings.Cut(object, " ")
		got, err := learn(kind, id)
		require.NoError(t, err, object)
		var said []string
		for _, l := range got.Leads {
			said = append(said, l.Reference.Kind+":"+l.Reference.ID+" "+string(l.By)+" "+l.Field)
		}
		if got.Gone {
			said = append(said, "gone")
		}
		require.Equal(t, want, strings.Join(said, "; "), object)
		require.NotContains(t, string(got.Evidence), "@", "no address")
	}
	customer, err := learn(kindCustomer, "cus_1")
	require.NoError(t, err)
	require.Equal(t, "Acme GmbH", customer.Name)
	for id, reason := range map[string]fault.Reason{
		"ch_html": fault.Malformed, "ch_other": fault.Malformed, "ch_error": fault.Malformed, "ch_403": fault.Forbidden, "ch_429": fault.Unavailable, "ch_proxy": fault.Malformed,
	} {
		_, err := learn(kindCharge, id)
		require.Error(t, err, id)
		require.Equal(t, reason, fault.ReasonOf(err), id)
		require.Equal(t, id == "ch_403" || id == "ch_proxy", fault.IsPermanent(err), id)
	}
	_, err = stripe{}.Learn(context.Background(), api, "payment_link", []string{"plink_1"})
	require.True(t, fault.IsPermanent(err))
	known := map[string]bool{}
	for _, k := range (stripe{}).Profile().Kinds {
		known[k.Name] = true
	}
	for _, l := range (stripe{}).Learns() {
		require.True(t, known[l.Kind], l.Kind)
	}
}
