package sourcetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func TestGoodSourcePasses(t *testing.T) {
	t.Parallel()
	Run(t, fake{}, Config{Secret: "fake-secret", TypeField: "kind"})
}

func FuzzFake(f *testing.F) { Fuzz(f, fake{}) }

// TestBadSourcesFail: for each break of the contract, the check that finds it.
func TestBadSourcesFail(t *testing.T) {
	t.Parallel()
	good, _ := newSuite(t, fake{}, Config{Secret: "fake-secret"}).split([]byte(`{"key":"1","kind":"a","at":1760000000}`))
	tests := map[string]struct {
		fake  fake
		check string
	}{
		"takes anything":          {fake{verify: func(*source.Delivery, source.Keyring, time.Time) (int, error) { return 0, nil }}, "verify/other secret"},
		"no window":               {fake{anyTime: true}, "verify/window"},
		"says the wrong key":      {fake{firstKey: true}, "verify/rotation"},
		"prints the header":       {fake{loud: true}, "verify/other secret"},
		"changes bytes":           {fake{split: one([]byte(`{"x":1}`))}, "split/exact bytes"},
		"no key":                  {fake{split: one(good[0].Value)}, "split/keys"},
		"no limit":                {fake{limitless: true}, "split/limit"},
		"a new id each time":      {fake{describe: func(r source.Record) string { return fmt.Sprint(r.ReceivedAt, r.Mode) }}, "describe/identity"},
		"an error without a mark": {fake{unmarked: true}, "split/hostile bodies"},
		"drops unknown types":     {fake{known: true}, "describe/unknown type"},
		"sends 410":               {fake{status: 410}, "reply"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, tt.fake, Config{Secret: "fake-secret", TypeField: "kind"})
			for _, c := range checks() {
				if c.name == tt.check {
					require.True(t, fails(func(r require.TestingT) { c.run(s, r) }))
					return
				}
			}
			require.Fail(t, "no such check")
		})
	}
}

// recorder is a test that only remembers that it failed.
type recorder struct{ failed bool }

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) FailNow()              { panic(r) }

func fails(run func(require.TestingT)) (failed bool) {
	r := &recorder{}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		failed = r.failed
	}()
	run(r)
	return
}

// fake is the smallest source there is, with one way to be wrong per field.
type fake struct {
	verify                                              func(*source.Delivery, source.Keyring, time.Time) (int, error)
	split                                               iter.Seq2[source.Record, error]
	describe                                            func(source.Record) string
	anyTime, firstKey, loud, limitless, unmarked, known bool
	status                                              int
}

func one(value []byte) iter.Seq2[source.Record, error] {
	return func(yield func(source.Record, error) bool) { yield(source.Record{Value: value}, nil) }
}

func (fake) Name() string { return "fake" }

func (fake) Profile() source.Profile {
	return source.Profile{
		Title:           "Fake",
		Limits:          source.Limits{BodyBytes: 1 << 20, Events: 20},
		Kinds:           []source.Kind{{Name: "thing"}},
		Types:           []source.EventType{{Vendor: "thing_made", Type: "thing.made"}},
		SignatureWindow: time.Minute,
	}
}

func mac(secret, at string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(at + "."))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

func (fake) Sign(d *source.Delivery, secret string, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	d.Header.Set("Fake-Time", at)
	d.Header.Set("Fake-Signature", mac(secret, at, d.Body))
}

func (f fake) Verify(d *source.Delivery, keys source.Keyring, now time.Time) (int, error) {
	if f.verify != nil {
		return f.verify(d, keys, now)
	}
	at, got := d.Header.Get("Fake-Time"), d.Header.Get("Fake-Signature")
	text := "the signature does not match"
	if f.loud {
		text += ": " + got
	}
	signed, err := strconv.ParseInt(at, 10, 64)
	inWindow := source.InWindow(time.Unix(signed, 0), now, time.Minute)
	if key, ok := keys.Match(func(s string) bool { return hmac.Equal([]byte(mac(s, at, d.Body)), []byte(got)) }); ok && err == nil && (inWindow || f.anyTime) {
		if f.firstKey {
			key = 0
		}
		return key, nil
	}
	return 0, fault.Permanent(fault.Unauthenticated, errors.New(text))
}

func (f fake) Split(d *source.Delivery) iter.Seq2[source.Record, error] {
	if f.split != nil {
		return f.split
	}
	limit := f.Profile().Limits.Events
	if f.limitless {
		limit = 1 << 30
	}
	return func(yield func(source.Record, error) bool) {
		for value, err := range source.Elements(d.Body, limit) {
			record := source.Record{Value: value}
			if event, derr := f.Describe(record); derr == nil {
				record.Key = source.RecordKey(event.References, event.ID)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

func (f fake) Describe(r source.Record) (source.Event, error) {
	fields := gjson.GetManyBytes(r.Value, "key", "kind", "at")
	if f.known && fields[1].String() != "thing_made" {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("unknown kind"))
	}
	at, err := source.ParseTime(fields[2].Raw)
	if err != nil {
		if f.unmarked {
			err = errors.New("no time")
		}
		return source.Event{}, err
	}
	id := fields[0].String()
	if f.describe != nil {
		id = f.describe(r)
	}
	refs := source.References{Source: "fake"}
	refs.Add("thing", fields[0].String())
	return source.Event{ID: id, Type: source.TypeName(fields[1].String()), OccurredAt: at, References: refs.List()}, nil
}

func (f fake) Reply(outcome error) source.Response {
	reply := source.DefaultReply(outcome)
	if f.status != 0 && outcome != nil {
		reply.Status = f.status
	}
	return reply
}
