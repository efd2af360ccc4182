// Package doctor finds out what is wrong with an installation: it connects to what
// the services connect to, with their settings, looks, and says in one line each
// what it found and what to do about it. It changes nothing, and prints neither
// events nor secrets.
//
// A check is a row of Checks; docs/operations/doctor.md explains each.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// State is how a check ended.
type State string

// The states, from the one that matters most. NotChecked: a setting is missing, what
// the check needs does not answer, or this user may not look.
const (
	Failed     State = "failed"
	Warning    State = "warning"
	NotChecked State = "not checked"
	OK         State = "ok"
)

// States gives all, in the order in which people want to see them.
func States() []State { return []State{Failed, Warning, NotChecked, OK} }

// Finding is what a check found, for people and, in JSON, for programs.
type Finding struct {
	// Check is the check's name, which stays the same between versions.
	Check string `json:"check"`
	// Subject is what was looked at where a check looks at several things: a
	// service's admin address.
	Subject string `json:"subject,omitempty"`
	State   State  `json:"state"`
	// Found says what was found, in one line.
	Found string `json:"found"`
	// Do says what a person can do, with the command or the key; "" where nothing needs to be done.
	Do string `json:"do,omitempty"`
}

// Settings say what to look at. The zero value looks at nothing.
type Settings struct {
	// Kafka, Postgres and Registry are those of the services; nil: not set, so what needs them is not checked.
	Kafka    *stream.Config
	Postgres *postgres.Config
	Registry *event.RegistryConfig
	// Admin are addresses of services' admin ports, as URLs.
	Admin []string
	// Sources are the sources whose raw topics there should be.
	Sources []string
	// As are those of Users as whom the user connects, so it must have their rights; none: anybody's will do.
	As []string
	// Only names the checks to run; none: all.
	Only []string
	// Now is this machine's clock; nil: time.Now.
	Now func() time.Time
}

// Check is one check.
type Check struct {
	// Name is "<dependency>.<what>".
	Name string
	// Meaning says what it looks at, in one line.
	Meaning string

	run func(e *examination, ctx context.Context, subject string) Finding
}

// Checks gives all checks, in the order in which one would look.
func Checks() []Check {
	return slices.Concat(kafkaChecks(), rightsChecks(), lagChecks(), postgresChecks(), activityChecks(), indexChecks(), quarantineChecks(), registryChecks(), []Check{adminCheck()})
}

const (
	// connectTimeout bounds the first answer of a dependency.
	connectTimeout = 5 * time.Second
	// queryTimeout bounds what is asked of Postgres then.
	queryTimeout = 5 * time.Second
	// checkTimeout bounds a check, the connection included.
	checkTimeout = 12 * time.Second
	// closeTimeout bounds the farewell to a dependency that does not answer.
	closeTimeout = time.Second
)

// Run runs the checks side by side and gives their findings in the order of Checks. It takes 13 seconds at most,
// whatever does not answer, and ends earlier with ctx: then what has not ended is NotChecked.
func Run(ctx context.Context, s Settings) []Finding {
	if s.Now == nil {
		s.Now = time.Now
	}
	e := newExamination(ctx, s)
	defer e.close()
	var running []chan Finding
	for _, check := range Checks() {
		if len(s.Only) > 0 && !slices.Contains(s.Only, check.Name) {
			continue
		}
		for _, subject := range check.subjects(s) {
			// A check that ignores its end must not hold the report up; the channel takes what comes too late.
			found := make(chan Finding, 1)
			running = append(running, found)
			go func() { found <- check.on(ctx, e, subject) }()
		}
	}
	findings := make([]Finding, 0, len(running))
	for _, found := range running {
		findings = append(findings, <-found)
	}
	return findings
}

// subjects are what the check looks at, one after the other: "" for all but the services' admin ports.
func (c Check) subjects(s Settings) []string {
	if c.Name == adminName && len(s.Admin) > 0 {
		return s.Admin
	}
	return []string{""}
}

// on runs the check within its bound.
func (c Check) on(ctx context.Context, e *examination, subject string) Finding {
	bounded, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	ended := make(chan Finding, 1)
	go func() { ended <- c.run(e, bounded, subject) }()
	var f Finding
	select {
	case f = <-ended:
	case <-bounded.Done():
		f = failed("run it again; if it stays so, look at what stands between this machine and that server", "no answer within %v", checkTimeout)
	}
	if ctx.Err() != nil && f.State == Failed {
		f = notChecked("", "interrupted")
	}
	f.Check, f.Subject = c.Name, subject
	f.Found, f.Do = line(f.Found), line(f.Do)
	return f
}

// line makes a text one line.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

func ok(format string, args ...any) Finding {
	return Finding{State: OK, Found: fmt.Sprintf(format, args...)}
}

func warning(do, format string, args ...any) Finding {
	return Finding{State: Warning, Found: fmt.Sprintf(format, args...), Do: do}
}

func failed(do, format string, args ...any) Finding {
	return Finding{State: Failed, Found: fmt.Sprintf(format, args...), Do: do}
}

func notChecked(do, format string, args ...any) Finding {
	return Finding{State: NotChecked, Found: fmt.Sprintf(format, args...), Do: do}
}

// Healthy reports whether nothing failed and, where strict, whether nothing is a warning either.
func Healthy(findings []Finding, strict bool) bool {
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.State == Failed || strict && f.State == Warning })
}

// some lists at most a few of many, so that a finding stays a line.
func some(items []string) string {
	const most = 5
	slices.Sort(items)
	items = slices.Compact(items)
	if len(items) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
	}
	return strings.Join(items, ", ")
}

// rounded is how a person reads a time span.
func rounded(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Hour:
		return d.Round(time.Second)
	default:
		return d.Round(time.Minute)
	}
}
