package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// capDACOverride is CAP_DAC_OVERRIDE of <linux/capability.h>: file permissions do not apply.
const capDACOverride = 1

// owner is who runs the server: ourselves, or, when we are root, an unprivileged user.
type owner struct {
	drop     bool
	uid, gid uint32
	// override keeps the one capability that lets the user reach a data directory below a directory that is closed
	// to it, as a checkout in /root is.
	override bool
}

// ownerFor decides who runs the server on dataDir.
func ownerFor(dataDir string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			continue
		}
		own := owner{drop: true, uid: uint32(uid), gid: uint32(gid)}
		own.override = !own.reaches(filepath.Dir(dataDir))
		return own, nil
	}
	return owner{}, errors.New("postgres does not run as root and there is no user postgres or nobody: run as an ordinary user")
}

func (o owner) attributes() *syscall.SysProcAttr {
	// SIGINT is the server's fast, clean shutdown.
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if o.drop {
		attr.Credential = &syscall.Credential{Uid: o.uid, Gid: o.gid}
	}
	if o.override {
		attr.AmbientCaps = []uintptr{capDACOverride}
	}
	return attr
}

// take gives dir and all in it to the owner.
func (o owner) take(dir string) error {
	if !o.drop {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		// A server that is just stopping removes files while we walk.
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := os.Lchown(path, int(o.uid), int(o.gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// reaches reports whether the user may pass through dir and every directory above it.
func (o owner) reaches(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			stat, ok := info.Sys().(*syscall.Stat_t)
			need := fs.FileMode(0o001)
			if ok && stat.Uid == o.uid {
				need = 0o100
			}
			if info.Mode()&need == 0 {
				return false
			}
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// isServer reports whether the process is alive and a Postgres server.
func isServer(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.HasPrefix(string(name), "postgres")
}
