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
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func TestGoodSourcePasses(t *testing.T) {
	t.Parallel()
	Run(t, fake{}, Config{Secret: "fake-secret", TypeField: "/kind"})
}

func FuzzFake(f *testing.F) { Fuzz(f, fake{}) }

// TestBadSourcesFail: for each break of the contract, the check that finds it.
func TestBadSourcesFail(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fake  fake
		check string
	}{
		"takes anything":          {fake{verify: func(*source.Delivery, time.Time) (int, error) { return 0, nil }}, "verify/other secret"},
		"no window":               {fake{anyTime: true}, "verify/window"},
		"says the wrong key":      {fake{firstKey: true}, "verify/rotation"},
		"prints the header":       {fake{loud: true}, "verify/other secret"},
		"changes bytes":           {fake{split: one([]byte(`{"x":1}`))}, "split/exact bytes"},
		"no limit":                {fake{limitless: true}, "split/limit"},
		"a new id each time":      {fake{describe: func(r source.Record) string { return fmt.Sprint(r.ReceivedAt, r.Mode) }}, "describe/identity"},
		"an error without a mark": {fake{unmarked: true}, "split/hostile bodies"},
		"drops unknown types":     {fake{known: true}, "describe/unknown type"},
		"sends 410":               {fake{status: 410}, "reply"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, tt.fake, Config{Secret: "fake-secret", TypeField: "/kind"})
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
	verify                                    func(*source.Delivery, time.Time) (int, error)
	split                                     iter.Seq2[source.Part, error]
	describe                                  func(source.Record) string
	anyTime, firstKey, loud, limitless, known bool
	unmarked                                  bool
	status                                    int
}

func one(value []byte) iter.Seq2[source.Part, error] {
	return func(yield func(source.Part, error) bool) { yield(source.Part{Value: value}, nil) }
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

func (fake) Sign(d *source.Delivery, secret string, now time.Time) error {
	at := strconv.FormatInt(now.Unix(), 10)
	d.Header.Set("Fake-Time", at)
	d.Header.Set("Fake-Signature", mac(secret, at, d.Body))
	return nil
}

func (f fake) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewKeyring(secrets...)
	return fakeVerifier{f, keys}, err
}

type fakeVerifier struct {
	fake
	keys source.Keyring
}

func (f fakeVerifier) Verify(d *source.Delivery, now time.Time) (int, error) {
	if f.verify != nil {
		return f.verify(d, now)
	}
	at, got := d.Header.Get("Fake-Time"), d.Header.Get("Fake-Signature")
	text := "the signature does not match"
	if f.loud {
		text += ": " + got
	}
	signed, err := strconv.ParseInt(at, 10, 64)
	inWindow := source.InWindow(time.Unix(signed, 0), now, time.Minute)
	if key, ok := f.keys.Match(func(s string) bool { return hmac.Equal([]byte(mac(s, at, d.Body)), []byte(got)) }); ok && err == nil && (inWindow || f.anyTime) {
		if f.firstKey {
			key = 0
		}
		return key, nil
	}
	return 0, fault.Permanent(fault.Unauthenticated, errors.New(text))
}

func (f fake) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	if f.split != nil {
		return f.split
	}
	limit := f.Profile().Limits.Events
	if f.limitless {
		limit = 1 << 30
	}
	return source.Parts(d, limit)
}

func (f fake) Describe(r source.Record) (source.Event, error) {
	kind := r.Object.Get("kind").Text()
	if f.known && kind != "thing_made" {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("unknown kind"))
	}
	at, err := source.ParseTime(r.Object.Get("at").Literal())
	if err != nil {
		if f.unmarked {
			err = errors.New("no time")
		}
		return source.Event{}, err
	}
	id := r.Object.Get("key").Literal()
	refs := source.References{Source: "fake"}
	refs.Add("thing", id)
	if f.describe != nil {
		id = f.describe(r)
	}
	return source.Event{ID: id, Type: source.TypeName(kind), OccurredAt: at, References: refs.List()}, nil
}

func (f fake) Reply(_ *source.Delivery, outcome error) source.Response {
	reply := source.DefaultReply(outcome)
	if f.status != 0 && outcome != nil {
		reply.Status = f.status
	}
	return reply
}
