package quarantine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
)

// PutResult says what became of a batch of letters. Inserted, Reopened, Kept, Repeated and Erased add up to its length.
type PutResult struct {
	Inserted int // new records
	Reopened int // of records that were there: open (again)
	Kept     int // of records that are discarded and stay so
	Repeated int // letters that were known
	Erased   int // letters that nobody may keep: what they refer to was erased on request
	HeldOff  int // of the reopened: a link had released them, without use
	// Waiting are the batch's records that are open for want of an account, known letters' included.
	Waiting []Waiting
	// Open are all of the batch's records that are open.
	Open []int64
}

func (r *PutResult) add(o PutResult) {
	r.Inserted += o.Inserted
	r.Reopened += o.Reopened
	r.Kept += o.Kept
	r.Repeated += o.Repeated
	r.Erased += o.Erased
	r.HeldOff += o.HeldOff
	r.Waiting = append(r.Waiting, o.Waiting...)
	r.Open = append(r.Open, o.Open...)
}

// errRaced: another process inserted one of the batch's records meanwhile.
var errRaced = errors.New("another process is filling the same records")

// racedTries is how often a batch is tried again for that; each time somebody else has got on.
const racedTries = 10

// Put takes a batch of letters in, in one transaction and a few statements. A letter belongs to the record that
// its QuarantineID names, else to the one of the same event that says the same, else of the same bytes. The first letter of a record
// makes it; later ones count as attempts, bring the newest error, and open it unless it is discarded. The same
// letter again changes nothing.
//
// What Postgres refuses is stored without what it may have refused (payload, references, headers), so a batch
// fails only Transient, and may be repeated at will.
func (s *Store) Put(ctx context.Context, letters []Letter) (PutResult, error) {
	if len(letters) == 0 {
		return PutResult{}, nil
	}
	result, err := s.putRacing(ctx, letters)
	switch {
	case err == nil || !fault.IsPermanent(err):
		return result, err
	case len(letters) > 1:
		half := len(letters) / 2
		if result, err = s.Put(ctx, letters[:half]); err != nil {
			return result, err
		}
		rest, err := s.Put(ctx, letters[half:])
		result.add(rest)
		return result, err
	case !letters[0].bare:
		bare := letters[0]
		bare.bare = true
		return s.Put(ctx, []Letter{bare})
	}
	return result, fault.Transient(fault.Unavailable, err)
}

func (s *Store) putRacing(ctx context.Context, letters []Letter) (result PutResult, err error) {
	for range racedTries {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			result, err = s.put(ctx, tx, letters)
			return err
		})
		if !errors.Is(err, errRaced) {
			break
		}
	}
	if err != nil {
		err = postgres.Classify(fmt.Errorf("storing %d dead letters: %w", len(letters), err))
	}
	return result, err
}

// entry is one record while a batch is folded into it.
type entry struct {
	id       int64 // 0: new
	key      string
	status   Status // as it was; "" for a new one
	reason   string
	attempts int32
	tried    []string
	raw      [32]byte // the hash of the record's bytes
	source   string
	by       string // who made the status
	releases int    // by links
	ruling   string // of the newest one
	held     bool   // that ruling is held off

	first, newest *Letter // newest is nil when nothing changes
	waiting       *Letter // the letter whose references count
}

// maxTried bounds how many attempts a record remembers.
const maxTried = 50

func (s *Store) put(ctx context.Context, tx pgx.Tx, letters []Letter) (PutResult, error) {
	var result PutResult
	keys := make([]string, len(letters))
	for i := range letters {
		keys[i] = letters[i].dedupKey(s.sources)
	}
	byKey, byID, err := load(ctx, tx, letters, keys)
	if err != nil {
		return result, err
	}
	// After load, whose locks an erasure waits for that this transaction does not see.
	erased, err := resolve.Suppressed(ctx, tx, func() []resolve.Carried { return carried(letters) })
	if err != nil {
		return result, err
	}
	passed := map[string]int64{} // by source
	var entries []*entry         // of this batch, each once
	touched := map[*entry]bool{}
	for i := range letters {
		l := &letters[i]
		if erased != nil && erased[i] != 0 {
			result.Erased++
			passed[l.Source]++
			continue
		}
		e := l.record(keys[i], byKey, byID)
		if e == nil {
			e = &entry{key: keys[i]}
			byKey[keys[i]] = e
		}
		if !touched[e] {
			touched[e] = true
			entries = append(entries, e)
		}
		e.fold(l, &result)
	}
	// One order for all processes, so that two of them cannot wait for each other.
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.key, b.key)) })
	if err := insert(ctx, tx, entries); err != nil {
		return result, err
	}
	if err := update(ctx, tx, s.hold, entries); err != nil {
		return result, err
	}
	if err := resolve.CountSuppressed(ctx, tx, passed); err != nil {
		return result, err
	}
	for _, e := range entries {
		if e.isOpen() {
			result.Open = append(result.Open, e.id)
		}
		if e.isWaiting() {
			w := Waiting{ID: e.id, References: e.waiting.References}
			if e.held || e.cameBack() {
				w.Held = e.ruling
			}
			if e.cameBack() {
				result.HeldOff++
			}
			result.Waiting = append(result.Waiting, w)
		}
	}
	return result, nil
}

