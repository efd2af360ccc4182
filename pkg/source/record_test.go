package source

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// plain reads {"id","tenant","customer","subject"}.
type plain struct{ name string }

func (p plain) Name() string   { return p.name }
func (plain) Profile() Profile { return Profile{Kinds: []Kind{{Name: "customer"}}} }

func (p plain) Describe(r Record) (Event, error) {
	if r.Object.Get("bad").Bool() {
		return Event{}, fault.Permanent(fault.Unsupported, errors.New("not an event"))
	}
	tenant := r.Object.Get("tenant").Text()
	if tenant == "" {
		tenant = r.Tenant
	}
	refs := References{Source: p.name, Tenant: tenant}
	refs.Add("customer", r.Object.Get("customer").Literal())
	return Event{
		ID: r.Object.Get("id").Literal(), Type: "thing.made", OccurredAt: r.ReceivedAt, Tenant: tenant,
		References: refs.List(), Subject: r.Object.Get("subject").Text(),
	}, nil
}

func TestKeyed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		value, tenant string
		key, gives    string
		reason        fault.Reason
	}{
		"the first reference":     {value: `{"id":1,"customer":"c"}`, key: "plain:customer:c"},
		"no reference":            {value: `{"id":"evt"}`, key: "evt"},
		"the event's tenant":      {value: `{"id":1,"customer":7,"tenant":"own"}`, tenant: "set", key: "plain/own:customer:7", gives: "own"},
		"the tenant that was set": {value: `{"id":1,"customer":7}`, tenant: "set", key: "plain/set:customer:7", gives: "set"},
		"refused by the source":   {value: `{"bad":true}`, reason: fault.Unsupported},
		"an event without id":     {value: `{}`, reason: fault.Malformed},
		"an id with a newline":    {value: `{"id":"a\n"}`, reason: fault.Malformed},
		"a long id":               {value: `{"id":"` + strings.Repeat("x", MaxIDBytes+1) + `"}`, reason: fault.Oversized},
		"no object":               {value: `[{"id":1}]`, reason: fault.Malformed},
		"cut off":                 {value: `{"id":1`, reason: fault.Malformed},
		"a repeated name":         {value: `{"id":1,"id":1}`, reason: fault.Malformed},
		"NUL":                     {value: `{"id":1,"a":"\u0000"}`, reason: fault.Unstorable},
		"too large":               {value: `{"id":1,"a":"` + strings.Repeat("x", MaxRecordBytes) + `"}`, reason: fault.Oversized},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bare := Record{Value: []byte(tt.value), Tenant: tt.tenant, ReceivedAt: now, Key: []byte("theirs")}
			scanned, cut := bare, bare
			var whole, top rawjson.Doc
			if v, err := whole.ParseBody(bare.Value, 0); err == nil {
				scanned.Object = v
			}
			if v, err := top.ParseBody(bare.Value, 1); err == nil {
				cut.Object = v
			}
			for how, r := range map[string]Record{"bare": bare, "scanned": scanned, "cut": cut} {
				keyed, event, err := Keyed(plain{"plain"}, r)
				require.Equal(t, r.Object, keyed.Object, how)
				if tt.reason != "" {
					require.True(t, fault.IsPermanent(err), how)
					require.Equal(t, tt.reason, fault.ReasonOf(err), how)
					require.Equal(t, r, keyed, how)
					require.Equal(t, event.known(), event, how)
					continue
				}
				require.NoError(t, err, how)
				require.Equal(t, tt.key, string(keyed.Key), how)
				require.Equal(t, tt.gives, keyed.Tenant, how)
				require.Equal(t, tt.gives, event.Tenant, how)
				require.Equal(t, tt.value, string(keyed.Value), how)
			}
		})
	}
	_, event, err := Keyed(plain{"plain"}, Record{Value: []byte(`{"id":1,"subject":" a\n b "}`), ReceivedAt: now})
	require.NoError(t, err)
	require.Equal(t, "a b", event.Subject)
	keyed, event, err := Keyed(plain{"plain"}, Record{Value: []byte(`{"id":1,"customer":7,"subject":"a"}`), ReceivedAt: now, Tenant: "set", Key: []byte("theirs"), Brief: true})
	require.NoError(t, err)
	require.Equal(t, "theirs", string(keyed.Key), "not made")
	require.Equal(t, Event{ID: "1", Type: "thing.made", OccurredAt: now, Tenant: "set"}, event, "whatever the source says")
}

func TestParts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body   string
		want   []string
		reason fault.Reason
	}{
		"an object":               {body: " {\"a\" : 1}\n", want: []string{`{"a" : 1}`}},
		"an array":                {body: `[{"a":1.0} , 7,null,[],{"a":1,"a":2} ]`, want: []string{`{"a":1.0}`, `7`, `null`, `[]`, `{"a":1,"a":2}`}},
		"an empty array":          {body: `[]`},
		"as many as there may be": {body: `[1,2,3,4,5]`, want: []string{"1", "2", "3", "4", "5"}},
		"one more":                {body: `[1,2,3,4,5,6]`, reason: fault.Oversized},
		"a text":                  {body: `"a"`, reason: fault.Malformed},
		"cut off":                 {body: `[{"a":1},`, reason: fault.Malformed},
		"nothing":                 {body: ``, reason: fault.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &Delivery{Body: []byte(tt.body)}
			for range 2 { // again, and after a Reset
				var got []string
				var failed error
				for part, err := range Parts(d, 5) {
					if failed = err; err == nil {
						require.Equal(t, part.Value, part.Object.Bytes())
						got = append(got, string(part.Value))
					}
				}
				require.Equal(t, tt.want, got)
				if tt.reason != "" {
					require.True(t, fault.IsPermanent(failed))
				}
				require.Equal(t, tt.reason == "", failed == nil)
				if failed != nil {
					require.Equal(t, tt.reason, fault.ReasonOf(failed))
				}
				d.Reset()
				d.Body = []byte(tt.body)
			}
		})
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	set, err := NewSet(plain{"b"}, plain{"a"})
	require.NoError(t, err)
	require.Equal(t, []string{"b", "a"}, set.Names())
	require.Len(t, set.Sources(), 2)
	found, ok := set.Find("a")
	require.True(t, ok)
	require.Equal(t, "a", found.Name())
	require.Equal(t, []Kind{{Name: "customer"}}, set.Kinds("b"))
	_, ok = set.Find("c")
	require.False(t, ok)
	require.Nil(t, set.Kinds("c"))
	_, err = NewSet(plain{"a"}, plain{"a"})
	require.ErrorContains(t, err, `"a"`)
	require.Empty(t, Set{}.Names())
}

func TestProfileTakes(t *testing.T) {
	t.Parallel()
	for _, media := range []string{"", "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "text/json", "application/cloudevents+json"} {
		require.True(t, (&Profile{}).Takes(media), media)
		require.False(t, (&Profile{Media: []string{"text/xml"}}).Takes(media), media)
	}
	for _, media := range []string{"text/xml", "Text/XML; charset=utf-8"} {
		require.False(t, (&Profile{}).Takes(media), media)
		require.True(t, (&Profile{Media: []string{"text/xml"}}).Takes(media), media)
	}
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "multipart/form-data", "+json"} {
		require.False(t, (&Profile{}).Takes(media), media)
	}
}
