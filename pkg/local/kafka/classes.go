package kafka

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// trainTimeout bounds the making of a class archive.
const trainTimeout = 2 * time.Minute

// classArchive gives the file in which the JVM keeps Kafka's classes ready made
// (JEP 350, dynamic CDS archives), in the directory of its jars: with it a broker
// starts on half the CPU time. The first start on a machine, and the first with
// another Java, makes it. "" where that fails: Kafka runs without.
func classArchive(ctx context.Context, vm jvm, dir string, log *zap.Logger) string {
	sum := sha256.Sum256([]byte(vm.version))
	name := filepath.Join(dir, fmt.Sprintf("classes-%x.jsa", sum[:8]))
	if exists(name) {
		return name
	}
	err := func() (err error) {
		lock := flock.New(name + ".lock") // test binaries of several packages start together
		if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
			return fmt.Errorf("waiting for another process that makes it: %w", err)
		}
		defer func() { err = errors.Join(err, lock.Unlock()) }()
		if exists(name) {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, trainTimeout)
		defer cancel()
		log.Info("making an archive of Kafka's classes, once", zap.String("file", name))
		return train(ctx, vm, name)
	}()
	if err != nil {
		log.Warn("no archive of Kafka's classes: brokers start more slowly", zap.Error(err))
		return ""
	}
	return name
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// train lets a broker of its own do what brokers do in tests, and has the JVM write
// the classes that this took when it ends.
func train(ctx context.Context, vm jvm, name string) (err error) {
	unfinished := name + ".unfinished"
	vm.train = unfinished
	cluster, err := startOnFreePorts(ctx, Options{Brokers: 1}, vm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	if err := exercise(ctx, cluster.Brokers()); err != nil {
		return fmt.Errorf("using the broker: %w", err)
	}
	if err := cluster.nodes[0].current().Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the broker: %w", err)
	}
	return os.Rename(unfinished, name)
}

// exercise commits a record with its group's offset in a transaction.
func exercise(ctx context.Context, brokers []string) error {
	const topic, group = "exercise", "exercise"
	plain, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer plain.Close()
	if _, err := kadm.NewClient(plain).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return err
	}
	if err := plain.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("in")}).FirstErr(); err != nil {
		return err
	}
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.TransactionalID(group), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.PollFetches(ctx).Err(); err != nil {
		return err
	}
	if err := session.Begin(); err != nil {
		return err
	}
	if err := session.Client().ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("out")}).FirstErr(); err != nil {
		return err
	}
	_, err = session.End(ctx, kgo.TryCommit)
	return err
}
