package salesforce

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	outboundNamespace = "http://soap.sforce.com/2005/09/outbound"
	schemaNamespace   = "http://www.w3.org/2001/XMLSchema-instance"

	maxDepth = 16 // envelope, body, notifications, Notification, sObject, a field and what it holds
)

// Split implements source.Webhook. It yields one record a notification, or, of a
// delivery in JSON, one a change event and record; see the package comment for the
// forms.
func (s salesforce) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	if !isXML(d.Body) {
		return splitChanges(d)
	}
	return func(yield func(source.Part, error) bool) {
		m := message{decoder: xml.NewDecoder(bytes.NewReader(d.Body))}
		for {
			value, err := m.next(s)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(source.Part{Value: value, Tenant: m.organization}, err) || err != nil {
				return
			}
		}
	}
}

func isXML(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n\ufeff"), []byte("<"))
}

// message is an outbound message that is being read.
type message struct {
	decoder              *xml.Decoder
	depth, notifications int
	organization, action string
	ended                bool
}

// next gives the record of the next notification, or io.EOF behind the last.
func (m *message) next(s salesforce) ([]byte, error) {
	for {
		token, err := m.token()
		if errors.Is(err, io.EOF) && m.ended {
			return nil, io.EOF
		}
		if err != nil {
			return nil, unreadable(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			const inMessage = 4
			switch {
			case m.depth < inMessage:
				if !frame(m.depth, t.Name) {
					return nil, source.Malformed("this is no outbound message: its element %.40q stands where Envelope, Body and notifications should", t.Name.Local)
				}
			case m.depth == inMessage:
				value, err := m.member(s, t)
				if value != nil || err != nil {
					return value, err
				}
			}
		case xml.EndElement:
			m.ended = m.ended || t.Name.Local == "notifications" && m.notifications > 0
		}
	}
}

// frame: the element of this depth is what SOAP and the WSDL have there.
func frame(depth int, name xml.Name) bool {
	switch depth {
	case 1:
		return name.Local == "Envelope"
	case 2:
		return name.Local == "Body" || name.Local == "Header"
	default:
		return name.Local == "notifications" && name.Space == outboundNamespace
	}
}

// member reads an element of notifications; value is a notification's record.
func (m *message) member(s salesforce, start xml.StartElement) (value []byte, err error) {
	if start.Name.Local == "Notification" {
		if m.notifications++; m.notifications > maxNotifications {
			return nil, fault.Permanent(fault.Oversized, fmt.Errorf("the message has more than %d notifications", maxNotifications))
		}
		if m.organization == "" {
			return nil, source.Malformed("the message has no OrganizationId before its notifications")
		}
		out := record{}
		out.raw(`{"OrganizationId":`).text(m.organization).raw(`,"ActionId":`).text(m.action).raw(`,"Notification":`)
		if err := m.element(&out, start); err != nil {
			return nil, err
		}
		return out.raw("}").bytes, nil
	}
	out := record{}
	if err := m.element(&out, start); err != nil {
		return nil, err
	}
	switch start.Name.Local {
	case "OrganizationId":
		id, ok := ID(decode(out.bytes))
		if !ok {
			return nil, source.Malformed("OrganizationId is not an id of 15 or 18 characters")
		}
		if len(s.options.organizations) > 0 && !slices.Contains(s.options.organizations, id) {
			return nil, source.Unauthenticated("the organization is none of those that may send")
		}
		m.organization = id
	case "ActionId":
		m.action = decode(out.bytes)
	} // SessionId, EnterpriseUrl and PartnerUrl go no further
	return nil, nil
}

func decode(text []byte) (s string) {
	_ = json.Unmarshal(text, &s) // null, and what is no text, is ""
	return s
}

// token reads on, within the bounds of what may come.
func (m *message) token() (xml.Token, error) {
	token, err := m.decoder.Token()
	switch t := token.(type) {
	case xml.StartElement:
		if m.depth++; m.depth > maxDepth {
			return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
		}
	case xml.EndElement:
		m.depth--
	case xml.Directive:
		return nil, errors.New("a document type is not taken")
	case xml.ProcInst:
		if t.Target != "xml" {
			return nil, errors.New("processing instructions are not taken")
		}
	}
	return token, err
}

// element writes what an element holds: its members as an object, its text, or null.
func (m *message) element(out *record, start xml.StartElement) error {
	var text strings.Builder
	null, typeName := false, ""
	for _, a := range start.Attr {
		switch {
		case a.Name.Space == schemaNamespace && a.Name.Local == "nil":
			null = a.Value == "true" || a.Value == "1"
		case a.Name.Space == schemaNamespace && a.Name.Local == "type" && start.Name.Local == "sObject":
			_, typeName, _ = strings.Cut(a.Value, ":")
			if typeName == "" {
				typeName = a.Value
			}
		}
	}
	object := typeName != ""
	if object {
		out.raw(`{"attributes":{"type":`).text(typeName).raw("}")
	}
	for {
		token, err := m.token()
		if err != nil {
			return unreadable(err)
		}
		switch t := token.(type) {
		case xml.CharData:
			if !object {
				text.Write(t)
			}
		case xml.StartElement:
			if object {
				out.raw(",")
			} else {
				out.raw("{")
			}
			object = true
			out.text(t.Name.Local).raw(":")
			if err := m.element(out, t); err != nil {
				return err
			}
			if len(out.bytes) > source.MaxRecordBytes {
				return fault.Permanent(fault.Oversized, fmt.Errorf("a notification has more than %d bytes as JSON", source.MaxRecordBytes))
			}
		case xml.EndElement:
			switch {
			case object:
				out.raw("}")
			case null:
				out.raw("null")
			default:
				out.text(text.String())
			}
			return nil
		}
	}
}

// record is JSON that is being written.
type record struct{ bytes []byte }

func (r *record) raw(text string) *record {
	r.bytes = append(r.bytes, text...)
	return r
}

func (r *record) text(text string) *record {
	quoted, _ := json.Marshal(text) // every string has a JSON form
	r.bytes = append(r.bytes, quoted...)
	return r
}

// unreadable is the refusal of XML that cannot be read. The decoder quotes names and
// entities of the message at most; they are cut all the same.
func unreadable(err error) error {
	text := err.Error()
	const most = 120
	if errors.Is(err, io.EOF) {
		text = "it ends too early"
	}
	return source.Malformed("the message cannot be read as XML: %.*q", most, text)
}
