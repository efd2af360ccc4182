package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// seedFlag decides every order and every choice of these tests, so that a
// failure can be seen again.
var seedFlag = flag.Uint64("seed", 1, "seed of orders and choices; 0 takes one from the clock")

// newRand gives the test's source of choices, and logs its seed.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (-seed %d gives the same choices)", seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(runner{postgrestest.Main(m)}) }

// runner removes the programs when the tests are done.
type runner struct{ tests *postgrestest.Runner }

func (r runner) Run() int {
	code := r.tests.Run()
	if programs.dir != "" {
		if err := os.RemoveAll(programs.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}

// programs are the services and examples as their users run them: built once
// for all tests, by the first that needs one.
var programs struct {
	once  sync.Once
	flags []string // of go build
	dir   string
	out   []byte
	err   error
}

// buildTimeout bounds a build without any cache, of the standard library too where programs.flags change that.
const buildTimeout = 15 * time.Minute

// program gives the path of a program that was built from ../<path>.
func program(t *testing.T, path string) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "throughline-e2e-"); programs.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
		defer cancel()
		args := append([]string{"build", "-o", programs.dir + string(filepath.Separator)}, programs.flags...)
		build := exec.CommandContext(ctx, "go", append(args, "../receiver", "../normalizer", "../sink", "../quarantine", "../puller", "../learner", "../drift", "../alerter", "../console", "../throughline", "../examples/consumer", "../examples/backfill")...)
		programs.out, programs.err = build.CombinedOutput()
	})
	require.NoError(t, programs.err, "building the programs: %s", programs.out)
	return filepath.Join(programs.dir, filepath.Base(path))
}

// patience bounds what a loaded machine may take for what usually takes
// milliseconds.
const patience = 60 * time.Second

// await asks until done says yes. It fails the test with what it waited for,
// and what done said last, when that has not changed within this time: a slow
// machine may take longer as long as it gets on.
func await(t *testing.T, within time.Duration, what string, done func() (ok bool, state string)) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last := ""; ; {
		ok, state := done()
		if ok {
			return
		}
		if state != last {
			last = state
			deadline.Reset(within)
		}
		select {
		case <-deadline.C:
			require.Fail(t, "waited "+within.String()+" for "+what, state)
		case <-tick.C:
		}
	}
}
