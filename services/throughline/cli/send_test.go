package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

const secret = "whsec_of_the_test"

// receiver answers as a source's receiver does, and keeps what was posted.
type receiver struct {
	*httptest.Server
	sources source.Set
	secret  string
	public  string // what the source is told the address is; "" is the one called

	mu        sync.Mutex
	delivered []source.Delivery
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{sources: catalog.Set(), secret: secret}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	src, ok := r.sources.Find(strings.TrimPrefix(req.URL.Path, "/webhooks/"))
	if !ok {
		http.NotFound(w, req)
		return
	}
	body, _ := io.ReadAll(req.Body)
	d := source.Delivery{Method: req.Method, URL: r.public, Header: req.Header, Body: body, ReceivedAt: time.Now()}
	if d.URL == "" {
		d.URL = "http://" + req.Host + req.URL.Path
	}
	r.mu.Lock()
	r.delivered = append(r.delivered, d)
	r.mu.Unlock()
	hook := src.(source.Webhook)
	verifier, err := hook.Open([]string{r.secret})
	if err == nil {
		_, err = verifier.Verify(&d, time.Now())
	}
	answer := hook.Reply(&d, err)
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body)
}

// A body of one's own is sent byte for byte.
func TestSendFile(t *testing.T) {
	t.Parallel()
	for _, src := range catalog.Set().Sources() {
		t.Run(src.Name(), func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t)
			env := "THROUGHLINE_" + strings.ToUpper(src.Name()) + "_SECRETS"
			body := `{"id": "evt_1",  "odd":"spacing" }` + "\n"
			sh := &shell{t: t, env: map[string]string{env: secret + ",old"}, input: body}
			out := sh.must("send", src.Name(), "--file", "-", "--url", rec.URL)
			require.Contains(t, out, "200 OK  ")
			require.Equal(t, body, string(rec.delivered[0].Body), "byte for byte")
			require.Contains(t, rec.delivered[0].Header.Get("Content-Type"), "application/json")

			tampered := sh.run("send", src.Name(), "-", "--url", rec.URL+"/webhooks/"+src.Name(), "--tamper")
			require.Zero(t, tampered.code, "refused, as it should be: %s", tampered.err)
			require.Contains(t, tampered.out, "401 Unauthorized")
			require.NotEqual(t, body, string(rec.delivered[1].Body), "the body is changed, not only the token")

			wrong := sh.run("send", src.Name(), "-", "--url", rec.URL, "--secret", "another")
			require.Equal(t, 1, wrong.code)
			require.Contains(t, wrong.out, "401 Unauthorized")
			require.Contains(t, wrong.err, "1 of 1 deliveries were refused")
			for _, text := range []string{out, tampered.out, tampered.err, wrong.out, wrong.err} {
				require.NotContains(t, text, secret)
			}
		})
	}
}

// Every source's usual event is made, signed, and about a customer that the
// command says how to link.
func TestSendUsual(t *testing.T) {
	t.Parallel()
	for _, src := range catalog.Set().Sources() {
		t.Run(src.Name(), func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t)
			sh := &shell{t: t, env: map[string]string{"THROUGHLINE_" + strings.ToUpper(src.Name()) + "_SECRETS": secret}}
			r := sh.run("send", src.Name(), "--url", rec.URL)
			require.Zero(t, r.code, r.err)
			require.Contains(t, r.out, "200 OK  ")
			require.Contains(t, r.err, "is not linked, so its events wait in quarantine: `throughline link "+src.Name())
			tampered := sh.run("send", src.Name(), "--url", rec.URL, "--tamper")
			require.Zero(t, tampered.code, tampered.err)
			require.NotContains(t, tampered.err, "quarantine", "what is refused waits nowhere")
		})
	}
}

var advisedLink = regexp.MustCompile("`throughline (link [^`]+)`")

// The link that is advised is one that is taken, of every source and whether its events name a tenant or not.
func TestAdvisedLinksAreTaken(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme)
	pool := sh.pool()
	take := func(text string) {
		t.Helper()
		m := advisedLink.FindStringSubmatch(text)
		require.NotNil(t, m, text)
		sh.must(append(words(strings.ReplaceAll(m[1], "ACCOUNT", acme)), "--dry-run")...)
	}
	for _, src := range catalog.Set().Sources() {
		take(sh.run("send", src.Name(), "--url", rec.URL, "--secret", secret).err)
		kinds := src.Profile().Kinds
		kinds = slices.DeleteFunc(slices.Clone(kinds), func(k source.Kind) bool { return k.Form != nil })
		for _, kind := range kinds[:min(2, len(kinds))] {
			sh.quarantine(1, "unresolved_account", src.Name(), src.Name()+":"+kind.Name+":"+kind.Prefix+"77")
			var id int64
			require.NoError(t, pool.QueryRow(t.Context(), "SELECT max(id) FROM quarantine").Scan(&id))
			take(sh.run("quarantine", "show", strconv.FormatInt(id, 10)).err)
		}
	}
	// The first reference that can have a link.
	_, err := pool.Exec(t.Context(), `UPDATE quarantine SET "references" = '[{"source":"domain","kind":"domain","id":"gmail.com"},{"source":"segment","kind":"user","id":"it''s me"}]'`)
	require.NoError(t, err)
	shown := sh.run("quarantine", "show", "1").err
	require.Contains(t, shown, `throughline link 'segment:user:it'\''s me' ACCOUNT --every-tenant`)
}

