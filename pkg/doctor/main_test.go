package doctor_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// shared is the Apache Kafka of the tests that do not kill one; prefixes keep them apart.
var shared streamtest.Shared

func TestMain(m *testing.M) {
	code := shared.Run(postgrestest.Main(m))
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
