package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Options say what is replayed.
type Options struct {
	Source source.Source
	Kafka  stream.Config
	Client *kgo.Client // asks, and publishes with acks=all
	Pool   *pgxpool.Pool
	Since  time.Time // by the time at which the brokers got it
	Until  time.Time // before it; at most now
	Types  []string  // of events (event_type); none: all. Of a page, one event suffices
	By     string
	Reason string
	// FromOldest: where retention has passed Since, what is left is replayed.
	FromOldest bool
	Rate       int // records a second; 0: as fast as the brokers take them
	Progress   func(Replay)
}

// Place is how far a partition is.
type Place struct {
	Next int64 `json:"next"`
	End  int64 `json:"end"` // the first that is not replayed
}

// Replay is one request.
type Replay struct {
	ID           int64
	Source       string
	Topic        string
	Since, Until time.Time
	Types        []string
	Places       map[int32]Place
	Read         int64 // records so far
	Published    int64 // of them: those of the types
	StartedBy    string
	Reason       string
	CreatedAt    time.Time
	FinishedAt   time.Time // zero: not finished
	// What follows is not kept. Gone is what Plan and Run found deleted of the period, Copies how many records Run and
	// Count passed over because they are copies of others, and Unfit those that cannot be published again.
	Gone   []Gone
	Copies int64
	Unfit  []Unfit
}

// Unfit are records that cannot be published again. They stay in the topic.
type Unfit struct {
	Partition int32
	Offset    int64 // the last, where it is a batch
	Why       error // Permanent
}

// String says it in words.
func (u Unfit) String() string {
	return fmt.Sprintf("partition %d offset %d: %v", u.Partition, u.Offset, u.Why)
}

// Gone is a part of a partition that retention, or somebody, has deleted.
type Gone struct {
	Partition int32
	From, To  int64 // offsets; To is the first that is there, or the end of the period
	// Oldest is when the first record was written that is there: what was written from the beginning of the period until then
	// may be gone. It is zero where none is left, and where it is not known.
	Oldest time.Time
}

// String says it in words: "partition 2 before 2026-11-20T10:00:00.000Z (offsets 0 to 41)".
func (g Gone) String() string {
	offsets := fmt.Sprintf("(offsets %d to %d)", g.From, g.To-1)
	if g.Oldest.IsZero() {
		return fmt.Sprintf("partition %d %s", g.Partition, offsets)
	}
	return fmt.Sprintf("partition %d before %s %s", g.Partition, stamp(g.Oldest), offsets)
}

func goneText(all []Gone) string {
	texts := make([]string, len(all))
	for i, g := range all {
		texts[i] = g.String()
	}
	return strings.Join(texts, ", ")
}

// Left is how many offsets are to be read.
func (r Replay) Left() (n int64) {
	for _, p := range r.Places {
		n += max(0, p.End-p.Next)
	}
	return n
}

