package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/local/filelock"
)

const patience = 30 * time.Second

// brokers stand in for stream.Publisher.Publish: up, down, or refusing some
// records for good.
type brokers struct {
	mu      sync.Mutex
	down    bool
	refuse  string
	written []string
}

var errDown = fault.Transient(fault.Unavailable, errors.New("no broker"))

func (b *brokers) publish(_ context.Context, records ...*kgo.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errDown
	}
	for _, r := range records {
		if b.refuse != "" && string(r.Value) == b.refuse {
			return fault.Permanent(fault.Oversized, errors.New("too large for the topic"))
		}
	}
	for _, r := range records {
		b.written = append(b.written, string(r.Value))
	}
	return nil
}

func (b *brokers) set(change func(*brokers)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *brokers) values() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.written...)
}

func open(t *testing.T, dir string, b *brokers, maxBytes int64) *Spool {
	t.Helper()
	s, err := Open(Options{Dir: dir, MaxBytes: maxBytes, Publish: b.publish, PublishTimeout: time.Second, Log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))})
	require.NoError(t, err)
	return s
}

// run drains until the test ends it.
func run(t *testing.T, s *Spool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func delivery(values ...string) (records []*kgo.Record) {
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: "raw.marketo", Key: []byte("k"), Value: []byte(v)})
	}
	return records
}

func numbered(from, to int) (values []string) {
	for i := from; i < to; i++ {
		values = append(values, fmt.Sprint(i))
	}
	return values
}

func TestDrainsInOrderAfterAnOutageAndARestart(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &brokers{down: true}
	s := open(t, dir, b, 1<<20)
	require.False(t, s.Engaged())
	stop := run(t, s)
	for _, v := range numbered(0, 50) {
		require.NoError(t, s.Append(delivery(v)))
	}
	stop()
	require.NoError(t, s.Close())
	require.Empty(t, b.values())

	s = open(t, dir, b, 1<<20)
	require.True(t, s.Engaged())
	require.EqualValues(t, 50, s.Deliveries())
	require.Positive(t, s.Bytes())
	stop = run(t, s)
	require.NoError(t, s.Append(delivery("50", "51")))
	b.set(func(b *brokers) { b.down = false })
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.Equal(t, numbered(0, 52), b.values())
	require.Zero(t, s.Bytes())
	require.EqualValues(t, 51, s.Drained())

	// Empty and reopened, it goes on where it was.
	stop()
	require.NoError(t, s.Close())
	s = open(t, dir, b, 1<<20)
	defer func() { require.NoError(t, s.Close()) }()
	require.False(t, s.Engaged())
	defer run(t, s)()
	require.NoError(t, s.Append(delivery("52")))
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.Equal(t, numbered(0, 53), b.values())
}

func TestManySegments(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &brokers{}
	s := open(t, dir, b, 64<<20)
	var want []string
	for i := range 20 {
		v := fmt.Sprint(i) + strings.Repeat("x", segmentBytes/3)
		want = append(want, v)
		require.NoError(t, s.Append(delivery(v)))
	}
	require.NoError(t, s.Close())
	s = open(t, dir, b, 64<<20)
	defer func() { require.NoError(t, s.Close()) }()
	defer run(t, s)()
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.Equal(t, want, b.values())
	segments, err := filepath.Glob(filepath.Join(dir, "0*"))
	require.NoError(t, err)
	require.Len(t, segments, 1, "published segments stay on disk")
}

func TestFull(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &brokers{down: true}, 500)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Append(delivery(strings.Repeat("x", 300))))
	err := s.Append(delivery(strings.Repeat("x", 300)))
	require.ErrorContains(t, err, "full")
	require.False(t, fault.IsPermanent(err))
	require.NoError(t, s.Append(delivery("small")), "what fits still fits")
}

func TestConcurrentAppendsShareOneSync(t *testing.T) {
	t.Parallel()
	b := &brokers{}
	s := open(t, t.TempDir(), b, 1<<20)
	defer func() { require.NoError(t, s.Close()) }()
	defer run(t, s)()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if err := s.Append(delivery(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.ElementsMatch(t, numbered(0, 200), b.values())
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &brokers{}, 1<<20)
	_, err := Open(Options{Dir: dir, MaxBytes: 1, Log: zap.NewNop()})
	require.ErrorIs(t, err, filelock.ErrHeld)
	require.NoError(t, s.Close())
	require.Error(t, s.Append(delivery("x")), "a closed spool takes nothing")
}

func TestWhatCannotBePublishedIsSetAside(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &brokers{refuse: "refused"}
	s, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, Publish: b.publish, PublishTimeout: time.Second, Log: zap.NewNop()})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for _, v := range []string{"0", "refused", "1"} {
		require.NoError(t, s.Append(delivery(v)))
	}
	require.NoError(t, s.journal.append([][]byte{[]byte("not an entry")}))
	require.NoError(t, s.Append(delivery("2")))
	defer run(t, s)()
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.Equal(t, numbered(0, 3), b.values())
	require.EqualValues(t, 2, s.SetAside())
	require.EqualValues(t, 3, s.Drained())
	kept, err := os.ReadFile(filepath.Join(dir, "aside-2"))
	require.NoError(t, err)
	records, err := decode(kept)
	require.NoError(t, err)
	require.Equal(t, "refused", string(records[0].Value))
}

func TestTornTails(t *testing.T) {
	t.Parallel()
	for name, tail := range map[string][]byte{
		"half an entry":             {40, 1, 2, 3},
		"half a length":             {0x80},
		"zeroes":                    make([]byte, 4096),
		"an entry without contents": {1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, b := t.TempDir(), &brokers{}
			s := open(t, dir, b, 1<<20)
			for _, v := range numbered(0, 3) {
				require.NoError(t, s.Append(delivery(v)))
			}
			require.NoError(t, s.Close())
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%020d", 1)), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write(tail)
			require.NoError(t, errors.Join(err, f.Close()))
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.START.TEMP", 2)), []byte("unfinished"), 0o600))

			s = open(t, dir, b, 1<<20)
			defer func() { require.NoError(t, s.Close()) }()
			require.EqualValues(t, 3, s.Deliveries())
			defer run(t, s)()
			require.NoError(t, s.Append(delivery("3")))
			require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
			require.Equal(t, numbered(0, 4), b.values())
		})
	}
}

func TestSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	accepted := -1
	for accepted < 100 {
		_, err := fmt.Fscan(out, &accepted)
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Process.Kill())
	for {
		if _, err := fmt.Fscan(out, &accepted); err != nil {
			break
		}
	}
	require.ErrorContains(t, cmd.Wait(), "killed")

	b := &brokers{}
	s := open(t, dir, b, 1<<30)
	defer func() { require.NoError(t, s.Close()) }()
	defer run(t, s)()
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	got := b.values()
	require.GreaterOrEqual(t, len(got), accepted+1)
	require.Equal(t, numbered(0, len(got)), got)
}

func TestAFailingDiskIsTransientAndMends(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &brokers{}
	s := open(t, dir, b, 1<<20)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Append(delivery("0")))
	s.journal.mu.Lock()
	require.NoError(t, s.journal.wal.Close()) // as if every write failed
	s.journal.mu.Unlock()
	err := s.Append(delivery("lost"))
	require.Error(t, err)
	require.False(t, fault.IsPermanent(err))
	require.NoError(t, s.Append(delivery("1")), "the next one finds it reopened")
	defer run(t, s)()
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.Equal(t, numbered(0, 2), b.values())
}
