package filelock_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/filelock"
)

func TestTry(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "lock")

	first, err := filelock.Try(path)
	require.NoError(t, err)

	_, err = filelock.Try(path)
	require.ErrorIs(t, err, filelock.ErrHeld)
	require.ErrorContains(t, err, fmt.Sprintf("process %d", os.Getpid()))

	require.NoError(t, first.Release())
	require.NoError(t, first.Release(), "a second release is harmless")

	second, err := filelock.Try(path)
	require.NoError(t, err)
	require.NoError(t, second.Release())
}

func TestAcquire(t *testing.T) {
	t.Parallel()

	t.Run("GetsInWhenTheHolderLeaves", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lock")
		held, err := filelock.Try(path)
		require.NoError(t, err)

		got := make(chan error, 1)
		go func() {
			lock, err := filelock.Acquire(t.Context(), path)
			if err == nil {
				err = lock.Release()
			}
			got <- err
		}()
		require.NoError(t, held.Release())
		require.NoError(t, <-got)
	})

	t.Run("GivesUpWithItsContext", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lock")
		held, err := filelock.Try(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, held.Release()) }()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = filelock.Acquire(ctx, path)
		require.ErrorIs(t, err, filelock.ErrHeld)
		require.ErrorIs(t, err, context.Canceled)
	})
}
