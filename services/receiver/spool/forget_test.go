package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// What was delivered stands in free pages until they are used again, or until the next start.
func TestAStartForgetsWhatWasDelivered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &brokers{}
	open := func() *Spool {
		s, err := Open(Options{Dir: dir, MaxBytes: 1 << 30, Publish: b.publish, PublishTimeout: patience, Log: zap.NewNop()})
		require.NoError(t, err)
		return s
	}
	s := open()
	require.NoError(t, s.Append(delivery("kim.lindqvist@nimbus.example")))
	stop := run(t, s)
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, 1e6)
	stop()
	require.NoError(t, s.Close())
	require.NoError(t, open().Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(text), "lindqvist", file)
	}
	require.Len(t, b.values(), 1)
}