// record gives the one that the letter belongs to, or nil.
func (l *Letter) record(key string, byKey map[string]*entry, byID map[int64]*entry) *entry {
	sum := sha256.Sum256(l.Value)
	// A header's word alone is not enough: headers travel with copied records, and anybody who publishes may write them.
	// No bytes are those of any record.
	if e := byID[l.QuarantineID]; e != nil && len(l.Value) > 0 && e.raw == sum && e.isOf(l.Source) {
		return e
	}
	if e := byKey[key]; e != nil {
		return e
	}
	if e := byKey[l.eventKey()]; e != nil && e.raw == sum { // of an earlier version
		return e
	}
	return nil
}

// isOf reports whether a record may be of a source: one of the two may not be known.
func (e *entry) isOf(source string) bool {
	return e.source == "" || source == "" || e.source == clean(source)
}

// load locks and reads the records that the letters, with these keys, belong to.
func load(ctx context.Context, tx pgx.Tx, letters []Letter, keys []string) (byKey map[string]*entry, byID map[int64]*entry, err error) {
	var ids []int64
	keys = slices.Clone(keys)
	for i := range letters {
		if key := letters[i].eventKey(); key != "" {
			keys = append(keys, key)
		}
		if id := letters[i].QuarantineID; id != 0 {
			ids = append(ids, id)
		}
	}
	rows, err := tx.Query(ctx, `SELECT id, dedup_key, status, reason, attempts, tried, sha256(raw), source, status_by, releases, coalesce(ruling, ''),
		coalesce(held_until > now(), false) FROM quarantine
		WHERE id = ANY ($1) OR dedup_key = ANY ($2) ORDER BY id FOR UPDATE`, ids, keys)
	if err != nil {
		return nil, nil, fmt.Errorf("finding the records: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*entry, error) {
		e := &entry{}
		var raw []byte
		err := row.Scan(&e.id, &e.key, &e.status, &e.reason, &e.attempts, &e.tried, &raw, &e.source, &e.by, &e.releases, &e.ruling, &e.held)
		copy(e.raw[:], raw)
		return e, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("finding the records: %w", err)
	}
	byKey, byID = map[string]*entry{}, map[int64]*entry{}
	for _, e := range found {
		byKey[e.key], byID[e.id] = e, e
	}
	return byKey, byID, nil
}

// fold takes one letter into the entry.
func (e *entry) fold(l *Letter, result *PutResult) {
	e.waiting = l
	position := l.position()
	if slices.Contains(e.tried, position) {
		result.Repeated++
		return
	}
	e.tried = append(e.tried, position)
	if len(e.tried) > maxTried {
		e.tried = e.tried[len(e.tried)-maxTried:]
	}
	switch {
	case e.id == 0 && e.first == nil:
		e.first, e.attempts = l, max(1, l.Attempts)
		result.Inserted++
	case e.status == Discarded:
		e.attempts = max(e.attempts+1, l.Attempts)
		result.Kept++
	default:
		e.attempts = max(e.attempts+1, l.Attempts)
		result.Reopened++
	}
	e.newest, e.reason = l, l.Reason
}

// isOpen: the record is open now.
func (e *entry) isOpen() bool {
	return e.status == Open || e.status == "" || e.newest != nil && e.status != Discarded
}

// isWaiting: the record is open now and has no account.
func (e *entry) isWaiting() bool { return e.isOpen() && e.reason == string(fault.Unresolved) }

// cameBack: a link released the record, without use.
func (e *entry) cameBack() bool {
	return e.newest != nil && e.status == Replaying && e.by == ByLink && e.reason == string(fault.Unresolved)
}

func (e *entry) holdFor(h HoldOff) time.Duration {
	if !e.cameBack() {
		return 0
	}
	return h.after(e.releases)
}

func join(list []string) string { return strings.Join(list, separator) }
