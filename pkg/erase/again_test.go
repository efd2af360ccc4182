package erase

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// What people write about an erasure is text like all other: a person who comes back and is erased again, and one who asked
// for somebody else, stand in no reason of an erasure, in no decision and in no line of the audit log.
func TestTextsAboutErasures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hers := Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}
	_, err := w.eraser.Begin(t.Context(), Target{References: []source.Reference{{Source: "email", Kind: "email", ID: "bob@x.example"}}}, "cli:ada", "asked by "+kim)
	require.NoError(t, err)
	require.NoError(t, w.eraser.Run(t.Context(), nil))
	first := w.erase(hers)
	_, err = w.eraser.Lift(t.Context(), first.ID, "cli:ada", "customer "+kim+" is back")
	require.NoError(t, err)
	require.NotEmpty(t, grep(t, w.pool, kim))
	w.erase(hers)
	require.Empty(t, grep(t, w.pool, kim))
	require.Equal(t, 1, w.count("SELECT count(*) FROM audit_log WHERE action = 'liftErasure' AND target LIKE 'erasure %: email %' AND why = ''"), "who lifted what when stays")
	require.Equal(t, 3, w.count("SELECT count(*) FROM audit_log WHERE action = 'erase' AND why <> ''"), "the counts stay")
}

// An address is found however it is spelled, by what looks for it in what is stored, by what looks at what comes, and by what
// looks at what people write.
func TestSpellings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for function, want := range map[string]string{"spelled_at": resolve.SpelledAt, "spelled_plus": resolve.SpelledPlus, "spelled_gap": resolve.SpelledGap} {
		var got string
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT "+function+"()").Scan(&got))
		require.Equal(t, want, got, "the database and the programs read one pattern")
	}
	const address = "kim+news@nimbus.example"
	hers := []string{
		"kim+news@nimbus.example", "KIM+news%40Nimbus.example", "kim+news&#64;nimbus.example", "kim+news&#x40;nimbus.example", "kim+news&#x0040;nimbus.example", "kim+news&#0064;nimbus.example",
		"kim+news&commat;nimbus.example", "kim+news&amp;#64;nimbus.example", `kim+news\u0040nimbus.example`, "kim%2Bnews%40nimbus.example", "kim%252Bnews%2540nimbus.example", "kim&#43;news&#64;nimbus.example",
		"https://x.test/?to=https%3A%2F%2Fy.test%3Fe%3Dkim%2Bnews%40nimbus.example%26a%3D1", "https://x.test/?to=%253Fe%253Dkim%252Bnews%2540nimbus.example%2526a", "<kim+news@nimbus.example>", "mailto:kim+news%252540nimbus.example",
	}
	others := []string{"kim@nimbus.example", "a.kim+news@nimbus.example", "a%2Ekim+news@nimbus.example", "x%2Dkim%2Bnews%40nimbus.example", "kim+news@nimbus.example.org", "kim news@nimbus.example", "kim%20news%40nimbus.example", "kim+news&#640;nimbus.example"}
	for i, text := range append(hers, others...) {
		found := false
		for _, r := range resolve.Addresses([]byte(text)) {
			found = found || r.ID == address
		}
		require.Equal(t, i < len(hers), found, "what comes: %s", text)
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT $1 IN (SELECT addresses_in($2))", address, text).Scan(&found))
		require.Equal(t, i < len(hers), found, "what people write: %s", text)
		w.event(w.acme, "evt_s%d", i, fmt.Sprintf(`{"note":"%s"}`, text), "stripe:customer:cus_Acme")
	}
	w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: address}}})
	require.Equal(t, len(others), w.count("SELECT count(*) FROM account_events WHERE source_event_id LIKE 'evt_s%'"))
	require.Zero(t, w.count("SELECT count(*) FROM account_events WHERE source_event_id LIKE 'evt_s%' AND substr(source_event_id, 6)::int < $1", len(hers)))
	for _, text := range hers {
		_, err := w.store.Rename(t.Context(), w.acme, "Acme", "ada", "for "+text)
		require.NoError(t, err, "the name that it has is no change")
		_, err = w.store.Rename(t.Context(), w.acme, "Acme "+fmt.Sprint(len(text)), "ada", "for "+text)
		require.ErrorContains(t, err, "the reason holds an address that was erased on request", text)
	}
}

