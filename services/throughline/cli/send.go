package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/load"
)

// maxBody is beyond every source's limit, so that the refusal can be tried too.
const maxBody = 64 << 20

type sendCommand struct {
	Source string `arg:"" help:"The source whose vendor sends: ${sources}."`
	Type   string `arg:"" optional:"" help:"The type, as the vendor calls it or an event_type (event-types lists both); any is every type in turn. The source's usual one otherwise."`

	Account   string  `name:"account" help:"The account that the events are about: its id, domain or name. One of its links is used where events of this type carry such an id."`
	Count     int     `name:"count" aliases:"repeat" short:"n" default:"1" placeholder:"N" help:"How many events, each with ids and a time of its own; of a --file, how often (${default})."`
	Rate      float64 `name:"rate" placeholder:"N" help:"Events per second; default: as fast as they are answered."`
	Duplicate percent `name:"duplicate" placeholder:"N%" help:"Share of deliveries that are sent twice."`
	Late      percent `name:"late" placeholder:"N%" help:"Share of events that happened an hour to 30 days ago."`
	Reorder   bool    `name:"reorder" help:"Send events out of the order in which they happened."`
	Batch     int     `name:"batch" default:"1" placeholder:"N" help:"Events in one delivery, where the vendor has batches: hubspot, looker, marketo's activities (${default})."`
	Subject   string  `name:"subject" placeholder:"TEXT" help:"The subject, where the type has one."`
	Seed      *uint64 `name:"seed" placeholder:"N" help:"Seed of the ids: the same seed makes the same ids. Default: a random one, which is shown."`

	File        string          `name:"file" short:"f" placeholder:"FILE" help:"Send this body, byte for byte, instead of generated events; - reads standard input."`
	Header      []string        `name:"header" short:"H" sep:"none" placeholder:"NAME: VALUE" help:"An additional header, or a replacement for a default one. Repeatable."`
	Tamper      bool            `name:"tamper" help:"Change each body after signing it, to test that the receiver rejects it."`
	URL         string          `name:"url" default:"${receiver}" help:"The receiver; /webhooks/<source> is added unless it ends so."`
	PublicURL   string          `name:"public-url" placeholder:"URL" help:"The address that the vendor believes it calls, which HubSpot signs; else THROUGHLINE_<SOURCE>_PUBLIC_URL, else the URL posted to."`
	Secret      settings.Secret `name:"secret" placeholder:"SECRET" help:"Secret to sign with. Command lines are visible to other users: prefer THROUGHLINE_<SOURCE>_SECRETS (the first is used)."`
	SecretsFile string          `name:"secrets-file" default:"${secrets_file}" placeholder:"FILE" help:"Local secrets by source, used when no other is set (${default}, which make run writes)."`
	Connections int             `name:"connections" default:"16" placeholder:"N" help:"Deliveries on their way at once (${default})."`
	Timeout     time.Duration   `name:"timeout" default:"30s" help:"Longest wait for one answer, and of --wait for the last event."`
	Wait        bool            `name:"wait" help:"Return when every event is on a timeline or in quarantine, and report where."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*sendCommand) Help() string {
	return `Exits 0 when every answer was 2xx (with --tamper: 4xx), and with --wait when everything arrived; else 1.

Examples:
  throughline send stripe                                          one invoice.paid of a new customer
  throughline send stripe invoice.payment_failed --account acme.example --wait
  throughline send stripe invoice.paid --account acme.example --count 1000 --rate 200 --duplicate 5% --reorder --late 10%
  throughline send hubspot deal.stage.changed --count 500 --batch 100
  throughline send intercom any --count 200                        every type in turn
  throughline send zendesk --file body.json --tamper               your own body, changed after signing`
}

func (*sendCommand) needs() need { return needsPostgres | needsReceiver }

func (c *sendCommand) checkSources(set source.Set) error { return checkSource(set, c.Source) }

// anyType stands for every type of a source in turn.
const anyType = "any"

// percent is a share, written 5% or 5.
type percent string

// Validate is kong's.
func (p percent) Validate() error {
	if share, err := p.share(); err != nil || share < 0 || share > 1 {
		return fmt.Errorf("should be 0%% to 100%%, but is %s", strconv.Quote(string(p)))
	}
	return nil
}

func (p percent) share() (float64, error) {
	if p == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(string(p), "%"), 64)
	return n / 100, err
}

// Validate is kong's.
func (c sendCommand) Validate() error {
	c.takeFile() // of this copy: Validate changes nothing
	var problems []error
	for _, f := range []struct {
		name string
		n    int
	}{{"--count", c.Count}, {"--batch", c.Batch}, {"--connections", c.Connections}} {
		if f.n < 1 {
			problems = append(problems, fmt.Errorf("%s should be 1 or more, but is %d", f.name, f.n))
		}
	}
	if c.Rate < 0 {
		problems = append(problems, fmt.Errorf("--rate should be above 0, but is %g", c.Rate))
	}
	for _, h := range c.Header {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			problems = append(problems, errors.New("--header should be like \"X-Name: value\""))
		}
	}
	if c.File != "" && (c.Type != "" || c.Account != "" || c.Subject != "" || c.Batch > 1 || c.Late != "") {
		problems = append(problems, errors.New("--file sends a body as it is: leave TYPE, --account, --subject, --batch and --late out"))
	}
	if c.Tamper && c.Wait {
		problems = append(problems, errors.New("--tamper and --wait: a body that is changed after signing is refused, so that nothing arrives: leave --wait out"))
	}
	problems = append(problems, checkURL("--url", c.URL), checkURL("--public-url", c.PublicURL))
	return errors.Join(problems...)
}

// takeFile reads `send stripe body.json`, as it was before --file.
func (c *sendCommand) takeFile() {
	if c.File == "" && (c.Type == "-" || strings.HasSuffix(c.Type, ".json")) {
		c.File, c.Type = c.Type, ""
	}
}

func checkURL(flag, value string) error {
	if u, err := url.Parse(value); value != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%s should be an absolute URL like %s", flag, LocalReceiver)
	}
	return nil
}

// Run is kong's.
func (c *sendCommand) Run(ctx context.Context, s *session) error {
	c.takeFile()
	sender, err := c.sender(s)
	if err != nil {
		return err
	}
	seed, err := c.seed()
	if err != nil {
		return err
	}
	simulator, err := vendors.New(s.root.Sources.set, seed)
	if err != nil {
		return err
	}
	plan, err := c.plan(s, simulator, seed)
	if err != nil {
		return err
	}
	if c.Account == "" && !c.Wait {
		return c.send(ctx, s, nil, simulator, sender, plan)
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error { return c.send(ctx, s, pool, simulator, sender, plan) })
}

// send sends the plan and says what became of it. pool is nil when nothing needs it.
func (c *sendCommand) send(ctx context.Context, s *session, pool *pgxpool.Pool, simulator *vendors.Simulator, sender *vendors.Sender, plan load.Plan) error {
	view := sentView{Source: plan.Source, URL: sender.URL}
	if plan.Body == nil {
		view.Seed = &plan.Seed
		about, err := c.about(ctx, s, pool, simulator, sender, &plan)
		if err != nil {
			return err
		}
		view.aboutView = about
	}
	total := int64(plan.Count)
	bar := s.newProgress("sending", total)
	report, err := load.Run(ctx, plan, load.Options{
		Simulator: simulator, Sender: sender, Identify: c.Wait,
		Progress: func(events int) { bar.at(int64(events), fmt.Sprintf("%d of %d", events, total)) },
	})
	bar.end()
	view.take(report)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: does a receiver listen there? `make run` starts one at %s; --url names another", err, LocalReceiver)
	}
	if err == nil && c.Wait && c.verdict(report) == nil { // what was refused arrives nowhere
		view.Landed, err = c.wait(ctx, s, pool, plan.Source, report)
	}
	if report.Deliveries > 0 {
		err = errors.Join(view.show(s, c.JSON), err)
	}
	return errors.Join(err, c.verdict(report))
}

// verdict is an error when an answer was not what this command wants.
func (c *sendCommand) verdict(report load.Report) error {
	wanted := 2
	if c.Tamper {
		wanted = 4
	}
	failed := 0
	for status, n := range report.Statuses() {
		if status/100 != wanted {
			failed += n
		}
	}
	switch {
	case failed == 0:
		return nil
	case c.Tamper:
		return fmt.Errorf("%d of %d tampered deliveries were not refused", failed, report.Deliveries)
	}
	return fmt.Errorf("%d of %d deliveries were refused: see the response", failed, report.Deliveries)
}

func (c *sendCommand) seed() (uint64, error) {
	if c.Seed != nil {
		return *c.Seed, nil
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return 0, fmt.Errorf("choosing a seed: %w", err)
	}
	return binary.BigEndian.Uint64(random[:]) >> 24, nil // short enough to be typed
}

func (c *sendCommand) plan(s *session, simulator *vendors.Simulator, seed uint64) (load.Plan, error) {
	plan := load.Plan{
		Source: c.Source, Event: vendors.Event{Tenant: s.root.Sources.settings.Get(c.Source).Tenant, Subject: c.Subject}, Count: c.Count, Batch: c.Batch, Rate: c.Rate,
		Reorder: c.Reorder, Seed: seed, Connections: min(c.Connections, c.Count), Tamper: c.Tamper, Header: http.Header{},
	}
	for _, h := range c.Header {
		name, value, _ := strings.Cut(h, ":")
		http.Header(plan.Header).Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	var err error
	if plan.Duplicate, err = c.Duplicate.share(); err != nil {
		return plan, err
	}
	if plan.Late, err = c.Late.share(); err != nil {
		return plan, err
	}
	if c.File != "" {
		plan.Body, err = c.body(s)
		return plan, err
	}
	if c.Type != anyType {
		plan.Types = []string{c.Type}
		_, err := simulator.Find(plan.Source, c.Type)
		if err != nil {
			return plan, usage("%v", err)
		}
		return plan, nil
	}
	for _, t := range simulator.Types(plan.Source) {
		if c.Batch == 1 || t.Batch {
			plan.Types = append(plan.Types, t.Vendor)
		}
	}
	return plan, nil
}

func (c *sendCommand) body(s *session) ([]byte, error) {
	from := s.In
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("opening the body: %w", err)
		}
		defer file.Close()
		from = file
	}
	body, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the body: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the body is larger than %d MiB, more than any source takes", maxBody>>20)
	}
	return body, nil
}

func (c *sendCommand) sender(s *session) (*vendors.Sender, error) {
	set := s.root.Sources.settings.Get(c.Source)
	secret, err := c.secret(set)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: c.Connections, Proxy: http.ProxyFromEnvironment}
	return &vendors.Sender{
		Sources: s.root.Sources.set, URL: c.URL, PublicURL: cmp.Or(c.PublicURL, set.PublicURL), Now: s.now,
		Secrets: map[string]string{c.Source: secret}, Tenants: s.root.Sources.settings.Tenants(),
		Client: &http.Client{Timeout: c.Timeout, CheckRedirect: vendors.NoRedirect, Transport: transport},
	}, nil
}