// An event that cannot be followed has not arrived.
func TestSendOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.input = `{"no": "event"}`
	r := sh.run("send", "stripe", "--file", "-", "--url", newReceiver(t).URL, "--secret", secret, "--wait")
	require.Equal(t, 1, r.code, r.err)
	require.Contains(t, r.err, "cannot be followed")
	require.Contains(t, r.out, "200 OK")
	r = sh.run("send", "stripe", "--url", newReceiver(t).URL, "--secret", secret, "--wait", "--tamper")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "nothing arrives")
}

func TestSendMany(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": secret}}
	out := sh.must("send", "stripe", "any", "--count", "60", "--rate", "1000", "--duplicate", "10%", "--late", "5", "--reorder", "--seed", "7",
		"--url", rec.URL, "--json")
	require.Len(t, rec.delivered, 66)
	var view struct {
		Source                               string
		Seed                                 uint64
		Events, Deliveries, Duplicates, Late int
		Reference                            string
		Linked                               bool
		Answers                              []struct{ Status, Count int }
		Millis                               map[string]float64
		Landed                               any
	}
	require.NoError(t, json.Unmarshal([]byte(out), &view))
	require.Equal(t, "stripe", view.Source)
	require.EqualValues(t, 7, view.Seed)
	require.Equal(t, []int{60, 66, 6, 3}, []int{view.Events, view.Deliveries, view.Duplicates, view.Late})
	require.Contains(t, view.Reference, "stripe:customer:cus_")
	require.False(t, view.Linked)
	require.Equal(t, 200, view.Answers[0].Status)
	require.Equal(t, 66, view.Answers[0].Count)
	require.Positive(t, view.Millis["p99"])
	require.Nil(t, view.Landed)

	table := sh.must("send", "hubspot", "contact.created", "--count", "20", "--batch", "10", "--url", rec.URL, "--secret", secret)
	require.Len(t, rec.delivered, 68)
	for _, want := range []string{"sent         20 events in 2 deliveries: 0 duplicates, 0 late", "200 OK       2 × ", "answered in  p50 ", "seed         "} {
		require.Contains(t, table, want)
	}
	one := sh.must("send", "zendesk", "ticket.created", "--subject", "charged twice", "--zendesk-tenant", "77", "--secret", secret, "--url", rec.URL)
	require.Contains(t, one, "200 OK")
	require.Contains(t, string(rec.delivered[68].Body), `"subject":"charged twice"`)
	require.Contains(t, string(rec.delivered[68].Body), `"account_id":77,`)
	require.Contains(t, sh.run("send", "stripe", "payout.paid", "--url", rec.URL).err, "payout.paid has no reference to a customer: its events wait in quarantine")
}

func TestSendWrong(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": secret}}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"stripe", "invoice.payed"}, `stripe has no type "invoice.payed": its types are balance.available, `},
		{[]string{"strype"}, "the sources are stripe, hubspot, "},
		{[]string{"stripe", "--duplicate", "120%"}, `--duplicate: should be 0% to 100%, but is "120%"`},
		{[]string{"stripe", "--late", "many"}, `--late: should be 0% to 100%, but is "many"`},
		{[]string{"stripe", "--count", "0"}, "--count should be 1 or more, but is 0"},
		{[]string{"stripe", "--count", "2", "--batch", "2"}, "stripe sends invoice.paid one at a time"},
		{[]string{"stripe", "--file", "x.json", "--account", "acme.example"}, "--file sends a body as it is"},
		{[]string{"zendesk", "--zendesk-tenant", "acme", "--secret", secret}, `a tenant of zendesk is a number, not "acme"`},
	} {
		r := sh.run(append([]string{"send"}, c.args...)...)
		require.NotZero(t, r.code)
		require.Contains(t, r.err, c.says)
	}
}

