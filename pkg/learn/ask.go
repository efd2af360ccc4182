package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// sideBySide bounds the requests of one source at a time; egress bounds their rate.
	sideBySide = 8
	// callTimeout bounds one request, whatever the Doer does.
	callTimeout = 2 * time.Minute
	// flushEvery and flushAt are when answers are kept, though more are to come.
	flushEvery = 5 * time.Second
	flushAt    = 1000
	// nobodyFor and goneFor are how long an answer is believed that leads nowhere.
	nobodyFor = 24 * time.Hour
	goneFor   = 7 * 24 * time.Hour
	// refusedFor is how long a source is left alone that refuses the key.
	refusedFor = 5 * time.Minute
	// maxLeads and maxEvidence bound one answer.
	maxLeads    = 32
	maxEvidence = 4 << 10
	maxName     = 200
)

// asker asks one vendor.
type asker struct {
	API
	most map[string]int // by kind

	mu     sync.Mutex
	barred map[string]time.Time // kinds that the key may not read, until when

	tenantsSeen []string
	tenantsRead time.Time

	pauses interface {
		NextBackOff() time.Duration
		Reset()
	}
}

func newAsker(api API) *asker {
	a := &asker{API: api, most: map[string]int{}, barred: map[string]time.Time{}, pauses: retry.Policy{First: time.Second, Most: 5 * time.Minute}.BackOff()}
	for _, l := range api.Learner.Learns() {
		a.most[l.Kind] = max(1, l.Most)
	}
	return a
}

// asks reports whether the vendor can be asked about a reference.
func (l *Learner) asks(ref source.Reference) bool {
	a, ok := l.apis[ref.Source]
	return ok && a.most[ref.Kind] > 0
}

// askForever asks one vendor until ctx ends. Its trouble is its own.
func (l *Learner) askForever(ctx context.Context, a *asker) error {
	told := l.o.Told("learner-" + a.Learner.Name())
	doing := "asking " + a.Learner.Profile().Title + " whose objects are"
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		n, err := l.Ask(ctx, a.Learner.Name())
		pause := l.o.Every
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			pause = a.pause(err)
			told.Failed(doing, err, pause)
			// What fails besides is the database, which the next try meets too.
			_ = l.store.failed(ctx, a.Learner.Name(), err, pause)
		case n > 0:
			pause = 0
			fallthrough
		default:
			a.pauses.Reset()
			told.Succeeded(doing)
		}
		timer.Reset(pause)
	}
}

// pause is how long the source is left alone after an error.
func (a *asker) pause(err error) time.Duration {
	pause := max(a.pauses.NextBackOff(), source.After(err))
	if fault.IsPermanent(err) {
		pause = max(pause, refusedFor)
	}
	return pause
}

// Ask asks one source about a batch of references that are due, and gives how many were
// answered. An error is the vendor's or the database's; what was answered before it is
// kept, and the rest is due again.
func (l *Learner) Ask(ctx context.Context, name string) (int, error) {
	a, ok := l.apis[name]
	if !ok {
		return 0, fault.Permanent(fault.Unsupported, fmt.Errorf("asking %s: %w", name, errUnknownSource))
	}
	kinds := []string{}
	for _, learnable := range a.Learner.Learns() {
		if !a.isBarred(learnable.Kind) {
			kinds = append(kinds, learnable.Kind)
		}
	}
	due, err := l.store.take(ctx, StateAsking, name, kinds, l.o.Batch)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	if due, err = l.store.aside(ctx, due); err != nil {
		return 0, errors.Join(err, l.giveBack(ctx, due))
	}
	total := 0
	byKind := map[string][]taken{}
	for _, t := range due {
		byKind[t.ref.Kind] = append(byKind[t.ref.Kind], t)
	}
	var failed error
	for _, kind := range kinds {
		of := byKind[kind]
		if failed != nil {
			failed = errors.Join(failed, l.giveBack(ctx, of))
			continue
		}
		var n int
		n, failed = l.askKind(ctx, a, kind, of)
		total += n
	}
	return total, failed
}

func (a *asker) isBarred(kind string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.barred[kind])
}

