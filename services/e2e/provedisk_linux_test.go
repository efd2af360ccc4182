//go:build prove

package e2e

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// disk is a file system of its own, in memory, that can be full.
type disk struct {
	dir  string
	size int64
}

// newDisk mounts one. An error says why this machine does not let us.
func newDisk(t *testing.T, dir string, size int64) (*disk, error) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	d := &disk{dir: dir, size: size}
	if err := syscall.Mount("throughline", dir, "tmpfs", 0, d.options(size)); err != nil {
		return nil, fmt.Errorf("mounting a file system in memory (root may): %w", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return d, nil
}

func (*disk) options(size int64) string { return fmt.Sprintf("mode=0755,size=%d", size) }

// fill leaves no room for another page, until empty.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	await(t, patience, d.dir+" to be full", func() (bool, string) { // what is used grows meanwhile
		var now syscall.Statfs_t
		err := syscall.Statfs(d.dir, &now)
		if err == nil {
			used := int64(now.Blocks-now.Bfree) * now.Bsize
			err = syscall.Mount("throughline", d.dir, "tmpfs", syscall.MS_REMOUNT, d.options(used))
		}
		return err == nil, fmt.Sprint(err)
	})
}

func (d *disk) empty(t *testing.T) {
	t.Helper()
	require.NoError(t, syscall.Mount("throughline", d.dir, "tmpfs", syscall.MS_REMOUNT, d.options(d.size)))
}
