package webtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

// The accounts.
var (
	Acme    = story.Account                                          // the story's
	Hostile = uuid.MustParse("0badc0de-0000-4000-8000-000000000001") // whose texts are attacks
	Many    = uuid.MustParse("0badc0de-0000-4000-8000-000000000002") // has as many events as were asked for
	Others  = uuid.MustParse("0badc0de-0000-4000-8000-000000000005") // has what keeps sources fresh
	Quiet   = uuid.MustParse("0badc0de-0000-4000-8000-000000000003") // has none
)

// HostileTexts are what strangers write into names and subjects.
var HostileTexts = []string{
	`<script>document.title='owned'</script>`,
	`"><img src=x onerror="document.title='owned'">`,
	"invoice\u202egpj.exe\u202c paid",
	"\x1b[31mred\x1b[0m \x1b]0;title\x07",
	"שלום — فاتورة رقم ١٢٣",
	"zero\u200bwidth\u2060joined\u00adhyphen\x00nul",
	"line one\nline two\ttabbed",
	"Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
	"javascript:alert(1)",
	"{{constructor.constructor('document.title=1')()}}",
}

// Big is a number that a JSON reader of JavaScript changes.
const Big = "9007199254740993.10"

// Options say what a fake holds beside the story.
type Options struct {
	// Now is what it takes for the time; the zero value: the real one.
	Now time.Time
	// Many is how many events the account Many has.
	Many int
	// Export says who may export; "": backend.ExportViewer.
	Export backend.ExportPolicy
}

// New makes a backend that holds the story.
func New(o Options) (*Fake, error) {
	now := time.Now
	if !o.Now.IsZero() {
		now = func() time.Time { return o.Now }
	}
	f := &Fake{now: now, events: map[uuid.UUID][]api.Event{}, byID: map[int64]api.Event{}, tails: map[chan backend.TailEvent]backend.TailQuery{}, lastID: 1000, export: cmp.Or(o.Export, backend.ExportViewer)}
	f.views = []api.SavedView{{ID: 1, Name: "Malformed of Stripe", Path: "/quarantine?reason=malformed&source=stripe", Owner: "user:kim@throughline.example", CreatedAt: now(), UpdatedAt: now()},
		{ID: 2, Name: "Refunds of Acme", Path: "/accounts/" + Acme.String() + "?type=charge.refunded", Shared: true, Owner: "user:ada@throughline.example", CreatedAt: now(), UpdatedAt: now()}}
	at := now().UTC().Truncate(time.Second)
	told, err := story.Tell(at)
	if err != nil {
		return nil, err
	}
	account := func(id uuid.UUID, name, domain, owner string) {
		f.accounts = append(f.accounts, api.AccountSummary{Account: api.Account{ID: id, Name: name, Domain: domain, Owner: owner, CreatedBy: "import", CreatedAt: at.AddDate(0, -6, 0), UpdatedAt: at.AddDate(0, -6, 0)}})
	}
	account(Acme, "Acme Robotics", "acme-robotics.example", "kim@throughline.example")
	account(uuid.MustParse("0badc0de-0000-4000-8000-000000000004"), "Nimbus Lab", "nimbus-lab.example", "")
	account(Others, "Blue Finch Logistics", "bluefinch.example", "robin@throughline.example")
	account(Hostile, HostileTexts[0]+strings.Repeat("A very long name ", 600), "", HostileTexts[2])
	account(Many, "Ten to the Fifth GmbH", "hundred-thousand.example", "robin@throughline.example")
	account(Quiet, "Quiet & Sons", "quiet.example", "")
	if err := f.tellStory(told, at); err != nil {
		return nil, err
	}
	f.hostile(at)
	f.many(o.Many, at)
	f.state(at)
	f.told, f.audit = nil, nil
	f.somebodyDid(at)
	return f, nil
}

