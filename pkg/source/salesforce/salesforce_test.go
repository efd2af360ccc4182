package salesforce

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

const secret = "a-token-in-the-address-0123456789"

var received = time.Unix(1_760_000_060, 0).UTC()

const (
	start = `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D5g000004xQzL</OrganizationId><ActionId>04k5g000000CaRtAAK</ActionId><SessionId>the-session</SessionId>`
	end   = `</notifications></Body></Envelope>`
	one   = `<Notification><Id>04l5g00000BcDeF</Id><sObject xsi:type="sf:Contact"><Id>0035g00000AbCdE</Id></sObject></Notification>`
)

func TestContract(t *testing.T) {
	t.Parallel()
	field := "<Note__c>" + strings.Repeat("x", 900_000) + "</Note__c>"
	large := strings.Replace(one, "</sObject>", field+"</sObject>", 1)
	sourcetest.Run(t, New(), sourcetest.Config{
		Secret: secret, BareToken: true, TypeField: "/Notification/sObject/attributes/type", UnknownType: `"Rocket__c"`,
		Largest: []byte(start + strings.Repeat(large, 9) + end),
	})
}

func FuzzSalesforce(f *testing.F) {
	for _, seed := range []string{start + one + end, `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, start + one, "<a/>"} {
		f.Add([]byte(seed))
	}
	sourcetest.Fuzz(f, New())
}

func BenchmarkSalesforce(b *testing.B) { sourcetest.Bench(b, New()) }

func split(s source.Webhook, body string) (values []string, err error) {
	for part, err := range s.Split(&source.Delivery{Header: http.Header{}, Body: []byte(body), ReceivedAt: received}) {
		if err != nil {
			return values, err
		}
		values = append(values, string(part.Value))
	}
	return values, nil
}

// TestSplit: the record of a notification, whole.
func TestSplit(t *testing.T) {
	t.Parallel()
	values, err := split(New(), start+one+end)
	require.NoError(t, err)
	require.Equal(t, []string{`{"OrganizationId":"00D5g000004xQzLEAU","ActionId":"04k5g000000CaRtAAK","Notification":{"Id":"04l5g00000BcDeF","sObject":{"attributes":{"type":"Contact"},"Id":"0035g00000AbCdE"}}}`}, values)
	values, err = split(New(), start+strings.Repeat(one, maxNotifications)+end)
	require.NoError(t, err)
	require.Len(t, values, maxNotifications)
}

// TestSessionIDGoesNoFurther: neither a record nor an error holds it, nor the addresses beside it.
func TestSessionIDGoesNoFurther(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/accounts.xml")
	require.NoError(t, err)
	values, err := split(New(), string(body))
	require.NoError(t, err)
	require.Len(t, values, 3)
	for _, value := range values {
		require.NotContains(t, value, "secret.of.a.session")
		require.NotContains(t, value, "my.salesforce.com")
		require.NotContains(t, value, "SessionId")
	}
	for cut := range body {
		if _, err := split(New(), string(body[:cut])); err != nil {
			require.NotContains(t, err.Error(), "secret.of.a.session", cut)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body, says string
		reason     fault.Reason
	}{
		"a document type":         {`<!DOCTYPE a [<!ENTITY b "c">]>` + start + one + end, "document type", fault.Malformed},
		"an entity":               {start + strings.Replace(one, "0035g", "&b;", 1) + end, "cannot be read", fault.Malformed},
		"an outer file":           {`<!DOCTYPE a SYSTEM "file:///etc/passwd">` + start + one + end, "document type", fault.Malformed},
		"another encoding":        {`<?xml version="1.0" encoding="UTF-16"?>` + start + one + end, "cannot be read", fault.Malformed},
		"an instruction":          {`<?php a?>` + start + one + end, "processing instructions", fault.Malformed},
		"it is cut":               {start + one, "cannot be read", fault.Malformed},
		"no notification":         {start + end, "too early", fault.Malformed},
		"another document":        {`<html><body/></html>`, "no outbound message", fault.Malformed},
		"another namespace":       {strings.Replace(start, "2005/09/outbound", "2006/01/other", 1) + one + end, "no outbound message", fault.Malformed},
		"too many notifications":  {start + strings.Repeat(one, maxNotifications+1) + end, "more than 100", fault.Oversized},
		"nested without end":      {start + "<Notification>" + strings.Repeat("<a>", 100_000), "nested deeper", fault.Malformed},
		"a large notification":    {start + strings.Replace(one, "</Id><", "</Id>"+strings.Repeat("<b>x</b>", 200_000)+"<", 1) + end, "more than 1048576 bytes", fault.Oversized},
		"no organization":         {strings.Replace(start, "<OrganizationId>00D5g000004xQzL</OrganizationId>", "", 1) + one + end, "no OrganizationId", fault.Malformed},
		"an organization that is": {strings.Replace(start, "00D5g000004xQzL", "acme", 1) + one + end, "is not an id", fault.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := split(New(), tt.body)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, tt.reason, fault.ReasonOf(err))
			require.Less(t, len(err.Error()), 300)
		})
	}
}

func TestOrganizations(t *testing.T) {
	t.Parallel()
	from := func(organization string) error {
		t.Helper()
		o, err := NewOptions([]string{organization})
		require.NoError(t, err)
		_, err = split(Configured(o), start+one+end)
		return err
	}
	require.NoError(t, from("00D5g000004xQzLEAU"), "the same, of 15 characters")
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(from("00D5g000004xQzM")))
	for _, bad := range []string{"", "acme", "0010800000XyZaBAAV"} {
		_, err := NewOptions([]string{bad})
		require.ErrorContains(t, err, "not an organization's id", bad)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	verifier, err := New().Open([]string{"another-token-0123456789", secret})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		url    string
		header http.Header
		ok     bool
	}{
		"address":                 {"/webhooks/salesforce?token=" + secret, http.Header{}, true},
		"beside others":           {"/webhooks/salesforce?a=b&token=" + secret, http.Header{}, true},
		"header":                  {"/webhooks/salesforce", http.Header{"X-Throughline-Token": {secret}}, true},
		"the header counts alone": {"/webhooks/salesforce?token=" + secret, http.Header{"X-Throughline-Token": {"no"}}, false},
		"twice":                   {"/webhooks/salesforce?token=x&token=" + secret, http.Header{}, false},
		"another":                 {"/webhooks/salesforce?token=x", http.Header{}, false},
		"none":                    {"/webhooks/salesforce", http.Header{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := verifier.Verify(&source.Delivery{URL: tt.url, Header: tt.header}, received)
			if tt.ok {
				require.NoError(t, err)
				require.Equal(t, 1, key)
				return
			}
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0010800000XyZaB": "0010800000XyZaBAAV", "0010800000XyZaBAAV": "0010800000XyZaBAAV", "0010800000xyzabaav": "0010800000XyZaBAAV",
		"0010800000XYZABAAV": "0010800000XyZaBAAV", "": "", "0010800000XyZa": "", "0010800000XyZaBAA!": "", "0010800000XyZa\xff": "",
		"0010800000XyZaB9AV": "", "0010800000XyZaBBAV": "",
	} {
		got, ok := ID(text)
		require.Equal(t, want, got, text)
		require.Equal(t, want != "", ok, text)
	}
}

// TestAck: what the WSDL asks for, in its namespace.
func TestAck(t *testing.T) {
	t.Parallel()
	for want, outcome := range map[string]error{"true": nil, "false": errors.New("away")} {
		resp := New().Reply(&source.Delivery{Header: http.Header{"Content-Type": {"text/xml; charset=UTF-8"}}}, outcome)
		var answer struct {
			Ack string `xml:"Body>notificationsResponse>Ack"`
		}
		require.NoError(t, xml.Unmarshal(resp.Body, &answer))
		require.Equal(t, want, answer.Ack)
		require.True(t, bytes.Contains(resp.Body, []byte(outboundNamespace)))
	}
}

// TestSentAgain: a message that is sent again has the record as it is by then, which is no contradiction.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	s := New()
	set, err := source.NewSet(s)
	require.NoError(t, err)
	first, err := split(s, start+one+end)
	require.NoError(t, err)
	again, err := split(s, start+strings.Replace(one, "</sObject>", "<Name>Kim</Name></sObject>", 1)+end)
	require.NoError(t, err)
	require.Equal(t, set.Digest("salesforce", parse(t, first[0])), set.Digest("salesforce", parse(t, again[0])))
}

// TestReferences: who may write a field decides whether it counts.
func TestReferences(t *testing.T) {
	t.Parallel()
	const account = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	for name, tt := range map[string]struct{ kind, fields, want string }{
		"account":              {"Account", `"Id":"0010800000XyZaB","Account_UUID__c":"` + account + `","ParentId":"0010800000XyZaC","Website":"www.acme.example"`, "account_uuid:" + account + " account:0010800000XyZaBAAV domain:acme.example"},
		"web-to-lead":          {"Lead", `"Id":"00Q5g00000AbCdE","Account_UUID__c":"` + account + `","Account__c":"0010800000XyZaB","Website":"victim.example","Email":"a@victim.example","Company":"0010800000XyZaB"`, "lead:00Q5g00000AbCdEEAV email:a@victim.example"},
		"web-to-case":          {"Case", `"Id":"5005g00000AbCdE","Account__c":"0010800000XyZaB","SuppliedEmail":"a@victim.example","Subject":"0010800000XyZaB"`, "case:5005g00000AbCdEAAV email:a@victim.example"},
		"a task":               {"Task", `"Id":"00T5g00000AbCdE","WhatId":"0010800000XyZaB","WhoId":"0035g00000AbCdE","OwnerId":"0055g00000AbCdE"`, "account:0010800000XyZaBAAV contact:0035g00000AbCdEAAV"},
		"a lookup of no known": {"Task", `"WhatId":"a005g00000AbCdE"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := `{"OrganizationId":"00D5g000004xQzL","Notification":{"Id":"04l5g00000BcDeF","sObject":{"attributes":{"type":"` + tt.kind + `"},` + tt.fields + `}}}`
			event, err := sourcetest.Describe(New(), source.Record{Value: []byte(value), ReceivedAt: received})
			require.NoError(t, err)
			var got []string
			for _, ref := range event.References {
				got = append(got, ref.Kind+":"+ref.ID)
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
		})
	}
}

func parse(t *testing.T, text string) rawjson.Value {
	t.Helper()
	object, err := new(rawjson.Doc).Parse([]byte(text))
	require.NoError(t, err)
	return object
}