// Plan finds where the period lies in the topic. It is Permanent, NotFound, where there is no such topic or where its
// retention has passed Since: the text says which part of which partition is gone. With FromOldest, Replay.Gone does.
func Plan(ctx context.Context, o Options) (Replay, error) {
	r := Replay{Source: o.Source.Name(), Topic: o.Kafka.Names().Raw(o.Source.Name()), Since: o.Since.UTC(), Until: o.Until.UTC(), Types: o.Types,
		StartedBy: o.By, Reason: o.Reason, Places: map[int32]Place{}}
	if !o.Since.Before(o.Until) {
		return r, refuse(fault.Malformed, "the period ends (%s) before it begins (%s)", stamp(o.Until), stamp(o.Since))
	}
	admin := kadm.NewClient(o.Client)
	starts, err := listed(admin.ListStartOffsets(ctx, r.Topic))
	if err != nil {
		return r, stream.Classify(fmt.Errorf("asking where %s begins: %w", r.Topic, err))
	}
	from, err := listed(admin.ListOffsetsAfterMilli(ctx, o.Since.UnixMilli(), r.Topic))
	if err != nil {
		return r, stream.Classify(fmt.Errorf("looking for %s in %s: %w", stamp(o.Since), r.Topic, err))
	}
	to, err := listed(admin.ListOffsetsAfterMilli(ctx, o.Until.UnixMilli(), r.Topic))
	if err != nil {
		return r, stream.Classify(fmt.Errorf("looking for %s in %s: %w", stamp(o.Until), r.Topic, err))
	}
	if len(from[r.Topic]) == 0 {
		return r, refuse(fault.NotFound, "there is no topic %s: `throughline topics apply` makes those of the sources", r.Topic)
	}
	// What a transaction holds that is not over yet nobody has read, so it comes by itself.
	over, err := listed(admin.ListCommittedOffsets(ctx, r.Topic))
	if err != nil {
		return r, stream.Classify(fmt.Errorf("asking which transactions of %s are over: %w", r.Topic, err))
	}
	var oldest time.Time // where a partition has lost something of the period, perhaps
	emptied := func(g Gone) bool { return g.Oldest.IsZero() }
	from.Each(func(f kadm.ListedOffset) {
		end, _ := to.Lookup(f.Topic, f.Partition)
		stable, _ := over.Lookup(f.Topic, f.Partition)
		r.Places[f.Partition] = Place{Next: f.Offset, End: min(end.Offset, stable.Offset)}
		start, _ := starts.Lookup(f.Topic, f.Partition)
		if start.Offset == 0 || f.Offset != start.Offset {
			return
		}
		gone := Gone{Partition: f.Partition, To: start.Offset}
		switch {
		case f.Timestamp > 0 && time.UnixMilli(f.Timestamp).After(o.Since):
			gone.Oldest = time.UnixMilli(f.Timestamp)
		case f.Timestamp <= 0: // no record is left, and nobody knows of when they were
		default:
			return
		}
		if gone.Oldest.After(oldest) {
			oldest = gone.Oldest
		}
		r.Gone = append(r.Gone, gone)
	})
	slices.SortFunc(r.Gone, func(a, b Gone) int { return int(a.Partition - b.Partition) })
	var keeps time.Time
	if slices.ContainsFunc(r.Gone, emptied) {
		// Who reads and writes the topic may not be allowed to know its settings: then they may have been of the period.
		keeps, err = keepsSince(ctx, admin, r.Topic, time.Now())
		switch {
		case err != nil && (!o.FromOldest || !errors.Is(err, kerr.TopicAuthorizationFailed)):
			return r, err
		case err == nil && !o.Since.Before(keeps):
			r.Gone = slices.DeleteFunc(r.Gone, emptied)
		}
	}
	if len(r.Gone) == 0 || o.FromOldest {
		return r, nil
	}
	if keeps.After(oldest) && slices.ContainsFunc(r.Gone, emptied) {
		oldest = keeps
	}
	return r, refuse(fault.NotFound, "retention has passed %s: of %s may be gone %s; replay from when on all is there (--since %s), or what is left of the period (--from-oldest)",
		stamp(o.Since), r.Topic, goneText(r.Gone), stamp(oldest))
}

// listed makes a partition's error that of the answer.
func listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err == nil {
		err = offsets.Error()
	}
	return offsets, err
}

// keepsSince gives since when the topic keeps all records, by its retention; zero: for ever.
func keepsSince(ctx context.Context, admin *kadm.Client, topic string, now time.Time) (time.Time, error) {
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return time.Time{}, stream.Classify(fmt.Errorf("asking how long %s keeps records: %w", topic, err))
	}
	config, err := configs.On(topic, nil)
	if err == nil {
		err = config.Err
	}
	if err != nil {
		return time.Time{}, stream.Classify(fmt.Errorf("asking how long %s keeps records: %w", topic, err))
	}
	for _, c := range config.Configs {
		if c.Key == "retention.ms" {
			if ms, err := strconv.ParseInt(c.MaybeValue(), 10, 64); err == nil && ms >= 0 {
				return now.Add(-time.Duration(ms) * time.Millisecond), nil
			}
		}
	}
	return time.Time{}, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Start writes a replay down, for Run.
func Start(ctx context.Context, pool *pgxpool.Pool, r Replay) (Replay, error) {
	places, err := json.Marshal(r.Places)
	if err != nil {
		return r, fmt.Errorf("describing the replay: %w", err)
	}
	if r.Types == nil {
		r.Types = []string{}
	}
	err = pool.QueryRow(ctx, `INSERT INTO replays (source, topic, since, until, types, places, started_by, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id, created_at`,
		r.Source, r.Topic, r.Since, r.Until, r.Types, string(places), r.StartedBy, r.Reason).Scan(&r.ID, &r.CreatedAt)
	return r, broken("beginning a replay", err)
}

// List lists replays, the newest first, at most limit.
func List(ctx context.Context, pool *pgxpool.Pool, limit int) ([]Replay, error) {
	return query(ctx, pool, "ORDER BY id DESC LIMIT $1", limit)
}