func (f *Fake) tellStory(told story.Story, at time.Time) error {
	reader := vendors.Sender{Sources: catalog.Set()}
	for _, m := range append(told.Late, told.Messages...) {
		events, err := reader.Identify(m.Delivery, at)
		if err != nil {
			return err
		}
		for _, e := range events {
			f.store(Acme, m.Source, e.Type, e.Subject, e.OccurredAt, string(one(m.Body)))
		}
	}
	for i, src := range []string{"hubspot", "zendesk", "intercom"} { // of others, so that these are not silent
		f.store(Others, src, "contact.updated", "", at.Add(-time.Duration(i+1)*17*time.Minute), `{"ok":true}`)
	}
	for range 6 { // noise, which a timeline folds
		f.store(Acme, "marketo", "email.opened", "", at.AddDate(0, 0, -20).Add(time.Duration(f.lastID)*time.Minute), `{"id":1,"activityTypeId":10,"primaryAttributeValue":"Spring launch"}`)
	}
	for i, m := range told.Unknown {
		events, err := reader.Identify(m.Delivery, at)
		if err != nil {
			return err
		}
		e := events[0]
		f.quarantine = append(f.quarantine, api.QuarantineDetail{
			QuarantineRecord: api.QuarantineRecord{ID: int64(i + 1), Reason: "unresolved_account", Error: "no link knows stripe:customer:cus_NimbusLab", Source: m.Source, EventType: e.Type, SourceEventID: e.ID,
				Topic: "raw.stripe", Partition: 1, Offset: int64(90 + i), RawIndex: -1, References: []api.Reference{{Source: "stripe", Kind: "customer", ID: "cus_NimbusLab"}}, Status: "open", Attempts: 1,
				FirstSeen: e.OccurredAt, LastSeen: e.OccurredAt, StatusBy: "quarantine", StatusAt: e.OccurredAt},
			Headers: []api.Header{{Key: "tl-source", Value: []byte("stripe")}}, Raw: m.Body, Payload: json.RawMessage(m.Body), Decisions: []api.StatusDecision{},
		})
	}
	return nil
}

// one gives the first event of a page, as the raw topic has it.
func one(body []byte) []byte {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) > 0 {
		return list[0]
	}
	return body
}

func (f *Fake) hostile(at time.Time) {
	for i, text := range HostileTexts {
		quoted, _ := json.Marshal(text)
		f.store(Hostile, "stripe", "invoice.paid", text, at.Add(-time.Duration(i)*time.Hour),
			fmt.Sprintf(`{"text":%s,%s:1,"big":%s,"deep":%s1%s,"twice":1,"twice":2}`, quoted, quoted, Big, strings.Repeat("[", 90), strings.Repeat("]", 90)))
	}
	f.store(Hostile, "named source with spaces", strings.Repeat("x", 200), strings.Repeat("word ", 2000), at.AddDate(0, 0, -2), `{"ok":true}`)
	f.store(Hostile, "zendesk", "ticket.created", "five megabytes", at.AddDate(0, 0, -3), `{"items":["`+strings.Repeat(`lorem ipsum","`, 5<<20/14)+`end"],"last":`+Big+`}`)
	f.quarantine = append(f.quarantine, api.QuarantineDetail{
		QuarantineRecord: api.QuarantineRecord{ID: 99, Reason: "malformed", Error: "reading JSON: " + HostileTexts[0] + HostileTexts[3], Source: "zendesk", Topic: "raw.zendesk", RawIndex: -1, References: []api.Reference{},
			Status: "open", Attempts: 2, FirstSeen: at.Add(-26 * time.Hour), LastSeen: at.Add(-25 * time.Hour), StatusBy: "quarantine", StatusAt: at.Add(-25 * time.Hour)},
		Headers: []api.Header{{Key: "x-evil", Value: []byte(HostileTexts[3])}}, Raw: []byte("not json \xff\xfe" + HostileTexts[0]), Decisions: []api.StatusDecision{},
	})
}

func (f *Fake) many(n int, at time.Time) {
	types := []struct{ source, event, subject string }{{"segment", "page.viewed", ""}, {"segment", "page.viewed", ""}, {"intercom", "conversation.replied", "How do I …?"}, {"stripe", "invoice.paid", ""}, {"zendesk", "ticket.solved", "Printer on fire"}}
	list := make([]api.Event, n)
	for i := range list {
		f.lastID++
		t := types[(i/9)%len(types)]
		when := at.Add(-time.Duration(n-i) * 5 * time.Minute)
		list[i] = api.Event{ID: f.lastID, AccountID: Many, Source: t.source, EventType: t.event, Subject: t.subject, OccurredAt: when, IngestedAt: when.Add(time.Second), SourceEventID: fmt.Sprint("many-", i), Payload: json.RawMessage(`{"n":1}`)}
		f.byID[f.lastID] = list[i]
	}
	f.events[Many] = list
}

