package sourcetest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// orders is a source whose vendor posts XML: proof that the contract bears one.
// Its raw records are JSON objects that Split makes, and its answers are XML.
type orders struct{}

func TestXMLSource(t *testing.T) {
	t.Parallel()
	Run(t, orders{}, ordersConfig())
}

func FuzzXML(f *testing.F) {
	body, err := os.ReadFile("testdata/xml/orders.xml")
	require.NoError(f, err)
	f.Add(body)
	Fuzz(f, orders{})
}

func ordersConfig() Config {
	const order = `<order id="o-1" at="2025-10-09T08:53:20Z"><status>shipped</status></order>`
	many := bytes.Repeat([]byte(order), 990<<10/len(order))
	return Config{
		Secret: "orders-secret-0123456789", Dir: "testdata/xml", TypeField: "/status", UnknownType: `"Sent by pigeon"`,
		Largest: append(append([]byte(`<orders account="acme">`), many...), "</orders>"...), Retry: http.StatusInternalServerError,
	}
}

func (orders) Name() string { return "orders" }

func (orders) Profile() source.Profile {
	return source.Profile{
		Title:      "Orders",
		Limits:     source.Limits{BodyBytes: 1 << 20, Events: 20_000},
		Kinds:      []source.Kind{{Name: "customer"}},
		Types:      []source.EventType{{Vendor: "shipped", Type: "shipped"}},
		Media:      []string{"text/xml", "application/soap+xml"},
		Transcodes: true,
	}
}

func (orders) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return ordersVerifier{keys}, nil
}

type ordersVerifier struct{ keys source.Keyring }

func (v ordersVerifier) Verify(d *source.Delivery, _ time.Time) (int, error) {
	sum := make([]byte, 32)
	key, matched := 0, false
	if source.DecodeHex(sum, d.Header.Get("Order-Signature")) {
		key, matched = v.keys.MatchHMAC(source.SHA256, source.Signed{Body: d.Body}, func(_ string, mac []byte) bool { return bytes.Equal(sum, mac) })
	}
	if !matched {
		return 0, fault.Permanent(fault.Unauthenticated, errors.New("no signature matches"))
	}
	return key, nil
}

func (orders) Sign(d *source.Delivery, secret string, _ time.Time) error {
	d.SetUsual("Content-Type", "text/xml; charset=utf-8")
	d.Header.Set("Order-Signature", hex.EncodeToString(source.HMAC(source.SHA256, secret, source.Signed{Body: d.Body})))
	return nil
}

// order is one of a delivery, in XML and in its record.
type order struct {
	ID       string `json:"id" xml:"id,attr"`
	At       string `json:"at" xml:"at,attr"`
	Account  string `json:"account,omitempty" xml:"-"`
	Customer string `json:"customer,omitempty" xml:"customer"`
	Status   string `json:"status" xml:"status"`
}

func (o orders) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return func(yield func(source.Part, error) bool) {
		dec, account, n := xml.NewDecoder(bytes.NewReader(d.Body)), "", 0
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) && account != "" {
				return
			}
			if err != nil {
				yield(source.Part{}, fault.Permanent(fault.Malformed, fmt.Errorf("reading the orders: %w", clipped(err))))
				return
			}
			start, ok := token.(xml.StartElement)
			switch {
			case !ok:
			case account == "":
				if account = attribute(start, "account"); account == "" || start.Name.Local != "orders" {
					yield(source.Part{}, fault.Permanent(fault.Malformed, errors.New("the body is not an account's orders")))
					return
				}
			default:
				if n++; n > o.Profile().Limits.Events {
					yield(source.Part{}, fault.Permanent(fault.Oversized, errors.New("too many orders")))
					return
				}
				one := order{Account: account}
				err := dec.DecodeElement(&one, &start)
				value, jsonErr := json.Marshal(one)
				if err = errors.Join(err, jsonErr); err != nil {
					err = fault.Permanent(fault.Malformed, fmt.Errorf("reading an order: %w", clipped(err)))
				}
				if !yield(source.Part{Value: value}, err) || err != nil {
					return
				}
			}
		}
	}
}

func clipped(err error) error {
	const most = 200
	if text := err.Error(); len(text) > most {
		return errors.New(text[:most])
	}
	return err
}

func attribute(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (orders) Describe(r source.Record) (source.Event, error) {
	o := r.Object
	id := o.Get("id").Text()
	if id == "" {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("the order has no id"))
	}
	at, err := source.ParseTime(o.Get("at").Text())
	if err != nil {
		return source.Event{}, err
	}
	account := o.Get("account").Text()
	if account == "" {
		account = r.Tenant
	}
	refs := source.References{Source: "orders", Tenant: account}
	refs.Add("customer", o.Get("customer").Text())
	return source.Event{ID: account + ":" + id, Type: source.TypeName(o.Get("status").Text()), OccurredAt: at, Tenant: account, References: refs.List()}, nil
}

func (orders) Reply(_ *source.Delivery, outcome error) source.Response {
	usual := source.DefaultReply(outcome)
	if outcome != nil && !fault.IsPermanent(outcome) {
		usual.Status = http.StatusInternalServerError
	}
	body := fmt.Appendf(nil, `<answer taken="%t" status="%d"/>`, outcome == nil, usual.Status)
	return source.Response{Status: usual.Status, Header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}}, Body: body}
}
