package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

type connectCommand struct {
	Source       string `arg:"" help:"The source: ${connectors}."`
	URL          string `name:"url" placeholder:"URL" help:"Where the vendor is to send; default: THROUGHLINE_<SOURCE>_PUBLIC_URL. /webhooks/<source> is added to a host alone."`
	DryRun       bool   `name:"dry-run" help:"Look and list the changes, and make none."`
	Yes          bool   `name:"yes" short:"y" help:"Make the changes without asking."`
	SecretFile   string `name:"secret-file" placeholder:"FILE" help:"A new file for a secret that the vendor shows once. It is written with mode 0600, and refused if it exists."`
	Steps        bool   `name:"steps" help:"Print what a person does at the vendor, and ask no API."`
	AllowPrivate bool   `name:"egress-allow-private" env:"THROUGHLINE_EGRESS_ALLOW_PRIVATE" help:"Call the API also where its name leads to a private address or this machine, and by http: a gateway, or a fake."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*connectCommand) Help() string {
	return "Where the vendor's API shows its webhook subscriptions and THROUGHLINE_<SOURCE>_API_KEY is set: shows them beside what was received here, lists the " +
		"changes that would make them right, asks, makes them, and looks again. Else, and with --steps: prints what a person does at the vendor, and what to paste there. " +
		"The exit code is 1 when something is not right in the end."
}

func (*connectCommand) needs() need { return needsPostgres | needsReceiver | needsAPI }

// Validate is kong's.
func (c *connectCommand) Validate() error { return checkURL("--url", c.URL) }

func (c *connectCommand) checkSources(set source.Set) error {
	if can := connectors(set); c.Source == "" {
		return missingSource(can)
	} else if !slices.Contains(can, c.Source) {
		return fmt.Errorf("%q is no source that can be connected by this command: those are %s", c.Source, strings.Join(can, ", "))
	}
	return nil
}

// connectors gives the names of the sources that can be connected.
func connectors(set source.Set) (can []string) {
	for _, src := range set.Sources() {
		if _, ok := src.(source.Connector); ok {
			can = append(can, src.Name())
		}
	}
	return can
}

// Run is kong's.
func (c *connectCommand) Run(ctx context.Context, s *session) error {
	found, _ := s.root.Sources.set.Find(c.Source) // checkSources has seen it
	address, err := c.address(s)
	if err != nil {
		return err
	}
	view := api.Connected{
		Source: c.Source, Address: address, DryRun: c.DryRun, Subscriptions: []api.Subscription{}, Changes: []api.SubscriptionChange{},
		Notes: []string{}, Problems: []string{}, Steps: []api.Step{},
	}
	pool, err := s.database(ctx)
	if err == nil {
		defer pool.Close()
		err = c.received(ctx, pool, found, &view)
	}
	if err != nil { // no reason not to go on
		view.NotKnown = s.explain(err)
	}
	subscriber, ok := found.(source.Subscriber)
	if !ok || c.Steps || s.root.Sources.settings.Get(c.Source).APIKey == "" {
		if ok && !c.Steps {
			variable := settings.SourceVariable(c.Source, "API_KEY")
			s.say("with %s, or %s_FILE, this command looks at %s and changes what is not right", variable, variable, found.Profile().Title)
		}
		for _, step := range found.(source.Connector).Steps(address) {
			view.Steps = append(view.Steps, api.Step{Text: step.Text, Paste: step.Paste})
		}
		return c.show(s, found, view)
	}
	client, err := c.client(ctx, s, pool, subscriber)
	if err != nil {
		return err
	}
	defer client.Close()
	return c.subscribe(ctx, s, subscriber, client, view)
}

// client makes one that takes turns with all else that calls this vendor account's API,
// where the database can be asked for them. pool is nil where it cannot.
func (c *connectCommand) client(ctx context.Context, s *session, pool *pgxpool.Pool, src source.Subscriber) (*egress.Client, error) {
	set := s.root.Sources.settings.Get(c.Source)
	o := egress.Options{API: src.API(), Key: set.APIKey, Address: set.APIURL, AddressSetting: settings.SourceVariable(src.Name(), "API_URL"), AllowPrivate: c.AllowPrivate}
	if pool != nil {
		budget := pull.NewBudget(pull.NewStore(pool), src, set.Tenant, 0)
		if err := budget.Wait(ctx); err == nil || source.After(err) > 0 {
			o.Turns = budget
		} else if ctx.Err() == nil { // a role that may only read
			s.say("the requests that %s allows are not shared with the services: %s", src.Profile().Title, s.explain(err))
		}
	}
	client, err := egress.New(o)
	if err != nil {
		return nil, usage("%s: %v", settings.SourceVariable(c.Source, "API_URL"), err)
	}
	return client, nil
}

// address gives where the vendor is to send.
func (c *connectCommand) address(s *session) (string, error) {
	given := c.URL
	if given == "" {
		given = s.root.Sources.settings.Get(c.Source).PublicURL
	}
	address, err := settings.CalledURL(given, c.Source)
	switch {
	case err != nil:
		return "", usage("%v", err)
	case address == "":
		return "", usage("where is the vendor to send? Set %s, or --url https://hooks.example.com", settings.SourceVariable(c.Source, "PUBLIC_URL"))
	}
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" {
		return "", usage("the address that a vendor sends to should begin with https://: the events would be sent in the clear")
	}
	return address, nil
}

// received looks at what has come.
func (c *connectCommand) received(ctx context.Context, pool *pgxpool.Pool, src source.Source, view *api.Connected) error {
	var types []string
	for _, t := range src.Profile().Types {
		if !slices.Contains(types, t.Type) {
			types = append(types, t.Type)
		}
	}
	receipt, err := postgres.Received(ctx, pool, c.Source, types)
	if err == nil {
		view.Received = api.NewReceived(receipt)
	}
	return err
}

// subscribe looks, changes, and looks again.
func (c *connectCommand) subscribe(ctx context.Context, s *session, src source.Subscriber, client *egress.Client, view api.Connected) error {
	set := s.root.Sources.settings.Get(c.Source)
	seen, err := look(ctx, src, client, view.Address)
	if err != nil {
		return c.advised(err)
	}
	view.Asked = true
	c.take(src, set, seen, &view)
	for _, change := range seen.Changes {
		view.Changes = append(view.Changes, api.SubscriptionChange{ID: change.ID, Text: change.Text, Types: append([]string{}, change.Types...)})
	}
	if len(seen.Changes) == 0 || c.DryRun {
		return c.show(s, src, view)
	}
	if !c.JSON {
		if err := c.showView(s, src, view); err != nil {
			return err
		}
	}
	if err := c.agreed(ctx, s, src, seen.Changes); err != nil {
		return err
	}
	failed := c.change(ctx, s, src, client, seen.Changes, &view)
	if seen, err = look(ctx, src, client, view.Address); err != nil {
		return errors.Join(failed, c.advised(err))
	}
	c.take(src, set, seen, &view)
	return errors.Join(failed, c.show(s, src, view))
}

// take puts what was seen into the view, in place of what was seen before.
func (c *connectCommand) take(src source.Subscriber, set settings.SourceSetting, seen source.Subscriptions, view *api.Connected) {
	view.Subscriptions, view.Notes, view.Problems = []api.Subscription{}, append([]string{}, seen.Notes...), []string{}
	title := src.Profile().Title
	for _, have := range seen.Have {
		view.Subscriptions = append(view.Subscriptions, api.NewSubscription(have))
		if have.Failing != "" {
			view.Problems = append(view.Problems, fmt.Sprintf("%s says of %s: %s", title, have.ID, have.Failing))
		}
		if late := have.LastDelivery; view.Received != nil && late.Sub(view.Received.Newest) > deliveryAge && view.Received.LastDay == 0 {
			view.Problems = append(view.Problems, fmt.Sprintf("%s last delivered at %s, and none of its webhooks came here in 24 hours: is this its installation?", title, stamp(late)))
		}
	}
	for _, change := range seen.Changes {
		view.Problems = append(view.Problems, "to do: "+change.Text)
	}
	if len(seen.Have) == 0 && len(seen.Changes) == 0 {
		view.Problems = append(view.Problems, title+" does not send to this address")
	}
	if seen.Test && !set.TestData {
		view.Problems = append(view.Problems, fmt.Sprintf("the key is one of %s's test mode, whose events wait in quarantine as test_data: use the live key, or set %s=accept for an installation of test data",
			title, settings.SourceVariable(c.Source, "TEST_DATA")))
	}
	view.Right = len(view.Problems) == 0
}

// deliveryAge is by how much a vendor's last delivery may be newer than what came here.
const deliveryAge = 10 * time.Minute

// agreed is nil where the changes may be made.
func (c *connectCommand) agreed(ctx context.Context, s *session, src source.Subscriber, changes []source.SubscriptionChange) error {
	shows := slices.ContainsFunc(changes, func(change source.SubscriptionChange) bool { return change.Secret })
	title := src.Profile().Title
	if shows && c.SecretFile == "" {
		return usage("%s shows the secret of a new subscription once: name a new file for it with --secret-file, or use --dry-run to make no changes", title)
	}
	if c.Yes {
		return nil
	}
	return s.confirm(ctx, fmt.Sprintf("Make %s at %s?", plural(int64(len(changes)), "change"), title))
}

// change makes the changes, each once: one whose answer was lost may have been made.
func (c *connectCommand) change(ctx context.Context, s *session, src source.Subscriber, client source.Doer, changes []source.SubscriptionChange, view *api.Connected) error {
	keep := &secretFile{path: c.SecretFile}
	if c.SecretFile != "" {
		if err := keep.open(); err != nil {
			return err
		}
	}
	var failed []error
	for i, change := range changes {
		secret, err := src.Change(ctx, client, view.Address, change)
		view.Changes[i].Made = err == nil
		if secret != "" {
			err = errors.Join(err, keep.add(secret))
		}
		if err != nil {
			view.Changes[i].Error = s.explain(err)
			failed = append(failed, c.advised(fmt.Errorf("%s: %w", change.Text, err)))
			if fault.ReasonOf(err) == fault.Forbidden || ctx.Err() != nil {
				break // the next would be refused, too
			}
		}
	}
	kept, err := keep.close()
	if kept {
		view.SecretFile = c.SecretFile
		s.say("the secret is in %s: put it before the others of %s (or into the file of %[2]s_FILE); until the receiver has it, what comes is refused", c.SecretFile, settings.SourceVariable(c.Source, "SECRETS"))
	}
	return errors.Join(append(failed, err)...)
}

// lookTries and lookPause: of a look at a vendor that is away.
const (
	lookTries = 3
	lookPause = 30 * time.Second
)

// look asks for the vendor's view, and again after a failure that may pass.
func look(ctx context.Context, src source.Subscriber, client source.Doer, address string) (seen source.Subscriptions, err error) {
	for try := range lookTries {
		if seen, err = src.Look(ctx, client, address); err == nil || fault.IsPermanent(err) || try == lookTries-1 {
			break
		}
		pause := max(source.After(err), time.Duration(try+1)*time.Second)
		if pause > lookPause {
			return seen, fmt.Errorf("looking at the subscriptions: %w: it wants to be asked again in %s", err, pause)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return seen, ctx.Err()
		}
	}
	if err != nil {
		err = fmt.Errorf("looking at the subscriptions: %w", err)
	}
	return seen, err
}

// advised adds what to do about a key.
func (c *connectCommand) advised(err error) error {
	if reason := fault.ReasonOf(err); fault.Advice(err) == "" && (reason == fault.Unauthenticated || reason == fault.Forbidden) {
		return fault.Advise(err, "check "+settings.SourceVariable(c.Source, "API_KEY"))
	}
	return err
}

// show prints the result; the error says that something is not right.
func (c *connectCommand) show(s *session, src source.Source, view api.Connected) error {
	var err error
	if c.JSON {
		err = writeJSON(s, view)
	} else {
		err = c.showView(s, src, view)
	}
	if n := len(view.Problems); err == nil && n > 0 {
		what := "1 thing is not right"
		if n > 1 {
			what = fmt.Sprintf("%d things are not right", n)
		}
		if c.DryRun {
			what += ", and nothing was changed"
		}
		return errors.New(what)
	}
	return err
}

func (c *connectCommand) showView(s *session, src source.Source, view api.Connected) error {
	title := src.Profile().Title
	var out strings.Builder
	line := func(format string, args ...any) { out.WriteString(clean(fmt.Sprintf(format, args...)) + "\n") }
	line("%s → %s", title, view.Address)
	c.showReceived(line, view)
	if _, err := fmt.Fprint(s.Out, out.String()); err != nil {
		return err
	}
	if len(view.Subscriptions) > 0 {
		if err := list(s, false, view.Subscriptions, []column[api.Subscription]{
			{title: "at " + title, text: func(v api.Subscription) string { return v.ID }},
			{title: "enabled", text: func(v api.Subscription) string { return yesNo(v.Enabled) }},
			{title: "failing", text: func(v api.Subscription) string { return v.Failing }, wide: true},
			{title: "last_delivery", text: func(v api.Subscription) string { return stamp(v.LastDelivery) }, leave: 2},
			{title: "types", text: func(v api.Subscription) string { return strings.Join(v.Types, ",") }, wide: true, leave: 1},
		}); err != nil {
			return err
		}
	}
	out.Reset()
	for _, change := range view.Changes {
		if change.Made {
			line("done: %s", change.Text)
		}
	}
	for _, problem := range view.Problems {
		line("%s", problem)
	}
	for _, note := range view.Notes {
		line("note: %s", note)
	}
	if view.Right {
		line("all is as it should be")
	}
	for i, step := range view.Steps {
		line("%d. %s", i+1, step.Text)
		for pasted := range strings.Lines(step.Paste) {
			line("     %s", strings.TrimRight(pasted, "\n"))
		}
	}
	_, err := fmt.Fprint(s.Out, out.String())
	return err
}

func (*connectCommand) showReceived(line func(string, ...any), view api.Connected) {
	r := view.Received
	switch {
	case r == nil:
		line("received here: not known: %s", view.NotKnown)
	case r.Newest.IsZero():
		line("received here: no webhook, as far as the newest 100,000 events tell; %d wait in quarantine", r.Waiting)
	default:
		more := ""
		if r.AtLeast {
			more = " or more"
		}
		line("received here: the newest webhook at %s, %d%s in the last 24 hours; %d wait in quarantine", stamp(r.Newest), r.LastDay, more, r.Waiting)
	}
	if r != nil && len(r.MissingTypes) > 0 && !r.Newest.IsZero() {
		line("not seen on a timeline lately: %s", strings.Join(r.MissingTypes, ", "))
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// secretFile takes secrets, the newest first as our settings have them. It is made
// before there is a secret: one that cannot be kept must not be asked for.
type secretFile struct {
	path    string
	file    *os.File
	secrets []string
}

func (f *secretFile) open() (err error) {
	f.file, err = os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usage("--secret-file: %s exists: name a new file", f.path)
	}
	if err != nil {
		return fmt.Errorf("making the file for the secret: %w", err)
	}
	return nil
}

// add keeps a secret at once: what comes after it may fail.
func (f *secretFile) add(secret string) error {
	if f.file == nil {
		return errors.New("the vendor showed a secret, and there is no --secret-file for it: reveal it at the vendor, or renew it there")
	}
	f.secrets = append([]string{secret}, f.secrets...)
	if _, err := f.file.WriteAt([]byte(strings.Join(f.secrets, ",")+"\n"), 0); err != nil {
		return fmt.Errorf("writing the secret: %w", err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("writing the secret: %w", err)
	}
	return nil
}

// close says whether there is a secret in the file, which is taken away if there is none.
func (f *secretFile) close() (kept bool, err error) {
	if f.file == nil {
		return false, nil
	}
	err = f.file.Close()
	if len(f.secrets) == 0 {
		os.Remove(f.path)
		return false, nil
	}
	return true, err
}