// askKind asks about references of one kind.
func (l *Learner) askKind(ctx context.Context, a *asker, kind string, due []taken) (int, error) {
	if len(due) == 0 {
		return 0, nil
	}
	due, foreign, err := l.ofTenant(ctx, a, due)
	if err != nil {
		return 0, errors.Join(err, l.giveBack(ctx, due))
	}
	b := &asking{l: l, a: a, kind: kind, open: map[int64]taken{}, flushed: time.Now()}
	for _, t := range due {
		b.open[t.id] = t
	}
	if len(foreign) > 0 {
		if err := l.store.keep(ctx, "", foreign, nil, nil, nil); err != nil {
			return 0, err
		}
	}
	group, calling := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for chunk := range slices.Chunk(due, a.most[kind]) {
		if calling.Err() != nil {
			break
		}
		group.Go(func() error { return b.ask(calling, chunk) })
	}
	err = group.Wait()
	if ctx.Err() != nil {
		return b.answered, fmt.Errorf("asking %s: %w", a.Learner.Name(), context.Cause(ctx))
	}
	b.mu.Lock()
	kept := b.flush(ctx)
	b.mu.Unlock()
	if fault.ReasonOf(err) == fault.Forbidden && fault.IsPermanent(err) {
		// The key, or the vendor's plan, may do without one kind: the others go on.
		a.mu.Lock()
		a.barred[kind] = time.Now().Add(refusedFor)
		a.mu.Unlock()
	}
	var rest []taken
	for _, t := range b.open {
		rest = append(rest, t)
	}
	if err != nil || len(rest) > 0 {
		kept = errors.Join(kept, l.giveBack(ctx, rest))
	}
	return b.answered, errors.Join(err, kept)
}

// giveBack makes what was not answered due again, soon: whoever failed waits by itself.
func (l *Learner) giveBack(ctx context.Context, rest []taken) error {
	changes := make([]change, len(rest))
	for i, t := range rest {
		changes[i] = change{id: t.id, state: StateAsking, after: 10 * time.Second}
	}
	return l.store.keep(ctx, "", changes, nil, nil, nil)
}

// ofTenant leaves out what is another tenant's than the key's, which that vendor account
// would call gone.
func (l *Learner) ofTenant(ctx context.Context, a *asker, due []taken) (ours []taken, foreign []change, err error) {
	tenant := a.Tenant
	if tenant == "" {
		tenants, err := a.tenants(ctx, l.store, due)
		if err != nil {
			return due, nil, err
		}
		if len(tenants) > 1 {
			return due, nil, fault.Permanent(fault.Conflict, fmt.Errorf("%s has events of several tenants (%s), and nothing says whose the key is: set the source's TENANT to it",
				a.Learner.Profile().Title, strings.Join(tenants, ", ")))
		}
		return due, nil, nil
	}
	for _, t := range due {
		if t.ref.Tenant == "" || t.ref.Tenant == tenant {
			ours = append(ours, t)
			continue
		}
		foreign = append(foreign, change{id: t.id, state: StateNobody, after: nobodyFor, why: "it is of another tenant than the API's key"})
	}
	return ours, foreign, nil
}

// tenantsFor is how long the tenants of a source's references are believed: to read
// them is to read them all.
const tenantsFor = time.Minute

// tenants gives the tenants of the source's references: those that were there lately,
// and those of what is asked about now.
func (a *asker) tenants(ctx context.Context, s store, due []taken) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.tenantsRead) > tenantsFor {
		list, err := s.tenants(ctx, a.Learner.Name())
		if err != nil {
			return nil, err
		}
		a.tenantsSeen, a.tenantsRead = list, time.Now()
	}
	for _, t := range due {
		if t.ref.Tenant != "" && !slices.Contains(a.tenantsSeen, t.ref.Tenant) {
			a.tenantsSeen = append(a.tenantsSeen, t.ref.Tenant)
		}
	}
	return a.tenantsSeen, nil
}

// asking is a batch on its way. Its calls run side by side.
type asking struct {
	l    *Learner
	a    *asker
	kind string

	mu       sync.Mutex
	open     map[int64]taken // without an answer that is kept
	done     []change
	leads    []lead
	next     []taken
	wake     []source.Reference
	answered int
	calls    int
	lies     int
	flushed  time.Time
}

