package kafka

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("THROUGHLINE_TEST_STARTS_A_CHILD") != "" {
		os.Exit(startChildAndWait())
	}
	goleak.VerifyTestMain(m)
}