// Find gives one replay. It is NotFound where there is none.
func Find(ctx context.Context, pool *pgxpool.Pool, id int64) (Replay, error) {
	list, err := query(ctx, pool, "WHERE id = $1", id)
	if err == nil && len(list) == 0 {
		err = refuse(fault.NotFound, "there is no replay %d: `throughline replay --list` shows them", id)
	}
	if err != nil {
		return Replay{}, err
	}
	return list[0], nil
}

func query(ctx context.Context, pool *pgxpool.Pool, rest string, args ...any) ([]Replay, error) {
	rows, err := pool.Query(ctx, "SELECT id, source, topic, since, until, types, places, read, published, started_by, reason, created_at, finished_at FROM replays "+rest, args...)
	if err != nil {
		return nil, broken("reading replays", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Replay, error) {
		var r Replay
		var places []byte
		var finished *time.Time
		err := row.Scan(&r.ID, &r.Source, &r.Topic, &r.Since, &r.Until, &r.Types, &places, &r.Read, &r.Published, &r.StartedBy, &r.Reason, &r.CreatedAt, &finished)
		if finished != nil {
			r.FinishedAt = *finished
		}
		return r, errors.Join(err, json.Unmarshal(places, &r.Places))
	})
	return list, broken("reading replays", err)
}

// Count reads what is left of a replay, as Run does, and gives how much of it would be published. It writes nothing.
func Count(ctx context.Context, o Options, r Replay) (Replay, error) {
	r.Places = maps.Clone(r.Places)
	left := maps.Clone(r.Places)
	o.Pool = nil
	err := each(ctx, o, &r)
	r.Places = left
	return r, err
}

// KnownTypes gives the event types that the drift service has seen of a source.
func KnownTypes(ctx context.Context, pool *pgxpool.Pool, source string) ([]string, error) {
	rows, err := pool.Query(ctx, "SELECT DISTINCT event_type FROM payload_types WHERE source = $1", source)
	if err != nil {
		return nil, broken("looking for the types of events", err)
	}
	types, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return types, broken("looking for the types of events", err)
}

// IsHere reports whether an event of a type is on a timeline or in quarantine. Where none is it reads all of the quarantine.
func IsHere(ctx context.Context, pool *pgxpool.Pool, source, eventType string) (bool, error) {
	var here bool
	err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM quarantine WHERE source = $1 AND event_type = $2) OR EXISTS (SELECT FROM account_events WHERE source = $1 AND event_type = $2)`, source, eventType).Scan(&here)
	return here, broken("looking for events of a type", err)
}

// Run publishes what is left of a replay, and gives it as it is then. Behind what retention has taken meanwhile it goes on,
// and names it (Replay.Gone); an error leaves it where it is, for another Run.
func Run(ctx context.Context, o Options, r Replay) (Replay, error) {
	if err := each(ctx, o, &r); err != nil {
		return r, err
	}
	err := o.Pool.QueryRow(ctx, "UPDATE replays SET finished_at = now(), updated_at = now() WHERE id = $1 RETURNING finished_at", r.ID).Scan(&r.FinishedAt)
	return r, broken("finishing the replay", err)
}

// fetched goes on behind what was deleted before it was fetched. The partition may begin behind what was fetched by now.
func (r *Replay) fetched(p kgo.FetchTopicPartition) {
	start := p.LogStartOffset
	if len(p.Records) > 0 {
		start = min(start, p.Records[0].Offset)
	}
	r.pass(p.Partition, start)
}

// pass goes on where a partition begins.
func (r *Replay) pass(partition int32, start int64) {
	p := r.Places[partition]
	if to := min(start, p.End); p.Next < to {
		r.Gone = append(r.Gone, Gone{Partition: partition, From: p.Next, To: to})
		p.Next = to
		r.Places[partition] = p
	}
}

// passGone goes on behind what the topic does not have any more.
func (r *Replay) passGone(ctx context.Context, client *kgo.Client) error {
	starts, err := listed(kadm.NewClient(client).ListStartOffsets(ctx, r.Topic))
	if err != nil {
		return stream.Classify(fmt.Errorf("asking where %s begins: %w", r.Topic, err))
	}
	starts.Each(func(s kadm.ListedOffset) { r.pass(s.Partition, s.Offset) })
	return nil
}

func refuse(reason fault.Reason, format string, args ...any) error {
	return fault.Permanent(reason, fmt.Errorf(format, args...))
}

func broken(doing string, err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}
