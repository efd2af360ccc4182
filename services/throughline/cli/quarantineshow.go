package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
)

// maxShown is how much of a record without JSON is shown; --raw gives all.
const maxShown = 4 << 10

type quarantineShowCommand struct {
	ID   int64 `arg:"" help:"The record's id, from quarantine list."`
	Raw  bool  `name:"raw" xor:"form" help:"Print the vendor's bytes only, unchanged."`
	JSON bool  `name:"json" xor:"form" help:"Print one JSON object; raw, key and header values in base64."`
}

func (*quarantineShowCommand) needs() need { return needsPostgres | needsSources }

// Run is kong's.
func (c *quarantineShowCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		detail, err := quarantine.NewStore(pool).Show(ctx, c.ID)
		switch {
		case err != nil:
			return err
		case c.Raw:
			_, err := s.Out.Write(detail.Raw)
			return err
		case c.JSON:
			return writeJSON(s, api.NewQuarantineDetail(detail))
		}
		return s.showRecord(detail)
	})
}

func (s *session) showRecord(d quarantine.Detail) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-12s%s", name, clean(fmt.Sprintf(format, args...))), " ") + "\n")
	}
	line("id", "%d", d.ID)
	line("status", "%s, by %s at %s", status(api.NewQuarantineRecord(d.Record)), d.StatusBy, stamp(d.StatusAt))
	line("reason", "%s", d.Reason)
	line("error", "%s", d.Error)
	line("source", "%s", strings.TrimSpace(d.Source+" "+d.Tenant))
	line("event", "%s", strings.TrimSpace(d.EventType+" "+d.SourceEventID))
	place := fmt.Sprintf("%s, partition %d, offset %d", d.Topic, d.Partition, d.Offset)
	if d.RawIndex >= 0 {
		place += fmt.Sprintf(", element %d", d.RawIndex)
	}
	line("record", "%s", place)
	line("attempts", "%d, first seen %s, last seen %s", d.Attempts, stamp(d.FirstSeen), stamp(d.LastSeen))
	for _, ref := range d.References {
		line("reference", "%s", ref)
	}
	for _, x := range d.Decisions {
		line("decision", "%s", strings.TrimSuffix(fmt.Sprintf("%s  %s → %s, by %s: %s", stamp(x.At), x.From, x.To, x.By, x.Note), ": "))
	}
	b.WriteString("\n" + shownPayload(d) + "\n")
	if _, err := fmt.Fprint(s.Out, b.String()); err != nil {
		return err
	}
	if next := s.nextFor(d); next != "" {
		s.say("%s", next)
	}
	return nil
}

// shownPayload is what a person can read of a record: its JSON, else its text,
// else a dump of its beginning.
func shownPayload(d quarantine.Detail) string {
	var indented bytes.Buffer
	if json.Indent(&indented, d.Raw, "", "  ") == nil {
		return cleanLines(indented.String())
	}
	raw, more := d.Raw, ""
	if len(raw) > maxShown {
		raw, more = raw[:maxShown], fmt.Sprintf("\n… %d bytes in all: --raw writes them", len(d.Raw))
	}
	if utf8.Valid(raw) {
		return cleanLines(string(raw)) + more
	}
	return fmt.Sprintf("%q", raw) + more
}

func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// nextFor says what a person can do about a record.
func (s *session) nextFor(r quarantine.Detail) string {
	ref, linkable := s.linkable(r.References)
	switch {
	case r.Status == quarantine.Replaying:
		return "it is on its way to the timeline; the quarantine service publishes it"
	case r.Status == quarantine.Discarded && r.Releasable():
		return fmt.Sprintf("to bring it back: `throughline quarantine release %d`", r.ID)
	case r.Status != quarantine.Open:
		return ""
	case !r.Releasable():
		return fmt.Sprintf("it has no raw topic, or no bytes, to publish, so that it cannot be released; to give it up: `throughline quarantine discard %d`", r.ID)
	case r.HeldUntil != nil:
		return fmt.Sprintf("a link released it and the normalizer still found no account: give normalizer and quarantine the same THROUGHLINE_RESOLVE_RULES; to try again now: `throughline quarantine release %d`", r.ID)
	case r.Reason == string(fault.Unresolved) && linkable:
		return fmt.Sprintf("say whose it is, and it is released: `%s`", s.linkLine(ref, "ACCOUNT"))
	default:
		return fmt.Sprintf("when its cause is fixed: `throughline quarantine release %d`; to give it up: `throughline quarantine discard %d`", r.ID, r.ID)
	}
}

// linkable gives the first of the references that `throughline link` takes. An account's id needs no link, and the
// domain of a mail provider can have none.
func (s *session) linkable(refs []source.Reference) (source.Reference, bool) {
	for _, ref := range refs {
		if _, err := s.store(nil).Linkable(ref); err == nil {
			return ref, true
		}
	}
	return source.Reference{}, false
}

// linkLine gives the command line that links the reference, as it is accepted: an id that is unique within one tenant
// and stands here without one, because its event names none, is linked in every tenant.
func (s *session) linkLine(ref source.Reference, account string) string {
	line := fmt.Sprintf("throughline link %s %s", shellWord(ref.String()), account)
	if ref.Tenant == "" && scoped(s.root.Sources.set, ref) {
		line += " --every-tenant"
	}
	return line
}

// shellWord gives text as one word of a shell's command line: it is a vendor's, or a stranger's.
func shellWord(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/@._+,=%-"
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
