package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/throughline-dev/throughline/pkg/doctor"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// registryFlags are the services' own flags without their Validate, as postgresFlags.
type registryFlags event.RegistryConfig

type doctorCommand struct {
	Registry registryFlags `embed:"" group:"Connections"`

	Admin  []string `name:"admin" placeholder:"URL" sep:"none" help:"Admin port of a service, like http://127.0.0.1:9090; may be repeated."`
	As     []string `name:"as" placeholder:"NAME" enum:"receiver,normalizer,sink,quarantine,puller,learner,drift,alerter,console,operator" help:"Whose rights the Kafka and the Postgres user must have, comma separated: ${enum}."`
	Only   []string `name:"only" placeholder:"CHECK" help:"Only these checks, comma separated; a dependency's name means all of its checks: kafka, postgres, quarantine."`
	List   bool     `name:"list" help:"List the checks instead of running them."`
	Strict bool     `name:"strict" help:"Exit with code 1 for warnings, too."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*doctorCommand) Help() string {
	return "Connects to what the services connect to, with the same settings, and says in one line each what it found and what to do about it. It changes nothing, prints no events and no secrets, and takes 15 seconds at most, whatever does not answer. " +
		"What needs a setting that is not set is not checked. Exit code 1: a check failed. docs/operations/doctor.md explains each check."
}

func (*doctorCommand) needs() need { return needsPostgres | needsSession | needsKafka | needsSources }

// Validate is kong's.
func (c *doctorCommand) Validate() error {
	var problems []error
	if c.Registry.URL != "" {
		problems = append(problems, event.RegistryConfig(c.Registry).Validate())
	}
	for _, address := range c.Admin {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			problems = append(problems, errors.New("--admin should be an address like http://127.0.0.1:9090"))
		}
	}
	for _, name := range c.Only {
		if len(checksNamed(name)) == 0 {
			problems = append(problems, fmt.Errorf("--only: there is no check %q (`throughline doctor --list`)", name))
		}
	}
	return errors.Join(problems...)
}

// checksNamed gives the checks of this name, or of this dependency.
func checksNamed(name string) (names []string) {
	for _, c := range doctor.Checks() {
		if c.Name == name || strings.HasPrefix(c.Name, name+".") {
			names = append(names, c.Name)
		}
	}
	return names
}

// checkView is a check as --list shows it.
type checkView struct {
	Check   string `json:"check"`
	Meaning string `json:"meaning"`
}

// errUnhealthy is what the report has said already.
var errUnhealthy = errors.New("not healthy: see above")

// Run is kong's.
func (c *doctorCommand) Run(ctx context.Context, s *session) error {
	if c.List {
		var views []checkView
		for _, check := range doctor.Checks() {
			views = append(views, checkView{check.Name, check.Meaning})
		}
		return list(s, c.JSON, views, []column[checkView]{
			{title: "check", text: func(v checkView) string { return v.Check }},
			{title: "meaning", text: func(v checkView) string { return v.Meaning }},
		})
	}
	given, local := c.settings(s)
	findings := doctor.Run(ctx, given)
	for i := range findings {
		if f := &findings[i]; local && f.State == doctor.Failed && strings.HasSuffix(f.Check, ".reachable") {
			f.Do = "start `make run`, and run this in its directory; or set THROUGHLINE_KAFKA_BROKERS, THROUGHLINE_POSTGRES_URL and THROUGHLINE_SCHEMA_REGISTRY_URL"
		}
	}
	slices.SortStableFunc(findings, func(a, b doctor.Finding) int {
		return cmp.Compare(slices.Index(doctor.States(), a.State), slices.Index(doctor.States(), b.State))
	})
	var err error
	if c.JSON {
		err = writeJSON(s, findings...)
	} else {
		err = s.tellFindings(findings)
	}
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && !doctor.Healthy(findings, c.Strict) {
		err = errUnhealthy
	}
	return err
}

// settings are those that were given. Where none of the three connections was, they are those of `make run`: local.
func (c *doctorCommand) settings(s *session) (found doctor.Settings, local bool) {
	kafka, database := stream.Config(s.root.Kafka), postgres.Config(s.root.Postgres)
	registry := event.RegistryConfig(c.Registry)
	found = doctor.Settings{Admin: c.Admin, As: c.As, Sources: s.root.Sources.set.Names(), Now: s.now}
	for _, name := range c.Only {
		found.Only = append(found.Only, checksNamed(name)...)
	}
	for i, address := range found.Admin {
		found.Admin[i] = strings.TrimRight(address, "/")
	}
	local = s.root.localKafka && s.root.localPostgres && registry.URL == ""
	if local {
		registry.URL = LocalRegistry
		if a, ok := readLocalAddresses(); ok { // whatever ports were chosen
			kafka.Brokers, registry.URL = a.Kafka, settings.URL(a.SchemaRegistry)
			if u, err := url.Parse(a.Postgres); err == nil && !hasPassword(u) {
				database.URL = settings.URL(a.Postgres)
			}
			if len(found.Admin) == 0 && a.Admin != "" {
				found.Admin = []string{a.Admin}
			}
		}
	}
	if local || !s.root.localKafka {
		found.Kafka = &kafka
	}
	if local || !s.root.localPostgres {
		found.Postgres = &database
	}
	if registry.URL != "" {
		found.Registry = &registry
	}
	return found, local
}

// localAddresses is where what `make run` started is.
type localAddresses struct {
	Kafka          []string `json:"kafka"`
	SchemaRegistry string   `json:"schema_registry"`
	Postgres       string   `json:"postgres"` // a password in it is hidden
	Admin          string   `json:"admin"`
}

func readLocalAddresses() (a localAddresses, ok bool) {
	text, err := os.ReadFile(LocalAddresses)
	return a, err == nil && json.Unmarshal(text, &a) == nil && len(a.Kafka) > 0 && a.SchemaRegistry != "" && a.Postgres != ""
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

// tellFindings prints them for people: nothing is cut off, whatever the terminal's width.
func (s *session) tellFindings(findings []doctor.Finding) error {
	colors := map[doctor.State]text.Color{doctor.Failed: text.FgRed, doctor.Warning: text.FgYellow, doctor.OK: text.FgGreen}
	const stateWide, checkWide = len(doctor.NotChecked), 22
	var b strings.Builder
	counts := map[doctor.State]int{}
	for _, f := range findings {
		counts[f.State]++
		state := fmt.Sprintf("%-*s", stateWide, f.State)
		if color, has := colors[f.State]; has && s.color {
			state = color.Sprint(state)
		}
		found := clean(f.Found)
		if f.Subject != "" {
			found = clean(f.Subject) + ": " + found
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", state, checkWide, f.Check, found)
		if f.Do != "" {
			fmt.Fprintf(&b, "%*s  → %s\n", stateWide+2+checkWide, "", clean(f.Do))
		}
	}
	var sums []string
	for _, state := range doctor.States() {
		sums = append(sums, fmt.Sprintf("%d %s", counts[state], state))
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(sums, ", "))
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}
