package sourcetest

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGoodSourcePasses(t *testing.T) {
	t.Parallel()
	Run(t, newFake(""), fakeConfig())
}

func FuzzFake(f *testing.F) { Fuzz(f, newFake("")) }

func BenchmarkFake(b *testing.B) { Bench(b, newFake("")) }

// breaks gives, for each break of the contract, the check that finds it.
func breaks() map[string]string {
	return map[string]string{
		"takes nothing":                     "verify/round trip",
		"changes the body":                  "verify/round trip",
		"says the wrong key":                "verify/rotation",
		"no time needed":                    "verify/headers",
		"any case":                          "verify/every bit of the signature",
		"first byte not covered":            "verify/every bit of the body",
		"takes anything":                    "verify/other secret",
		"prints the header":                 "verify/other secret",
		"opens nothing":                     "verify/other secret",
		"white space not covered":           "verify/body",
		"url not covered":                   "verify/url",
		"no window":                         "verify/window",
		"changes bytes":                     "split/exact bytes",
		"no limit":                          "split/limit",
		"one bad spoils all":                "split/bad elements",
		"an error without a mark":           "split/hostile bodies",
		"goes on":                           "split/early stop",
		"not again":                         "split/again",
		"a type twice":                      "profile",
		"a kind of its own":                 "describe/sound",
		"an id of its length":               "describe/sound",
		"drops unknown types":               "describe/unknown type",
		"a type of what is refused":         "describe/type alone",
		"a type of its own":                 "describe/type alone",
		"never a type":                      "describe/type alone",
		"an id of its way":                  "identity/however it came",
		"an id of its time":                 "identity/however it came",
		"an id of its bytes":                "identity/however it is written",
		"an id of its order":                "identity/however it is written",
		"an id of its attempt":              "identity/volatile members",
		"a volatile member that is nowhere": "identity/volatile members",
		"a form of its bytes":               "identity/contradiction",
		"the setting counts first":          "identity/tenant",
		"all is a list":                     "identity/element of a page",
		"refuses what was taken":            "reply/accepted",
		"spoils the body":                   "reply/accepted",
		"not what it says":                  "reply/accepted",
		"ends the subscription":             "reply/again",
		"tells what is inside":              "reply/again",
		"asks for ever":                     "reply/stop",
		"takes any text":                    "media",
		"no content type":                   "media",
		"answers a delivery":                "handshake",
		"answers what nobody asks":          "handshake",
	}
}

// fail reports whether this check fails for a source that is broken in this way.
func fail(t *testing.T, name, broken string) bool {
	t.Helper()
	s := newSuite(t, newFake(broken), fakeConfig())
	i := slices.IndexFunc(checks(), func(c check) bool { return c.name == name })
	require.GreaterOrEqual(t, i, 0, "no such check")
	return fails(func(r require.TestingT) { checks()[i].run(s, r) })
}

// It is not parallel: what it holds would be found in other sources.
func TestSourceThatHoldsMuchFails(t *testing.T) {
	require.True(t, fail(t, memoryCheck, "holds much"))
}

// TestBadSourcesFail: each check fails for a source that is broken in its way,
// and there is none without such a source.
func TestBadSourcesFail(t *testing.T) {
	t.Parallel()
	found := breaks()
	for _, c := range checks() {
		shown := c.name == memoryCheck || slices.Contains(slices.Collect(maps.Values(found)), c.name)
		require.True(t, shown, "no source shows that %s can fail", c.name)
	}
	for broken, name := range found {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			require.True(t, fail(t, name, broken))
		})
	}
}

// recorder is a test that only remembers that it failed.
type recorder struct{ failed bool }

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) FailNow()              { panic(r) }

// fails reports whether a check failed, or panicked as a range loop does whose
// function goes on.
func fails(run func(require.TestingT)) (failed bool) {
	r := &recorder{}
	defer func() { failed = recover() != nil || r.failed }()
	run(r)
	return
}
