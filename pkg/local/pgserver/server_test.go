package pgserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

// childVariable makes this test binary start a server in the directory it names and wait to be killed.
const childVariable = "PGSERVER_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		s, err := Start(context.Background(), Options{DataDir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		select {}
	}
	goleak.VerifyTestMain(m)
}

// dataDir is a directory that an unprivileged user can reach, unlike t.TempDir when root runs the tests.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755)) // the server's user has to pass
	return filepath.Join(dir, "data")
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	var got string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&got))
	return got
}

// keep commits a row for a later start to find.
func keep(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'it' AS v")
	require.NoError(t, err)
}

func TestStart(t *testing.T) {
	t.Parallel()
	t.Run("Defaults", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{DataDir: dataDir(t)})
		require.Contains(t, s.URL(), fmt.Sprintf("throughline@127.0.0.1:%d/throughline", s.Port()))
		require.Equal(t, "throughline throughline", query(t, s.URL(), "SELECT current_user || ' ' || current_database()"))
		require.Equal(t, "127.0.0.1", query(t, s.URL(), "SHOW listen_addresses"))
		require.Equal(t, "on", query(t, s.URL(), "SHOW fsync"))
		require.Equal(t, "UTF8", query(t, s.URL(), "SHOW server_encoding"))
	})
	t.Run("Unsafe", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{DataDir: dataDir(t), User: "ada", Database: "other", Unsafe: true})
		require.Equal(t, "ada other", query(t, s.URL(), "SELECT current_user || ' ' || current_database()"))
		require.Equal(t, "off", query(t, s.URL(), "SHOW fsync"))
	})
	t.Run("WithPasswords", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		passFile := filepath.Join(filepath.Dir(dir), "pass file") // a URL escapes the space
		options := Options{DataDir: dir, PassFile: passFile, Unsafe: true, Setup: "CREATE EXTENSION IF NOT EXISTS pgcrypto"}
		s := start(t, options)
		info, err := os.Stat(passFile)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		require.Equal(t, "throughline throughline false false false", query(t, s.URL(), `SELECT current_user || ' ' || pg_get_userbyid(datdba) || ' ' ||
			rolsuper::text || ' ' || rolcreaterole::text || ' ' || pg_has_role('pg_execute_server_program', 'MEMBER')::text
			FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user`))
		require.Equal(t, "pgcrypto", query(t, s.URL(), "SELECT extname FROM pg_extension WHERE extname = 'pgcrypto'"))
		keep(t, s.URL())
		for _, url := range []string{
			fmt.Sprintf("postgres://throughline@127.0.0.1:%d/throughline?sslmode=disable&passfile=none", s.Port()),
			fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&passfile=none", s.Port()),
			fmt.Sprintf("postgres://throughline:guess@127.0.0.1:%d/throughline?sslmode=disable", s.Port()),
		} {
			_, err := pgx.Connect(t.Context(), url)
			require.ErrorContains(t, err, "28P01", url)
		}
		require.NoError(t, s.Stop(t.Context()))
		again := start(t, options)
		require.Equal(t, "it", query(t, again.URL(), "SELECT v FROM kept"))
		require.NoError(t, again.Stop(t.Context()))
		require.NoError(t, os.Remove(passFile))
		_, err = Start(t.Context(), options)
		require.ErrorContains(t, err, "move the directory away")
	})
	t.Run("TheNextStartFindsTheData", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		first := start(t, Options{DataDir: dir, Unsafe: true})
		keep(t, first.URL())
		require.NoError(t, first.Stop(t.Context()))
		<-first.Done()
		second := start(t, Options{DataDir: dir, Unsafe: true})
		require.Equal(t, "it", query(t, second.URL(), "SELECT v FROM kept"))
	})
	t.Run("ADirectoryBelowAClosedOne", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o700)) // closed is the point
		start(t, Options{DataDir: dir, Unsafe: true})
	})
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, opts Options, parts ...string) {
		t.Helper()
		opts.Unsafe = true
		_, err := Start(t.Context(), opts)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\n")
		for _, part := range parts {
			require.ErrorContains(t, err, part)
		}
	}
	t.Run("NoDirectory", func(t *testing.T) {
		t.Parallel()
		refused(t, Options{}, "no data directory")
	})
	t.Run("ATakenPort", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		refused(t, Options{DataDir: dataDir(t), Port: port, PortSetting: "--pg-port"}, fmt.Sprintf("127.0.0.1:%d", port), "--pg-port")
	})
	t.Run("ADirectoryInUse", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		s := start(t, Options{DataDir: dir, Unsafe: true})
		refused(t, Options{DataDir: dir}, "already running in "+dir, fmt.Sprintf("at 127.0.0.1:%d", s.Port()))
	})
	t.Run("AnotherMajorVersion", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("9\n"), 0o600))
		refused(t, Options{DataDir: dir}, dir, "version 9", "install postgresql-9")
	})
	t.Run("SomethingElsesDirectory", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600))
		refused(t, Options{DataDir: dir}, dir, "not a postgres data directory")
	})
	t.Run("ADamagedDirectory", func(t *testing.T) {
		t.Parallel()
		dir := dataDir(t)
		s := start(t, Options{DataDir: dir, Unsafe: true})
		require.NoError(t, s.Stop(t.Context()))
		require.NoError(t, os.Remove(filepath.Join(dir, "global", "pg_control")))
		refused(t, Options{DataDir: dir}, "could not find the database system")
	})
}

