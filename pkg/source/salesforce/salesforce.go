package salesforce

import (
	"net/http"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "salesforce"

// maxNotifications is what the WSDL allows in a message.
const maxNotifications = 100

// Options are what a person knows of the sender.
type Options struct {
	// Organizations are the ids of those that may send; none: any that knows the
	// secret.
	Organizations []string
}

type salesforce struct{ organizations []string }

var (
	_ source.Signer = salesforce{}
	_ source.Former = salesforce{}
)

// New gives the source.
func New() source.Webhook { return salesforce{} }

// Configured gives the source with options that a person set. An error names an
// organization's id that is none.
func Configured(o Options) (source.Webhook, error) {
	var s salesforce
	for _, text := range o.Organizations {
		id, ok := ID(text)
		if !ok || id[:3] != "00D" {
			return nil, source.Malformed("%.40q is not an organization's id, like 00D5g000004xQzLEAU", text)
		}
		s.organizations = append(s.organizations, id)
	}
	return s, nil
}

// Name gives "salesforce".
func (salesforce) Name() string { return name }

// Profile bounds a message: 100 records with a few long texts.
func (salesforce) Profile() source.Profile {
	p := source.Profile{
		Title:      "Salesforce",
		Limits:     source.Limits{BodyBytes: rawjson.MaxPageBytes, Events: maxNotifications},
		Types:      eventTypes(),
		Media:      []string{"text/xml", "application/soap+xml", "application/xml"},
		Transcodes: true,
	}
	for _, o := range objects {
		p.Kinds = append(p.Kinds, source.Kind{Name: o.kind, Prefix: o.prefix, Scoped: true})
	}
	return p
}

// Form implements source.Former: a message that is sent again has the record as it
// is by then.
func (salesforce) Form(rawjson.Value) source.Form {
	return source.Form{Name: "notification", Ignored: []string{"/Notification/sObject"}}
}

const (
	answerStart = `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>`
	answerEnd   = `</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>`
)

// Reply gives the Ack that the WSDL asks for; false makes Salesforce send again. It
// does that too after a Permanent outcome: it knows no other answer.
func (salesforce) Reply(_ *source.Delivery, outcome error) source.Response {
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
