package spool

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
)

// childDir makes this test binary the process that a test kills.
const childDir = "SPOOL_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

// appendForEver spools numbers and tells each on standard output once it is
// accepted, until it is killed.
func appendForEver(dir string) {
	s, err := Open(Options{Dir: dir, MaxBytes: 1 << 30, Log: zap.NewNop()})
	for i := 0; err == nil; i++ {
		if err = s.Append(delivery(fmt.Sprint(i))); err == nil {
			fmt.Fprintln(os.Stdout, i)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