// arrive stands for the services behind a receiver: what it answered is on a
// timeline, or in quarantine.
func arrive(t *testing.T, sh *shell, rec *receiver, name, account string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), sh.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(t, err)
	defer pool.Close()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, d := range rec.delivered {
		events, err := (&vendors.Sender{Sources: catalog.Set()}).Identify(vendors.Delivery{Source: name, Body: d.Body}, time.Now())
		require.NoError(t, err)
		for _, e := range events {
			if account == "" {
				_, err = pool.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, source_event_id, topic, partition, "offset", raw, status_by)
					VALUES ($1, 'unresolved_account', $2, $3, 'raw.stripe', 0, 0, '', 'test')`, name+e.ID, name, e.ID)
			} else {
				_, err = pool.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
					VALUES ($1, $2, $3, $4, '{}', $5, now()) ON CONFLICT DO NOTHING`, account, e.Type, name, e.ID, e.OccurredAt)
			}
			require.NoError(t, err)
		}
	}
}

func TestSendToAnAccount(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	account := strings.TrimSpace(sh.must("accounts", "add", "Acme", "--domain", "acme.example"))
	rec := newReceiver(t)
	sh.env["THROUGHLINE_STRIPE_SECRETS"], sh.env["THROUGHLINE_HUBSPOT_SECRETS"] = secret, secret

	unlinked := sh.run("send", "hubspot", "deal.created", "--account", "Acme", "--url", rec.URL)
	require.Zero(t, unlinked.code, unlinked.err)
	require.Contains(t, unlinked.err, "Acme has no linked id that such an event carries")
	require.Regexp(t, "`throughline link hubspot/62515:deal:[0-9]+ "+account+"` releases them", unlinked.err)

	byDomain := sh.must("send", "stripe", "invoice.paid", "--account", "acme.example", "--url", rec.URL, "--json")
	require.Contains(t, byDomain, `"reference":"stripe:email:kim@acme.example"`)
	require.Contains(t, byDomain, `"linked":true`)

	sh.must("link", "hubspot/77:deal:31", account)
	linked := sh.run("send", "hubspot", "deal.created", "--account", "Acme", "--url", rec.URL)
	require.Zero(t, linked.code, linked.err)
	require.NotContains(t, linked.err, "link")
	require.Contains(t, string(rec.delivered[2].Body), `"portalId":77,`)
	require.Contains(t, string(rec.delivered[2].Body), `"objectId":31,`)

	require.Contains(t, sh.run("send", "stripe", "--account", "nobody", "--url", rec.URL).err, "throughline accounts list")
}

func TestSendWait(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	account := strings.TrimSpace(sh.must("accounts", "add", "Acme"))
	sh.must("link", "stripe:cus_1", account)
	sh.env["THROUGHLINE_STRIPE_SECRETS"] = secret
	for _, c := range []struct{ account, says string }{
		{account, "landed       3 events on the timeline of Acme (" + account + ")\n"},
		{"", "landed       3 in quarantine, 3 unresolved_account\n"},
	} {
		rec := newReceiver(t)
		arrived := make(chan result, 1)
		go func() {
			arrived <- sh.run("send", "stripe", "--account", "Acme", "--count", "3", "--url", rec.URL, "--wait")
		}()
		require.Eventually(t, func() bool { rec.mu.Lock(); defer rec.mu.Unlock(); return len(rec.delivered) == 3 }, 20*time.Second, time.Millisecond)
		arrive(t, sh, rec, "stripe", c.account)
		r := <-arrived
		require.Zero(t, r.code, r.err)
		require.Contains(t, r.out, c.says)
	}
	lost := sh.run("send", "stripe", "--account", "Acme", "--url", newReceiver(t).URL, "--wait", "--timeout", "200ms")
	require.Equal(t, 1, lost.code)
	require.Contains(t, lost.out, "landed  1 not arrived")
	require.Contains(t, lost.err, "1 event not arrived after 200ms")
}

func TestSendPublicURL(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	rec.public = "https://hooks.example.com/webhooks/hubspot"
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_HUBSPOT_SECRETS": secret}, input: "[]"}
	require.Equal(t, 1, sh.run("send", "hubspot", "-", "--url", rec.URL).code)
	sh.must("send", "hubspot", "-", "--url", rec.URL, "--public-url", "https://hooks.example.com")
	// Whatever the receiver makes of its setting, send makes of the same one.
	for _, setting := range []string{rec.public, "https://hooks.example.com/", "https://hooks.example.com/in/hubspot", "https://hooks.example.com/webhooks/hubspot/"} {
		called, err := settings.CalledURL(setting, "hubspot")
		require.NoError(t, err)
		rec.public = called
		sh.env["THROUGHLINE_HUBSPOT_PUBLIC_URL"] = setting
		sh.must("send", "hubspot", "-", "--url", rec.URL)
	}
}