func (f *Fake) state(at time.Time) {
	ctx := access.WithActor(context.Background(), access.Actor{Who: "cli:kim", Role: access.Admin, Via: "cli"})
	for _, ref := range []string{"stripe:customer:cus_Tz1Acme", "hubspot:contact:901", "hubspot:deal:267448862446", "marketo:lead:5414087", "zendesk:organization:8447346622462"} {
		f.links = append(f.links, api.Link{Reference: ref, AccountID: Acme, AccountName: "Acme Robotics", Learned: "import", CreatedBy: "cli:kim", CreatedAt: at.AddDate(0, 0, -90), DecisionID: f.decided(ctx, "link", ref, uuid.Nil, Acme, "imported")})
	}
	nimbus := f.accounts[1]
	f.suggestions = []api.Suggestion{
		{ID: 1, Reference: "stripe:customer:cus_NimbusLab", AccountID: nimbus.ID, Account: nimbus.Name, Rule: 7, Level: "medium", Why: "The customer's e-mail address at Stripe has the domain nimbus-lab.example, which is the account's.",
			Evidence: json.RawMessage(`{"rule":7,"leads":["stripe:customer:cus_NimbusLab (email)"],"domain":"nimbus-lab.example","score":0.92}`), Status: "open", CreatedAt: at.Add(-50 * time.Hour), UpdatedAt: at.Add(-50 * time.Hour)},
	}
	for i := range 12 {
		f.quarantine = append(f.quarantine, api.QuarantineDetail{QuarantineRecord: api.QuarantineRecord{ID: int64(200 + i), Reason: "unresolved_account", Error: "no link knows hubspot:company:77", Source: "hubspot", EventType: "company.updated",
			SourceEventID: fmt.Sprint("hs-", i), Topic: "raw.hubspot", Offset: int64(i), RawIndex: -1, References: []api.Reference{{Source: "hubspot", Kind: "company", ID: "77"}}, Status: "open", Attempts: 1,
			FirstSeen: at.Add(-time.Duration(i) * time.Hour), LastSeen: at.Add(-time.Duration(i) * time.Hour), StatusBy: "quarantine", StatusAt: at}, Raw: []byte(`{"objectId":77}`), Payload: json.RawMessage(`{"objectId":77}`), Headers: []api.Header{}, Decisions: []api.StatusDecision{}})
	}
	f.pulls = []api.Pull{
		{ID: 1, Checkpoint: 1, Source: "zendesk", Stream: "tickets", Mode: "backfill", From: at.AddDate(0, -6, 0), To: at, Through: at.AddDate(0, -2, 0), Status: "failed", Pages: 311, Events: 30_412, Rate: 88, Error: "Zendesk answered 403: the token may not read tickets. Make a token with the scope tickets:read.", StartedBy: "user:kim@throughline.example", StartedAt: at.Add(-5 * time.Hour), UpdatedAt: at.Add(-4 * time.Hour), FinishedAt: at.Add(-4 * time.Hour)},
		{ID: 2, Checkpoint: 2, Source: "hubspot", Stream: "contacts", Mode: "backfill", From: at.AddDate(0, -3, 0), To: at.AddDate(0, 0, -1), Through: at.AddDate(0, 0, -1), Finished: true, Status: "done", Pages: 1200, Events: 118_004, Unread: 2, Rate: 410, StartedBy: "user:kim@throughline.example", StartedAt: at.Add(-26 * time.Hour), UpdatedAt: at.Add(-24 * time.Hour), FinishedAt: at.Add(-24 * time.Hour)},
		{ID: 3, Checkpoint: 3, Source: "stripe", Stream: "events", Mode: "backfill", From: at.AddDate(0, 0, -30), To: at, Through: at.AddDate(0, 0, -11), Status: "running", Pages: 940, Events: 93_811, Rate: 260, Oldest: at.AddDate(0, 0, -30), Newest: at.AddDate(0, 0, -11), StartedBy: "user:robin@throughline.example", Request: 1, StartedAt: at.Add(-6 * time.Minute), UpdatedAt: at.Add(-2 * time.Second)},
	}
	f.requests = []api.PullRequest{{ID: 1, Source: "stripe", Since: at.AddDate(0, 0, -30), Until: at, State: "claimed", Pages: 940, Events: 93_811, AskedBy: "user:robin@throughline.example", AskedAt: at.Add(-7 * time.Minute), ClaimedAt: at.Add(-6 * time.Minute)}}
	f.moves = []api.Move{{ID: 1, DecisionID: 2, Verb: "merge", FromAccount: Quiet, ToAccount: Acme, Events: 1200, Moved: 840, Author: "user:kim@throughline.example", CreatedAt: at.Add(-3 * time.Minute)}}
	f.alertStory()
	f.drift = []api.Finding{
		{ID: 1, Source: "stripe", EventType: "invoice.paid", Path: "data.object.customer_email", Change: "silent", Was: "there at least every 2 hours", Is: "not seen for 3 days", Readers: []api.Reader{{Kind: "view", Name: "finance.invoices_by_contact", Path: "data.object.customer_email"}, {Kind: "file", Name: "Metabase: Dunning by owner", Path: "data.object.customer_email"}}, State: "open", StateBy: "drift", SourceEventID: "evt_1Qx8", Times: 1, FoundAt: at.AddDate(0, 0, -3), LastAt: at.Add(-time.Hour)},
		{ID: 2, Source: "hubspot", EventType: "deal.stage.changed", Path: "propertyValue", Change: "type_changed", Was: "string", Is: "number", Readers: []api.Reader{}, State: "open", StateBy: "drift", Times: 311, Pulled: true, FoundAt: at.AddDate(0, 0, -1), LastAt: at.Add(-2 * time.Hour)},
		{ID: 3, Source: "zendesk", EventType: "ticket.created", Path: "detail.via." + HostileTexts[0], Change: "new", Is: "string " + HostileTexts[2], Readers: []api.Reader{}, State: "acknowledged", StateBy: "user:kim@throughline.example", Times: 1, FoundAt: at.AddDate(0, 0, -9), LastAt: at.Add(-time.Hour)},
	}
	f.domains = []api.SuspectDomain{
		{Domain: "webagentur-muenchen.example", Accounts: 14, Examples: []string{"Acme Anvils", HostileTexts[0], "Nimbus Labs"}, FoundAt: at.AddDate(0, 0, -3)},
		{Domain: "one-company.example", Accounts: 5, Examples: []string{"One North", "One South"}, FoundAt: at.AddDate(0, 0, -30), Decision: "private", DecidedBy: "user:kim@throughline.example", Reason: "five subsidiaries of one group"},
		{Domain: "mailbox.example", Examples: []string{}, FoundAt: at.AddDate(0, 0, -50), Decision: "public", DecidedBy: "cli:kim"},
	}
	f.tokens = []api.Token{
		{ID: 1, Name: "Metabase", Role: "viewer", CreatedBy: "user:kim@throughline.example", CreatedAt: at.AddDate(0, -2, 0), ExpiresAt: at.AddDate(0, 4, 0), LastUsedAt: at.Add(-time.Hour).Truncate(time.Hour)},
		{ID: 2, Name: "old import", Role: "operator", CreatedBy: "cli:kim", CreatedAt: at.AddDate(0, -5, 0), RevokedAt: at.AddDate(0, -1, 0)},
	}
}

