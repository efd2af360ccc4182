package pattern_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pattern"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"subscription.deleted": "",
		"charge.dispute.created, then 30 days without conversation.*, then subscription.deleted within 120 days":           "",
		"stripe charge.dispute.created THEN without conversation.* for 30 days\nthen subscription.deleted Within 17 weeks": "stripe charge.dispute.created, then 30 days without conversation.*, then subscription.deleted within 119 days",
		"now, a then b":                          "now a, then b",
		"a then 36 hours without b or zendesk c": "a, then 36 hours without b or zendesk c",
		`"Order Completed" where payload.amount >= -1.50 and payload.items[0]."odd key" != "x\"y" and payload.live = true and payload.gone = null`: "",
		`looker "then"`:                "",
		`"payload.a"`:                  "",
		"a where payload.b = 1 within": "!",
	} {
		p, err := pattern.Parse(text)
		if want == "!" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, text)
		if want == "" {
			want = text
		}
		require.Equal(t, want, p.String())
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "it is empty: expected an event type, like charge.dispute.created",
		"then":                      `line 1, column 1: unexpected "then": expected an event type, like charge.dispute.created`,
		"a,":                        "line 1, column 3: the pattern ends here: expected then",
		"a b c":                     `line 1, column 5: unexpected "c": expected where, within, or, “, then”, or the end`,
		"a then":                    "line 1, column 7: the pattern ends here: expected an event type, like charge.dispute.created, or a period without one, like 30 days without conversation.*",
		"a then\n30 b":              `line 2, column 4: unexpected "b": expected hours, days or weeks; or after a condition where, within, or, “, then”, or the end`,
		"a then 3 days":             "line 1, column 14: the pattern ends here: expected without, where, “, then”, or the end",
		"a then b within":           "line 1, column 16: the pattern ends here: expected a length of time, like 30 days",
		"a then b within 9999 days": "line 1, column 17: 9999 days: expected a whole number from 1 to 3650",
		"a then b within 0 days":    "line 1, column 17: 0 days: expected a whole number from 1 to 3650",
		"a then b within 1.5 days":  "line 1, column 17: 1.5 days: expected a whole number from 1 to 3650",
		"a within 3 days":           "line 1, column 10: the first step has none before it to be within a time of",
		"a then 30 days without b then c within 29 days": "line 1, column 40: within 29 days can never be met: the periods before it last 30 days, and within counts from the event before them",
		"a where amount > 3":                             `line 1, column 9: unexpected "amount": expected a field of the payload, like payload.amount`,
		"a where payload.x":                              "line 1, column 18: the pattern ends here: expected one of = != < <= > >=",
		"a where payload.x > today":                      `line 1, column 21: unexpected "today": expected a number, a text in double quotes, true, false or null`,
		"a where payload.x > null":                       "line 1, column 9: null is not smaller or larger than anything: expected = or !=",
		"now a":                                          "line 1, column 5: now asks what has begun and may go on, so there must be two steps at least",
		"a; drop table accounts":                         "line 1, column 2: this is no word: an event type or a value with other characters stands in double quotes",
		"* x":                                            "line 1, column 1: a source has no wildcard: leave it out to look in all",
		"a*b*c*d*e*":                                     "line 1, column 1: an event type has at most 4 wildcards",
		`"\u0000"`:                                       "line 1, column 1: a text has at most 500 bytes of UTF-8, without NUL",
		strings.Repeat("a then ", 8) + "a":               "line 1, column 57: a pattern has at most 8 steps",
		strings.Repeat("ä", 2001):                        "it has 2001 characters, and may have 2000",
		"a\xff":                                          "it is not UTF-8",
	} {
		_, err := pattern.Parse(text)
		require.EqualError(t, err, "the pattern is wrong: "+want, text)
		require.True(t, fault.IsPermanent(err))
		require.Equal(t, fault.Malformed, fault.ReasonOf(err))
		var at *pattern.SyntaxError
		require.Equal(t, strings.HasPrefix(want, "line "), errors.As(err, &at))
	}
}

// What is accepted is bounded, is read again as the same, and puts nothing of itself into the statement.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"charge.dispute.created, then 30 days without conversation.*, then subscription.deleted within 120 days",
		`now stripe *.dispute.* where payload.amount > 1000 and payload."a b"[0] = "x'\"" then without a or b for 2 weeks`,
		`"'; DROP TABLE account_events; --" then "$1" then "%" where payload.a != null`,
		"a then", "\x00", "1", `"\u0000"`, "ä then 3650 days without ü",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := pattern.Parse(text)
		if err != nil {
			require.True(t, fault.IsPermanent(err))
			return
		}
		require.LessOrEqual(t, utf8.RuneCountInString(text), pattern.MaxLength)
		if shown := p.String(); utf8.RuneCountInString(shown) <= pattern.MaxLength {
			again, err := pattern.Parse(shown)
			require.NoError(t, err, shown)
			require.Equal(t, shown, again.String())
		}
		s := p.Statement(pattern.Query{Now: time.Now()})
		for _, r := range s.SQL {
			require.Less(t, r, rune(128))
		}
		require.NotContains(t, s.SQL, "DROP")
	})
}
