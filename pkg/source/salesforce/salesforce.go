package salesforce

import (
	"net/http"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "salesforce"

// maxNotifications is what the WSDL allows in a message.
const maxNotifications = 100

// Options are what a person knows of the senders. The zero value takes messages of
// every organization that knows the secret.
type Options struct{ organizations []string }

// NewOptions takes the ids of the organizations that may send. An error names one
// that is none.
func NewOptions(organizations []string) (o Options, err error) {
	for _, text := range organizations {
		id, ok := ID(text)
		if !ok || !strings.HasPrefix(id, "00D") {
			return Options{}, source.Malformed("%.40q is not an organization's id, like 00D5g000004xQzLEAU", text)
		}
		o.organizations = append(o.organizations, id)
	}
	return o, nil
}

type salesforce struct{ options Options }

var (
	_ source.Signer = salesforce{}
	_ source.Former = salesforce{}
	_ source.Lister = salesforce{}
)

// New gives the source.
func New() source.Webhook { return salesforce{} }

// Configured gives the source with options that a person set.
func Configured(o Options) source.Webhook { return salesforce{o} }

// Name gives "salesforce".
func (salesforce) Name() string { return name }

// Profile bounds a message (100 records with a few long texts) and a delivery of
// change events.
func (salesforce) Profile() source.Profile {
	p := source.Profile{
		Title:      "Salesforce",
		Limits:     source.Limits{BodyBytes: rawjson.MaxPageBytes, Events: maxChanges},
		Types:      eventTypes(),
		Media:      []string{"text/xml", "application/soap+xml", "application/xml", "application/json"},
		Volatile:   []string{"/event/replayId", "/data/event/replayId"},
		Transcodes: true,
	}
	for _, o := range objects {
		p.Kinds = append(p.Kinds, source.Kind{Name: o.kind, Prefix: o.prefix, Scoped: true, Form: idForm{}})
	}
	return p
}

// Form implements source.Former. A message that is sent again has the record as it is
// by then, and two actions may have other fields of it; so may two queries.
func (salesforce) Form(e rawjson.Value) source.Form {
	switch _, isChange := changeOf(e); {
	case isChange:
		return source.Form{Name: "change"}
	case e.Get("Notification").Exists():
		return source.Form{Name: "notification", Ignored: []string{"/ActionId", "/Notification"}}
	}
	var fields []string
	for field := range e.Members() {
		fields = append(fields, field)
	}
	slices.Sort(fields)
	return source.Form{Name: "record " + strings.Join(fields, " "), Ignored: []string{"/attributes"}}
}

const (
	answerStart = `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>`
	answerEnd   = `</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>`
)

// Reply gives the Ack that the WSDL asks for; false makes Salesforce send again. It
// does that too after a Permanent outcome: it knows no other answer. What posts
// something else than XML is another program, and gets the usual answer.
func (salesforce) Reply(d *source.Delivery, outcome error) source.Response {
	if d == nil || !strings.Contains(d.Header.Get("Content-Type"), "xml") {
		return source.DefaultReply(outcome)
	}
	ack := "true"
	if outcome != nil {
		ack = "false"
	}
	return source.Response{
		Status: fault.HTTPStatus(outcome),
		Header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}},
		Body:   []byte(answerStart + ack + answerEnd),
	}
}
