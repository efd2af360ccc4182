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
	"github.com/throughline-dev/throughline/pkg/retry"
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
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, fmt.Sprintf("held by another process (process %d on ", os.Getpid()))
	require.NoError(t, s.Close())
	require.Error(t, s.Append(delivery("x")), "a closed spool takes nothing")
}

func TestWhatCannotBePublishedIsSetAside(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &brokers{refuse: "refused"}
	s, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, Publish: b.publish, PublishTimeout: time.Second, Log: zap.NewNop()})
	require.NoError(t, err)
	for _, v := range append(numbered(0, 9), "refused", "9") {
		require.NoError(t, s.Append(delivery(v)))
	}
	require.NoError(t, s.store.append([]byte("not an entry")))
	require.NoError(t, s.Append(delivery("10")))
	stop := run(t, s)
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	stop()
	require.Equal(t, numbered(0, 11), b.values(), "the others, once each and in order")
	require.EqualValues(t, 2, s.SetAside())
	require.EqualValues(t, 11, s.Drained())
	kept, err := filepath.Glob(filepath.Join(dir, "aside-*"))
	require.NoError(t, err)
	require.Len(t, kept, 2)
	content, err := os.ReadFile(kept[0])
	require.NoError(t, err)
	records, err := decode(content)
	require.NoError(t, err)
	require.Equal(t, "refused", string(records[0].Value))

	// They take of the bound, also after a restart.
	size := s.asideBytes.Load()
	require.Positive(t, size)
	require.NoError(t, s.Close())
	s, err = Open(Options{Dir: dir, MaxBytes: size + 10, Publish: b.publish, Log: zap.NewNop()})
	require.NoError(t, err)
	require.ErrorContains(t, s.Append(delivery("11")), "full")
	require.NoError(t, s.Close())
}

// What was acknowledged is not published again because the disk does not let it
// be removed.
func TestARemovalIsTriedAgainAlone(t *testing.T) {
	t.Parallel()
	b := &brokers{}
	s := open(t, t.TempDir(), b, 1<<20)
	require.NoError(t, s.Append(delivery("0")))
	ctx, cancel := context.WithCancel(t.Context())
	published := s.o.Publish
	s.o.Publish = func(ctx context.Context, records ...*kgo.Record) error {
		require.NoError(t, s.Close()) // so that nothing can be removed
		return published(ctx, records...)
	}
	tries := 0
	s.told = &retry.Told{State: func(error) {
		if tries++; tries == 3 {
			cancel()
		}
	}}
	require.NoError(t, s.Run(ctx))
	require.Equal(t, 3, tries)
	require.Equal(t, numbered(0, 1), b.values())
}

func TestRefusesTheOldFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	segment := filepath.Join(dir, fmt.Sprintf("%020d", 1))
	require.NoError(t, os.WriteFile(segment, nil, 0o600))
	s := open(t, dir, &brokers{}, 1<<20)
	require.NoError(t, s.Close(), "an empty one has nothing to lose")
	require.NoError(t, os.WriteFile(segment, []byte("an entry"), 0o600))
	_, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, Log: zap.NewNop()})
	require.ErrorContains(t, err, segment)
	require.ErrorContains(t, err, "run that version until its spool is empty")
}

func TestADamagedFileIsAnError(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	dir := t.TempDir()
	s := open(t, dir, &brokers{}, 1<<20)
	for range 3 {
		require.NoError(t, s.Append(delivery(strings.Repeat("x", page))))
	}
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	require.NoError(t, err)
	for damage, change := range map[string]func([]byte){
		"not a spool": func(content []byte) { clear(content) },
		"lost pages":  func(content []byte) { clear(content[2*page:]) },
		"noise": func(content []byte) {
			for i := 2 * page; i < len(content); i++ {
				content[i] = 0xff
			}
		},
	} {
		content := append([]byte(nil), whole...)
		change(content)
		dir := t.TempDir() // of its own: the library keeps the lock when it panics
		require.NoError(t, os.WriteFile(filepath.Join(dir, fileName), content, 0o600))
		_, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, Log: zap.NewNop()})
		require.ErrorContains(t, err, filepath.Join(dir, fileName), damage)
	}
}

// The file is as large as what waited at most, not as all that ever waited, and
// small again after a start without anything that waits.
func TestTheFileIsBounded(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &brokers{}
	const keepBytes = 8 << 20
	const bound = 4 * keepBytes
	s := open(t, dir, b, bound)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, fileName))
		require.NoError(t, err)
		return info.Size()
	}
	large := delivery(strings.Repeat("x", 3000)) // half of a page's room is lost
	for range 2 {
		for {
			var group sync.WaitGroup
			errs := make([]error, 200)
			for i := range errs {
				group.Go(func() { errs[i] = s.Append(large) })
			}
			group.Wait()
			if err := errors.Join(errs...); err != nil {
				require.ErrorContains(t, err, "full")
				break
			}
		}
		require.Greater(t, s.Bytes(), int64(bound/2))
		require.Less(t, size(), int64(bound+bound/4))
		stop := run(t, s)
		require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
		stop()
	}
	require.NoError(t, s.Close())
	require.Greater(t, size(), int64(keepBytes))
	s = open(t, dir, b, bound)
	require.Less(t, size(), int64(1<<20))
	require.NoError(t, s.Append(delivery("again")))
	require.NoError(t, s.Close())
	s = open(t, dir, b, bound)
	require.EqualValues(t, 1, s.Deliveries())
	require.NoError(t, s.Close())
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
