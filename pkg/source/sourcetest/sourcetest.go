package sourcetest

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
)

// update is the -update flag of every test binary that imports this package.
var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Config says what the suite cannot see from outside. Only Secret is needed.
type Config struct {
	// Secret signs the deliveries. OtherSecret is any other of the same form; ""
	// is one for vendors that take any text.
	Secret, OtherSecret string
	// Dir holds the deliveries; "" is testdata.
	Dir string
	// Now is the receiver's clock, in whole seconds; zero is a minute after
	// 1760000000, when most examples happened.
	Now time.Time
	// URL is the public URL; "" is https://hooks.example.com/webhooks/<name>.
	URL string
	// Header is what a delivery carries besides what Sign sets.
	Header http.Header
	// Unsigned names headers that Sign sets and Verify can do without, besides
	// Content-Type and User-Agent.
	Unsigned []string
	// BareToken: the secret itself is sent, so the body is not covered.
	BareToken bool
	// OutsideTenant: the event does not say its tenant, and its identity needs
	// it: from the delivery, or from the setting.
	OutsideTenant bool
	// TypeField is the JSON pointer to the vendor's type in a record, or "" when
	// there is none; UnknownType is a JSON value of it that no source names,
	// "" for the text never.seen_before.
	TypeField   string
	UnknownType string
	// Wrap makes a delivery of these elements. nil: a JSON array if any delivery
	// in Dir is one, else the source takes single events.
	Wrap func(elements [][]byte) []byte
	// Largest is a delivery of nearly Limits.BodyBytes, as hard on memory as the
	// source knows. nil: Wrap of many events, else one event with as many values.
	Largest []byte
	// Retry is the status that makes the vendor send again; 0 is 503.
	Retry int
	// Handshakes are requests that a source.Handshaker answers with a 2xx.
	Handshakes []*http.Request
}

// Run holds src, which must be a source.Signer too, against the contract of
// source.Webhook. It runs in the source's own folder, where go test starts it.
func Run(t *testing.T, src source.Webhook, cfg Config) {
	t.Helper()
	s := newSuite(t, src, cfg)
	for _, c := range s.deliveries {
		t.Run("golden/"+c.name, func(t *testing.T) {
			t.Parallel()
			s.golden(t, c, s.readDelivery(c))
		})
	}
	for _, c := range s.records {
		t.Run("golden/records/"+c.name, func(t *testing.T) {
			t.Parallel()
			s.golden(t, c, goldenFile{Records: []goldenRecord{s.readRecord(s.received(source.Record{Value: c.body}), nil)}})
		})
	}
	for _, c := range s.pages {
		t.Run("golden/pages/"+c.name, func(t *testing.T) {
			t.Parallel()
			s.golden(t, c, s.readPage(t, c))
		})
	}
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if c.name != memoryCheck {
				t.Parallel()
			}
			c.run(s, t)
		})
	}
}

