package receiver

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	reference "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Two senders of one format, each with its own name, secret, mapping and library.
const (
	billingSecret = "whsec_Yh3kz9r8GKYqrTwjUPD8ILPZIo2LaLaA"
	productSecret = "whsec_Zh3FVsBQIhrscChlQIMV+b5sSYspob7A"
)

func TestTwoNamedSourcesOfOneFormat(t *testing.T) {
	t.Parallel()
	mapping := filepath.Join(t.TempDir(), "billing.yaml")
	require.NoError(t, os.WriteFile(mapping, []byte("id: /data/id\nreferences: [{kind: customer, id: /data/customer}]\n"), 0o600))
	set, err := catalog.With([]catalog.Named{{Name: "billing", Format: "standardwebhooks", Mapping: mapping}, {Name: "product-events", Format: "standardwebhooks"}})
	require.NoError(t, err)
	secrets := map[string]settings.Secrets{"billing": {billingSecret}, "product-events": {productSecret}}
	endpoints, err := Endpoints(set, nil, func(name string) settings.SourceSetting { return settings.SourceSetting{Secrets: secrets[name]} })
	require.NoError(t, err)
	r := newRig(t, func(o *Options) { o.Endpoints = endpoints })

	billing, err := reference.NewWebhook(billingSecret)
	require.NoError(t, err)
	product, err := svix.NewWebhook(productSecret)
	require.NoError(t, err)
	body := []byte(`{"type":"invoice.paid","timestamp":"2025-10-09T08:53:20Z","data":{"id":"in_1","customer":"cus_1"}}`)
	send := func(name, prefix string, sign func(string, time.Time, []byte) (string, error)) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url(name), bytes.NewReader(body))
		require.NoError(t, err)
		now := time.Now()
		signature, err := sign("msg_1", now, body)
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(prefix+"-id", "msg_1")
		req.Header.Set(prefix+"-timestamp", strconv.FormatInt(now.Unix(), 10))
		req.Header.Set(prefix+"-signature", signature)
		return r.do(req).status
	}
	require.Equal(t, 200, send("billing", "webhook", billing.Sign))
	require.Equal(t, 200, send("product-events", "svix", product.Sign))
	require.Equal(t, 401, send("billing", "svix", product.Sign), "the other sender's secret")
	require.Equal(t, 401, send("product-events", "webhook", billing.Sign))

	for name, key := range map[string]string{"billing": "billing:customer:cus_1", "product-events": "sha256:"} {
		records := r.records(name, 1)
		require.Len(t, records, 1)
		require.Equal(t, string(body), string(records[0].Value))
		require.Equal(t, "raw."+name, records[0].Topic)
		require.Contains(t, string(records[0].Key), key)
		require.Equal(t, name, stream.ReadRaw(records[0]).Source)
		require.EqualValues(t, 1, r.metric("deliveries_total", "source", name))
		require.EqualValues(t, 1, r.metric("rejected_total", "source", name, "reason", "unauthenticated"))
	}
}

// A secret that cannot be one is a problem of the setting, before anything starts.
func TestABadSecretIsAStartUpProblem(t *testing.T) {
	t.Parallel()
	set, err := catalog.With([]catalog.Named{{Name: "billing", Format: "standardwebhooks"}})
	require.NoError(t, err)
	_, err = Endpoints(set, []string{"billing"}, func(string) settings.SourceSetting {
		return settings.SourceSetting{Secrets: settings.Secrets{billingSecret, "whsec_not-base64"}}
	})
	require.EqualError(t, err, "--billing-secrets: secret 2 of 2 is not whsec_ or whpk_ and base64")
}

// A CloudEvent in the binary mode is one record of the JSON format, and a sender that asks first is answered.
func TestCloudEvents(t *testing.T) {
	t.Parallel()
	set, err := catalog.With([]catalog.Named{{Name: "orders", Format: "cloudevents"}})
	require.NoError(t, err)
	endpoints, err := Endpoints(set, []string{"orders"}, func(string) settings.SourceSetting {
		return settings.SourceSetting{Secrets: settings.Secrets{"a-token-of-orders"}}
	})
	require.NoError(t, err)
	r := newRig(t, func(o *Options) { o.Endpoints = endpoints })
	send := func(method, body string, header map[string]string) reply {
		req, err := http.NewRequestWithContext(t.Context(), method, r.url("orders"), strings.NewReader(body))
		require.NoError(t, err)
		for name, value := range header {
			req.Header.Set(name, value)
		}
		return r.do(req)
	}
	binary := map[string]string{
		"Authorization": "Bearer a-token-of-orders", "Content-Type": "application/json",
		"ce-specversion": "1.0", "ce-id": "A-1", "ce-source": "/billing", "ce-type": "order.created", "ce-subject": "%E2%82%AC",
	}
	require.Equal(t, 200, send(http.MethodPost, `{"a":1}`, binary).status)
	require.Equal(t, 400, send(http.MethodPost, `{"a":`, binary).status)
	batch := map[string]string{"Authorization": "Bearer a-token-of-orders", "Content-Type": "application/cloudevents-batch+json"}
	require.Equal(t, 200, send(http.MethodPost, `[{"specversion":"1.0","id":"A-2","source":"/billing","type":"order.paid"},7]`, batch).status)
	batch["Content-Type"] = "application/cloudevents+xml"
	require.Equal(t, 415, send(http.MethodPost, `<event/>`, batch).status)
	binary["Authorization"] = "Bearer another"
	require.Equal(t, 401, send(http.MethodPost, `{}`, binary).status)

	asked := send(http.MethodOptions, "", map[string]string{"WebHook-Request-Origin": "eventgrid.azure.net"})
	require.Equal(t, 200, asked.status)
	require.Equal(t, "eventgrid.azure.net", asked.header.Get("WebHook-Allowed-Origin"))
	require.Equal(t, 405, send(http.MethodOptions, "", nil).status)

	records := r.records("orders", 3)
	require.Len(t, records, 3)
	require.JSONEq(t, `{"specversion":"1.0","id":"A-1","source":"/billing","type":"order.created","subject":"€","datacontenttype":"application/json","data":{"a":1}}`, string(records[0].Value))
	require.Equal(t, "/billing:A-1", string(records[0].Key))
}