// ask makes one request. Where the vendor refuses the question as such, it asks about
// each half, and gives up on the one that is refused alone.
func (b *asking) ask(ctx context.Context, chunk []taken) error {
	byID := make(map[string]taken, len(chunk))
	ids := make([]string, len(chunk))
	for i, t := range chunk {
		ids[i], byID[t.ref.ID] = t.ref.ID, t
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	answers, err := b.a.Learner.Learn(bounded, b.a.Doer, b.kind, ids)
	cancel()
	b.mu.Lock()
	b.calls++
	b.mu.Unlock()
	if err != nil {
		if !fault.IsPermanent(err) || fault.ReasonOf(err) != fault.Malformed {
			return fmt.Errorf("asking about objects of kind %s: %w", b.kind, err)
		}
		if len(chunk) > 1 {
			half := len(chunk) / 2
			if err := b.ask(ctx, chunk[:half]); err != nil {
				return err
			}
			return b.ask(ctx, chunk[half:])
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.take(chunk[0], change{state: StateNobody, after: nobodyFor, why: "the vendor refuses the question: " + err.Error(), asked: true}, nil)
		return b.flushSome(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, answer := range answers {
		t, asked := byID[answer.ID]
		if !asked { // not asked for, or told twice
			b.lies++
			continue
		}
		delete(byID, answer.ID)
		b.answer(t, answer)
	}
	return b.flushSome(ctx)
}

// answer takes one answer in.
func (b *asking) answer(t taken, answer source.Learned) {
	c := change{asked: true, state: StateAnswered, name: clean(answer.Name), evidence: evidenceOf(answer.Evidence)}
	leads := answer.Leads
	if answer.MergedInto != "" && answer.MergedInto != t.ref.ID {
		into := t.ref
		into.ID = answer.MergedInto
		leads = append([]source.Lead{{Reference: into, By: source.LeadDeclared, Field: fieldMergedInto}}, leads...)
	}
	var kept []source.Lead
	for _, lead := range leads {
		if len(kept) == maxLeads {
			b.lies++
			break
		}
		lead, ok := b.l.lead(t.ref, lead)
		if !ok {
			b.lies++
			continue
		}
		kept = append(kept, lead)
	}
	switch {
	case len(kept) > 0:
	case answer.Gone:
		c.state, c.after, c.why = StateGone, goneFor, "the vendor does not have it"
	default:
		c.why = "the vendor says nothing of whose it is"
	}
	b.take(t, c, kept)
}

const fieldMergedInto = "merged_into"

// lead brings a lead into the form in which references are linked.
func (l *Learner) lead(of source.Reference, lead source.Lead) (source.Lead, bool) {
	r := lead.Reference
	text := r.Kind == source.KindEmail || r.Kind == source.KindDomain
	switch {
	case text:
		r.Source, r.Tenant = r.Kind, ""
	case r.Kind == source.KindAccountUUID:
		r.Source, r.Tenant = of.Source, ""
	case r.Source == "" || r.Source == of.Source && r.Tenant == "":
		r.Source, r.Tenant = of.Source, of.Tenant
	}
	normal, err := accounts.Normalize(r)
	if err != nil || normal == of || l.o.Blocked.Has(normal) || len(lead.Field) > maxName || !source.IsText(lead.Field) {
		return lead, false
	}
	lead.Reference = normal
	switch lead.By {
	case source.LeadDeclared, source.LeadVendor:
	case source.LeadPerson:
		return lead, text
	default:
		return lead, false
	}
	return lead, true
}

// take notes what becomes of one reference.
func (b *asking) take(t taken, c change, leads []source.Lead) {
	c.id = t.id
	b.done = append(b.done, c)
	b.answered++
	delete(b.open, t.id)
	for i, d := range leads {
		b.leads = append(b.leads, lead{of: t.id, origin: originAPI, n: i, Lead: d, by: string(d.By)})
		if d.By != source.LeadPerson && !isText(d.Reference.Kind) && d.Reference.Kind != source.KindAccountUUID && t.depth < maxDepth {
			b.next = append(b.next, taken{ref: d.Reference, depth: t.depth + 1})
		}
	}
	// What points at this one, and waited for the answer, may be judged now.
	b.wake = append(b.wake, t.ref)
}

func (b *asking) flushSome(ctx context.Context) error {
	if len(b.done) < flushAt && time.Since(b.flushed) < flushEvery {
		return nil
	}
	return b.flush(ctx)
}

// flush keeps what was answered.
func (b *asking) flush(ctx context.Context) error {
	done := Done{Source: b.a.Learner.Name(), Calls: b.calls, Answers: len(b.done), Lies: b.lies}
	if done.Calls == 0 && done.Answers == 0 {
		return nil
	}
	if err := b.l.store.keep(ctx, originAPI, b.done, b.leads, b.next, b.wake); err != nil {
		return err
	}
	if err := b.l.store.succeeded(ctx, done); err != nil {
		return err
	}
	b.l.o.Observe(done)
	b.done, b.leads, b.next, b.wake, b.calls, b.lies, b.flushed = nil, nil, nil, nil, 0, 0, time.Now()
	return nil
}

// evidenceOf gives what is kept of a vendor's evidence: a JSON object within the bound.
func evidenceOf(raw json.RawMessage) json.RawMessage {
	var object map[string]json.RawMessage
	if len(raw) > maxEvidence || json.Unmarshal(raw, &object) != nil || !source.IsText(string(raw)) || strings.Contains(string(raw), `\u0000`) {
		return nil
	}
	return raw
}

// clean gives a name within the bound, or "".
func clean(name string) string {
	name = strings.Join(strings.Fields(name), " ")
	if len(name) > maxName || !source.IsText(name) {
		return ""
	}
	return name
}