func TestSendRepeat(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": secret}, input: "{}"}
	out := sh.must("send", "stripe", "-", "--url", rec.URL, "--repeat", "3", "--header", "X-One: 1", "-H", "User-Agent: a, b")
	require.Contains(t, out, `3 × {"ok":true}`)
	require.Len(t, rec.delivered, 3)
	require.Equal(t, "1", rec.delivered[2].Header.Get("X-One"))
	require.Equal(t, "a, b", rec.delivered[2].Header.Get("User-Agent"))
}

func TestSendSecrets(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	body := filepath.Join(t.TempDir(), "body.json")
	require.NoError(t, os.WriteFile(body, []byte("{}"), 0o600))
	secrets := filepath.Join(t.TempDir(), "secrets.json")
	send := []string{"send", "stripe", body, "--url", rec.URL, "--secrets-file", secrets}

	t.Run("none", func(t *testing.T) {
		r := (&shell{t: t}).run(send...)
		require.Equal(t, 2, r.code)
		require.Contains(t, r.err, "no secret to sign with: set THROUGHLINE_STRIPE_SECRETS, or start `make run` here")
	})
	t.Run("local file", func(t *testing.T) {
		require.NoError(t, os.WriteFile(secrets, []byte(`{"stripe":"`+secret+`"}`), 0o600))
		(&shell{t: t}).must(send...)
	})
	t.Run("the variable wins", func(t *testing.T) {
		sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": "other"}}
		require.Equal(t, 1, sh.run(send...).code)
	})
	t.Run("a file wins too", func(t *testing.T) {
		mounted := filepath.Join(t.TempDir(), "stripe")
		require.NoError(t, os.WriteFile(mounted, []byte(secret+"\nolder\n"), 0o600))
		require.NoError(t, os.WriteFile(secrets, []byte(`{"stripe":"other"}`), 0o600))
		(&shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS_FILE": mounted}}).must(send...)
	})
	t.Run("an empty variable is a mistake", func(t *testing.T) {
		sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": " ,x"}}
		require.Equal(t, 2, sh.run(send...).code)
	})
	t.Run("spoiled file", func(t *testing.T) {
		require.NoError(t, os.WriteFile(secrets, []byte(`{"stripe":"`+secret), 0o600))
		r := (&shell{t: t}).run(send...)
		require.Equal(t, 1, r.code)
		require.NotContains(t, r.err, secret)
	})
}

func TestSendToNobody(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": secret}, input: "{}"}
	r := sh.run("send", "stripe", "-", "--url", "http://127.0.0.1:1")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "does a receiver listen there?")
	require.Equal(t, 1, sh.run("send", "stripe", "no-such-file.json").code)
}

// An event of a person who was erased arrives nowhere, and that is said.
func TestSendWaitOfWhoWasErased(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme", "--id", acme)
	sh.must("link", "stripe:cus_1", acme)
	sh.env["THROUGHLINE_STRIPE_SECRETS"] = secret
	eraser := erase.New(sh.pool(), catalog.Set())
	_, err := eraser.Begin(t.Context(), erase.Target{References: []source.Reference{{Source: "stripe", Kind: "customer", ID: "cus_1"}}}, "kim", "")
	require.NoError(t, err)
	r := sh.run("send", "stripe", "--account", "Acme", "--url", newReceiver(t).URL, "--wait", "--timeout", "20s")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "1 passed over: what it refers to was erased on request (`throughline erasures list`)")
	require.NotContains(t, r.out+r.err, "not arrived")
}

// So is one that names them in a text only, which the sink passes over.
func TestSendWaitOfATextThatNamesWhoWasErased(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme", "--id", acme)
	sh.must("link", "stripe:cus_1", acme)
	sh.env["THROUGHLINE_STRIPE_SECRETS"] = secret
	_, err := erase.New(sh.pool(), catalog.Set()).Begin(t.Context(), erase.Target{References: []source.Reference{{Source: "email", Kind: "email", ID: "kim@far.example"}}}, "ada", "")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "event.json")
	body := func(text string) {
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `{"id":"evt_text","object":"event","created":1761955200,"livemode":true,"type":"invoice.paid","data":{"object":{"object":"invoice","id":"in_1","customer":"cus_1","description":%q}}}`, text), 0o600))
	}
	body("asked by https://x.example/?e=kim%2540far.example")
	r := sh.run("send", "stripe", "--file", file, "--url", newReceiver(t).URL, "--wait", "--timeout", "20s")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "1 passed over: what it refers to was erased on request (`throughline erasures list`)")
	body("asked by bob@far.example")
	require.Contains(t, sh.run("send", "stripe", "--file", file, "--url", newReceiver(t).URL, "--wait", "--timeout", "200ms").err, "1 event not arrived")
}