// A process that is killed takes its server with it, and the next start finds what was committed.
func TestKilledParent(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url := strings.TrimSpace(line)
	keep(t, url)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())

	again := start(t, Options{DataDir: dir})
	require.Equal(t, "it", query(t, again.URL(), "SELECT v FROM kept"))
	_, err = pgx.Connect(t.Context(), url)
	require.Error(t, err)
}

// The number in a dead server's lock file may belong to another process by now: here to this one.
func TestStaleLock(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s := start(t, Options{DataDir: dir, Unsafe: true})
	require.NoError(t, s.Stop(t.Context()))
	stale := fmt.Sprintf("%d\n%s\n%d\n%d\n\n127.0.0.1\n", os.Getpid(), dir, time.Now().Unix(), s.Port())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postmaster.pid"), []byte(stale), 0o600))
	start(t, Options{DataDir: dir, Unsafe: true})
}

func TestStop(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: dataDir(t), Unsafe: true})
	conn, err := pgx.Connect(t.Context(), s.URL())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
	require.Error(t, conn.Ping(t.Context()))
}

func TestVersionMajor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)": 15,
		"postgres (PostgreSQL) 18beta1":                        18,
		"postgres (EnterpriseDB) 16":                           0,
		"":                                                     0,
	} {
		require.Equal(t, want, versionMajor(text), text)
	}
}

// The version that made a data directory opens it, from the cache if need be.
func TestLocateLooksInTheCache(t *testing.T) {
	t.Parallel()
	cache, data := t.TempDir(), t.TempDir()
	bin := filepath.Join(cache, "99.1.0", "bin")
	require.NoError(t, os.MkdirAll(bin, 0o755))
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("99\n"), 0o600))
	found, err := locate(t.Context(), Options{DataDir: data, CacheDir: cache, Log: zap.NewNop()})
	require.NoError(t, err)
	require.Equal(t, binaries{dir: bin, major: 99}, found)
}

func TestChoose(t *testing.T) {
	t.Parallel()
	found := []binaries{{"/a", 15}, {"/b", 17}, {"/c", 16}}
	for want, dir := range map[int]string{0: "/b", 15: "/a", 16: "/c", 14: ""} {
		got, ok := choose(found, want)
		require.Equal(t, dir, got.dir)
		require.Equal(t, dir != "", ok)
	}
}