// What is in letters beyond ASCII, and in JSON within a string, is found in what is stored and in what comes.
func TestSpellingsOfStoredEvents(t *testing.T) {
	t.Parallel()
	for address, texts := range map[string][2][]string{
		"lea@köln.example": {
			{"lea@köln.example", "LEA@KÖLN.example", "lea@xn--kln-sna.example", "lea@ko\u0308ln.example", `{"e":"lea@k\u00f6ln.example"}`, `{"e":"\u003clea@K\u00D6LN.example\u003e"}`, "lea%40k%C3%B6ln.example", "lea@k&#246;ln.example", "lea@köln。example", "https://x.test/?q=%C2%A0lea%40k%C3%B6ln.example", `{"e":"lea@köln\uff0eexample"}`},
			{"lea@koln.example", "lea@kln.example", "lea@köln.example.org", "a.lea@köln.example", "lea@kölln.example"},
		},
		"o'hara@nimbus.example": {
			{"o'hara@nimbus.example", `{"e":"o\u0027hara@nimbus.example"}`, "o&#39;hara@nimbus.example", "o%27hara%40nimbus.example"},
			{"ohara@nimbus.example", "hara@nimbus.example", "o hara@nimbus.example"},
		},
		"zoë@nimbus.example": {
			{"zoë@nimbus.example", "ZOË@nimbus.example", `{"e":"zo\u00eb@nimbus.example"}`, "zo%C3%AB@nimbus.example"},
			{"zoe@nimbus.example", "zo@nimbus.example"},
		},
		"pia@nimbus.example": {
			{`{"e":"\u003cpia@nimbus.example\u003e"}`, `{"e":"\u00a0pia@nimbus.example"}`, `{"e":"{\"e\":\"\\u003cpia\\u0040nimbus.example\"}"}`},
			{`{"e":"\u0061pia@nimbus.example"}`, `{"e":"\u002dpia@nimbus.example"}`},
		},
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id, ok := source.Email(address)
			require.True(t, ok)
			hers, others := texts[0], texts[1]
			var letters []quarantine.Letter
			for i, text := range append(hers, others...) {
				note, err := json.Marshal(map[string]string{"note": text})
				require.NoError(t, err)
				w.event(w.acme, "evt_s%d", i, string(note), "stripe:customer:cus_Acme")
				letters = append(letters, letter(fmt.Sprintf("evt_r%d", i), "no JSON: "+text))
			}
			_, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), letters)
			require.NoError(t, err)
			w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: id}}})
			for table, name := range map[string]string{"account_events": "evt_s", "quarantine": "evt_r"} {
				rows, err := w.pool.Query(t.Context(), "SELECT substr(source_event_id, 6)::int FROM "+table+" WHERE source_event_id LIKE $1 ORDER BY 1", name+"%")
				require.NoError(t, err)
				left, err := pgx.CollectRows(rows, pgx.RowTo[int])
				require.NoError(t, err)
				for i, text := range append(hers, others...) {
					require.Equal(t, i >= len(hers), slices.Contains(left, i), "%s: %s", table, text)
				}
			}
			for i, text := range append(hers, others...) {
				put, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), []quarantine.Letter{letter(fmt.Sprintf("evt_again%d", i), "no JSON: "+text)})
				require.NoError(t, err)
				require.Equal(t, i < len(hers), put.Erased == 1, "what comes again: %s", text)
			}
		})
	}
}

// Where programs take an address for an id, or it stands beside the payload, it goes too.
func TestAnAddressThatIsAnID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.link(source.Reference{Source: "segment", Kind: "user", ID: kim}, w.acme)
	w.link(source.Reference{Source: "looker", Kind: "external_user", ID: "login:" + kim}, w.acme)
	w.link(source.Reference{Source: "stripe", Kind: "customer", ID: "cus_7", Tenant: kim}, w.acme)
	w.exec("INSERT INTO learned_references (source, kind, external_id) VALUES ('segment', 'user', $1)", "x:"+kim)
	w.exec("UPDATE payload_shapes SET event_id = 'invite:' || $1 WHERE path = '/a'", kim)
	w.exec("UPDATE shape_findings SET event_id = 'invite:' || $1 WHERE path = '/a'", kim)
	w.event(w.acme, "invite:%d:"+kim, 1, `{"id":"x"}`, "stripe:customer:cus_Acme")
	header := letter("evt_h", `{"id":"evt_h"}`)
	header.Headers = []event.Header{{Key: "x-forwarded-user", Value: []byte(kim)}}
	tenant := letter("evt_t", `{"id":"evt_t"}`)
	tenant.Tenant = kim
	_, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), []quarantine.Letter{header, tenant})
	require.NoError(t, err)
	target := Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}
	plan, _, err := w.eraser.Plan(t.Context(), target)
	require.NoError(t, err)
	done := w.erase(target)
	require.Equal(t, plan, done.Counts, "a dry run counts what a run does")
	w.exec("DELETE FROM account_changes") // which has identities for a week
	require.Empty(t, grep(t, w.pool, kim, base64.StdEncoding.EncodeToString([]byte(kim))))
	put, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), []quarantine.Letter{header, tenant, letter("invite:"+kim, `{"id":"x"}`)})
	require.NoError(t, err)
	require.Equal(t, 3, put.Erased)
}

// An id that was the key of a map is a part of paths.
func TestAnIDAsAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, path := range []string{"data.object.metadata.cus_Nimbus77", "m.cus_Nimbus77[].x", `a."cus_Nimbus77".b`, "m.cus_Nimbus777", "m.xcus_Nimbus77"} {
		w.exec(`INSERT INTO payload_shapes SELECT id, $1::text, 1,0,0,0,1,0,0,1,1,now(),now(),'1s',false,0,0,'text','' FROM payload_types`, path)
		w.exec(`INSERT INTO shape_findings (source, event_type, pulled, path, change, event_id, raw_topic, raw_offset) VALUES ('stripe', 'x', false, $1, 'new', '', '', -1)`, path)
		w.exec(`INSERT INTO drift_expectations (origin, reader, path) VALUES ('file', $1, $2)`, fmt.Sprint("r", i), path)
	}
	target := Target{References: []source.Reference{{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}}}
	plan, _, err := w.eraser.Plan(t.Context(), target)
	require.NoError(t, err)
	done := w.erase(target)
	require.Equal(t, plan, done.Counts)
	for _, table := range []string{"payload_shapes", "shape_findings", "drift_expectations"} {
		var left string
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT string_agg(path, ' ' ORDER BY path) FROM "+table+" WHERE path LIKE '%cus_Nimbus77%'").Scan(&left))
		require.Equal(t, "m.cus_Nimbus777 m.xcus_Nimbus77", left, table)
	}
}

// The reason of an erasure holds what is erased in no spelling.
func TestNoReasonHoldsWhatIsErased(t *testing.T) {
	t.Parallel()
	for _, text := range []string{kim, strings.ToUpper(kim), strings.Replace(kim, "@", "%40", 1), strings.Replace(kim, "@", "&commat;", 1)} {
		require.True(t, Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}.in("asked by "+text), text)
	}
}
