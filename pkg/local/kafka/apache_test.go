package kafka

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

func TestFeatureRelease(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]int{
		"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment": 17,
		"openjdk version \"21\" 2023-09-19":                                   21,
		"openjdk version \"26-ea\" 2026-03-17":                                26,
		"java version \"1.8.0_402\"":                                          8,
		"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"11.0.2\"":     11,
	} {
		got, err := featureRelease([]byte(out))
		require.NoError(t, err, out)
		require.Equal(t, want, got, out)
	}
	_, err := featureRelease([]byte("command not found"))
	require.ErrorContains(t, err, "command not found")
}

func TestProperties(t *testing.T) {
	t.Parallel()
	nodes := []*node{{id: 1, controller: 9001}, {id: 2, port: 8002, controller: 9002, dir: `/tmp/a\b`}, {id: 3, controller: 9003}}
	got := properties(nodes[1], nodes, Options{Properties: map[string]string{"min.insync.replicas": "1"}})
	require.Contains(t, got, "\ncontroller.quorum.voters=1@127.0.0.1:9001,2@127.0.0.1:9002,3@127.0.0.1:9003\n")
	require.Contains(t, got, "\nlisteners=PLAINTEXT://127.0.0.1:8002,CONTROLLER://127.0.0.1:9002\n")
	require.Contains(t, got, "\nmin.insync.replicas=1\n", "the caller's own win")
	require.Contains(t, got, "\ntransaction.state.log.min.isr=2\n")
	require.Contains(t, got, "\nlog.dirs="+`/tmp/a\\b/data`+"\n")

	alone := properties(nodes[0], nodes[:1], Options{})
	require.Contains(t, alone, "\noffsets.topic.replication.factor=1\n")
	require.Contains(t, alone, "\ntransaction.state.log.min.isr=1\n")
	require.Contains(t, alone, "\noffsets.topic.segment.bytes=1048576\n", "groups come back soon (ADR 0012)")
	require.NotContains(t, alone, "authorizer")

	guarded := properties(nodes[1], nodes, Options{Users: map[string]string{"b": "two", "a": "one"}})
	require.Contains(t, guarded, "\nlistener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_a=\"one\" user_b=\"two\";\n")
}

func TestStartRefuses(t *testing.T) {
	// Not parallel: the cases change the environment.
	t.Run("TwoBrokers", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Brokers: 2})
		require.ErrorContains(t, err, "only 1 or 3")
	})

	t.Run("AMissingJava", func(t *testing.T) {
		t.Setenv("JAVA_HOME", t.TempDir())
		_, err := Start(t.Context(), Options{})
		require.ErrorContains(t, err, "needs Java 17 or later")
		require.ErrorContains(t, err, installHint)
		require.NotContains(t, err.Error(), "\n")
	})

	t.Run("AnOldJava", func(t *testing.T) {
		home := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(home, "bin"), 0o755))
		script := "#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n"
		require.NoError(t, os.WriteFile(filepath.Join(home, "bin", "java"), []byte(script), 0o755))
		t.Setenv("JAVA_HOME", home)
		_, err := Start(t.Context(), Options{})
		require.ErrorContains(t, err, "is Java 11: "+installHint)
	})

	t.Run("AMissingMaven", func(t *testing.T) {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		t.Setenv("PATH", t.TempDir())
		_, err := Fetch(t.Context(), nil)
		require.ErrorContains(t, err, "mvn is missing: "+installHint)
	})

	t.Run("AMavenThatBreaksOff", func(t *testing.T) {
		cache, bin := t.TempDir(), t.TempDir()
		script := "#!/bin/sh\necho no route to the registry\nexit 1\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, "mvn"), []byte(script), 0o755))
		t.Setenv("XDG_CACHE_HOME", cache)
		t.Setenv("PATH", bin)
		_, err := Fetch(t.Context(), nil)
		require.ErrorContains(t, err, "no route to the registry")
		left, err := filepath.Glob(filepath.Join(cache, "throughline", "*"))
		require.NoError(t, err)
		require.Equal(t, []string{filepath.Join(cache, "throughline", "kafka-"+Version+".lock")}, left)
	})
}

// A broker that cannot start says why, at once: the context has no deadline.
func TestStartTellsWhatTheBrokerSaid(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Properties: map[string]string{"compression.type": "no-such-codec"}})
	require.ErrorContains(t, err, "no-such-codec")
}

func TestStopInOrderAndStartAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()

	first, err := Start(ctx, Options{Dir: dir})
	require.NoError(t, err)
	require.FileExists(t, first.nodes[0].vm.classes)
	client, err := kgo.NewClient(kgo.SeedBrokers(first.Brokers()...))
	require.NoError(t, err)
	_, err = kadm.NewClient(client).CreateTopic(ctx, 1, -1, nil, "kept")
	require.NoError(t, err)
	require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: "kept", Value: []byte("record")}).FirstErr())
	client.Close()
	require.NoError(t, first.Stop(ctx))
	require.ErrorContains(t, first.nodes[0].current().Err(), "exit status 143", "128 + SIGTERM: it was not killed")

	second, err := Start(ctx, Options{Dir: dir})
	require.NoError(t, err)
	defer func() { require.NoError(t, second.Close()) }()
	client, err = kgo.NewClient(kgo.SeedBrokers(second.Brokers()...), kgo.ConsumeTopics("kept"))
	require.NoError(t, err)
	defer client.Close()
	fetches := client.PollFetches(ctx)
	require.NoError(t, fetches.Err())
	require.Equal(t, "record", string(fetches.Records()[0].Value))
}

func TestNoClassArchiveNoHarm(t *testing.T) {
	t.Parallel()
	vm := jvm{java: filepath.Join(t.TempDir(), "java"), version: "1"}
	dir := t.TempDir()
	require.Empty(t, classArchive(t.Context(), vm, dir, zap.NewNop()), "the brokers start without")
	left, err := filepath.Glob(filepath.Join(dir, "*.jsa"))
	require.NoError(t, err)
	require.Empty(t, left)
}
