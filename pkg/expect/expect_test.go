package expect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/expect"
)

func TestSQL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		// As pg_get_viewdef prints it.
		`SELECT account_events.account_id, ((account_events.payload -> 'data'::text) -> 'object'::text) ->> 'amount_paid'::text AS amount
			FROM account_events WHERE account_events.source = 'stripe'::text AND (account_events.event_type = ANY (ARRAY['invoice.paid'::text, 'invoice.voided'::text]))`: "stripe invoice.paid data.object.amount_paid; stripe invoice.voided data.object.amount_paid",
		`CREATE VIEW churn AS SELECT payload #>> '{data,object,lines,0,price}' FROM account_events e WHERE e.event_type IN ('a.b')`: "churn: a.b data.object.lines[].price",
		`SELECT 1 FROM account_events WHERE payload @> '{"a":{"b":"x","c":[{"d":1}]}}'`:                                             "a.b string; a.c[].d number",
		`SELECT payload['a']['b'], payload->'c'->0->>'d', jsonb_extract_path_text(payload, 'e', '1', 'f') FROM account_events`:      "a.b; c[].d; e[].f",
		`SELECT * FROM account_events WHERE payload @? '$.a[*] ? (@.b > 1 && @."c d" == "x.y")'`:                                    `a[]; a[].b; a[]."c d"`,
		`SELECT jsonb_path_query_first(payload, '$.a.b.size()') FROM account_events`:                                                "a.b",
		`SELECT l->>'price', l.value->'tax' FROM account_events, jsonb_array_elements(payload->'lines') l`:                          "lines[].price; lines[].tax; lines",
		`SELECT payload->>'subject', payload->>'subject_ref', payload->>$1, id FROM account_events`:                                 "subject; unknown 1",
		`SELECT other->>'x' FROM account_events UNION SELECT payload->>'y' FROM account_events WHERE source = 'zendesk' AND true`:   "zendesk y",
		`WITH p AS (SELECT payload FROM account_events) SELECT (payload->>'n')::numeric FROM p`:                                     "n",
	} {
		reads, unknown, err := expect.SQL(text)
		require.NoError(t, err, text)
		var got []string
		for _, r := range reads {
			line := strings.Join(strings.Fields(fmt.Sprint(r.Source, " ", r.EventType, " ", r.Path, " ", strings.Join(r.Types, ","))), " ")
			if r.Relation != "" {
				line = r.Relation + ": " + line
			}
			got = append(got, line)
		}
		if unknown > 0 {
			got = append(got, fmt.Sprint("unknown ", unknown))
		}
		require.ElementsMatch(t, strings.Split(want, "; "), got, text)
	}
	_, _, err := expect.SQL("SELEC 1")
	require.ErrorContains(t, err, "does not understand it")
}

func TestYAML(t *testing.T) {
	t.Parallel()
	got, err := expect.YAML([]byte("dashboards:\n  - name: Churn risk\n    source: stripe\n    fields: {\"lines[0].price\": number, $.a: }\n"))
	require.NoError(t, err)
	require.Equal(t, []expect.Dashboard{{Name: "Churn risk", Source: "stripe", Fields: map[string]string{"lines[].price": "number", "a": ""}}}, got)
	for text, want := range map[string]string{
		"":                        "no dashboards",
		"dashboards: [{name: x}]": "needs a name and fields",
		"dashboards: [{name: x, fields: {a..b: }}]":     "is no path",
		"dashboards: [{name: x, fields: {a: integer}}]": "which is none of",
		"dashboards: [{name: x, felds: {a: }}]":         "field felds not found",
	} {
		_, err := expect.YAML([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzJSONPath(f *testing.F) {
	f.Add(`$.a[*] ? (@.b > 1)`)
	f.Add(`$."`)
	f.Add(`@)(`)
	f.Fuzz(func(_ *testing.T, text string) { expect.JSONPaths(text) })
}