// Fuzz feeds src arbitrary bodies, starting from testdata: whatever comes,
// nothing panics, every refusal is Permanent, and what is described is the same
// twice. Call it from the source's own fuzz target.
func Fuzz(f *testing.F, src source.Webhook) {
	f.Helper()
	s := newSuite(f, src, Config{Secret: "whsec_for_the_fuzzer"})
	for _, c := range slices.Concat(s.deliveries, s.records, s.pages) {
		f.Add(c.body)
	}
	for _, seed := range hostile() {
		const short = 1_000 // the fuzzer takes minutes to minimize what grows out of a long one
		if len(seed) <= short {
			f.Add([]byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for part, err := range src.Split(s.delivery(body)) {
			if err != nil {
				requirePermanent(t, err)
				break
			}
			s.requireSound(t, s.record(part))
		}
		s.requireSound(t, source.Record{Value: body})
		s.requireListed(t, body)
	})
}

// suite is one source with its examples read.
type suite struct {
	src        source.Webhook
	cfg        Config
	deliveries []file
	records    []file
	pages      []file
}

type file struct {
	name   string
	golden string
	body   []byte
}

// check is one property. It takes a require.TestingT so that the suite's own
// tests can watch it fail.
type check struct {
	name string
	run  func(*suite, require.TestingT)
}

func checks() []check {
	return slices.Concat(verifyChecks(), splitChecks(), describeChecks(), identityChecks(), replyChecks())
}

func newSuite(t testing.TB, src source.Webhook, cfg Config) *suite {
	t.Helper()
	require.NotEmpty(t, strings.TrimSpace(cfg.Secret), "Config.Secret")
	if cfg.Dir == "" {
		cfg.Dir = "testdata"
	}
	if cfg.Now.IsZero() {
		cfg.Now = time.Unix(1_760_000_060, 0).UTC()
	}
	if cfg.URL == "" {
		cfg.URL = "https://hooks.example.com/webhooks/" + src.Name()
	}
	if cfg.OtherSecret == "" {
		cfg.OtherSecret = "another-secret-of-nobody-0123456789"
	}
	if cfg.UnknownType == "" {
		cfg.UnknownType = `"never.seen_before"`
	}
	if cfg.Retry == 0 {
		cfg.Retry = http.StatusServiceUnavailable
	}
	s := &suite{
		src: src, cfg: cfg, deliveries: files(t, cfg.Dir),
		records: files(t, filepath.Join(cfg.Dir, "records")), pages: files(t, filepath.Join(cfg.Dir, "pages")),
	}
	require.NotEmpty(t, s.deliveries, "no delivery in %s", cfg.Dir)
	for _, c := range s.deliveries {
		if cfg.Wrap == nil && bytes.HasPrefix(bytes.TrimSpace(c.body), []byte("[")) {
			s.cfg.Wrap = wrapArray
		}
	}
	return s
}

func files(t testing.TB, dir string) []file {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.*"))
	require.NoError(t, err)
	var out []file
	for _, path := range paths {
		if strings.HasSuffix(path, ".golden.json") {
			continue
		}
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		base := strings.TrimSuffix(path, filepath.Ext(path))
		out = append(out, file{name: filepath.Base(base), golden: base + ".golden.json", body: body})
	}
	return out
}

func wrapArray(elements [][]byte) []byte {
	return append(append([]byte("["), bytes.Join(elements, []byte(","))...), ']')
}

// delivery gives a fresh, unsigned delivery of body.
func (s *suite) delivery(body []byte) *source.Delivery {
	header := s.cfg.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return &source.Delivery{
		Method: http.MethodPost, URL: s.cfg.URL, Header: header, Body: bytes.Clone(body), ReceivedAt: s.cfg.Now,
	}
}

// split collects the records of what Split yields, up to its first error.
func (s *suite) split(body []byte) (records []source.Record, err error) {
	for part, err := range s.src.Split(s.delivery(body)) {
		if err != nil {
			return records, err
		}
		records = append(records, s.record(part))
	}
	return records, nil
}

// record is a part's as the receiver makes it.
func (s *suite) record(p source.Part) source.Record {
	return s.received(source.Record{Value: p.Value, Object: p.Object, Tenant: p.Tenant})
}

// received is r with the mode and time of a delivery.
func (s *suite) received(r source.Record) source.Record {
	r.ReceivedAt, r.Mode = s.cfg.Now, source.ModeWebhook
	return r
}

// hostile are bodies that have broken readers of JSON before.
func hostile() []string {
	return []string{
		``, `null`, `7`, `"text"`, `[]`, `{}`, `[{}]`, `[[]]`, `[null,7,"x",{}]`, `{"a":`, "\xef\xbb\xbf{}",
		`{"id":{},"type":[],"created":{},"data":7}`, `{"id":1e400,"type":1180591620717411303424,"created":"never"}`,
		`{"id":"\u0000","type":"\ud800"}`, "{\"id\":\"\xff\"}", `{"id":"a","id":"b"}`,
		strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 1_000), "\x00", `{"":""}`,
	}
}