func (f *Fake) somebodyDid(at time.Time) {
	add := func(ago time.Duration, who, role, action, target, result, why string, dry bool) {
		f.audit = append(f.audit, api.AuditEntry{ID: int64(len(f.audit) + 1), At: at.Add(-ago), Who: who, Role: role, Action: action, Target: target, Result: result, Why: why, Via: "console", DryRun: dry})
	}
	add(49*time.Hour, "user:kim@throughline.example", "operator", "linkReference", "stripe:customer:cus_Tz1Acme", "done", "they wrote from that address", false)
	add(20*time.Hour, "user:sam@throughline.example", "viewer", "discardQuarantine", "malformed", "refused", "this is for the role operator, and user:sam@throughline.example has the role viewer: ask an admin", false)
	add(4*time.Hour, "user:kim@throughline.example", "operator", "mergeAccount", Quiet.String(), "done", "the same company", true)
	add(3*time.Minute, "user:kim@throughline.example", "operator", "mergeAccount", Quiet.String(), "done", "the same company", false)
}

// Sources says how each source is doing.
func (f *Fake) Sources(ctx context.Context) ([]api.SourceState, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	out := []api.SourceState{}
	for i, name := range catalog.Set().Names() {
		s := api.SourceState{Source: name, Spark: make([]int64, 24), NormalSeconds: 9000 * int64(i+1)}
		for h := range s.Spark {
			s.Spark[h] = int64((h*h*(i+3) + 7*h) % (40 + 10*i))
		}
		for _, list := range f.events {
			for _, e := range list {
				if e.Source == name && (s.LastEvent == nil || e.OccurredAt.After(s.LastEvent.OccurredAt)) {
					last := line(e)
					s.LastEvent = &last
				}
			}
		}
		for _, q := range f.quarantine {
			if q.Source == name && q.Status == "open" {
				s.OpenQuarantine++
			}
		}
		if name == "stripe" {
			s.Gap, s.Rejected = f.gap(), map[string]int64{"signature": 4, "oversized": 1}
			s.Learning = &api.Learning{Source: name, Calls: 812, Answers: 790}
		}
		if s.LastEvent != nil {
			s.Stale = f.now().Sub(s.LastEvent.OccurredAt) > time.Duration(s.NormalSeconds)*time.Second
		} else {
			s.Spark, s.NormalSeconds = make([]int64, 24), 0
		}
		out = append(out, s)
	}
	return out, nil
}
