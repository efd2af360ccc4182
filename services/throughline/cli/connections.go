package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// What `make run` starts. The addresses are a contract; the command line takes
// them where nothing is set.
const (
	LocalPostgres = "postgres://throughline@127.0.0.1:15432/throughline?sslmode=disable&passfile=" + localPassFile
	LocalBroker   = "127.0.0.1:19092"
	LocalRegistry = "http://127.0.0.1:18081"
	LocalReceiver = "http://127.0.0.1:8080"
	LocalSecrets  = ".throughline/secrets.json"
	// LocalAddresses is where `make run` writes where everything is, while it runs (dev.Addresses).
	LocalAddresses = ".throughline/addresses.json"

	localPassFile = ".throughline/postgres.pass"
)

const (
	// brokerTimeout bounds the first answer of the brokers.
	brokerTimeout = 10 * time.Second
	// silentBroker is how long one broker may be silent beyond what a request itself may take; then another is asked.
	silentBroker = 3 * time.Second
)

// postgresFlags and kafkaFlags are the services' own flags without their
// Validate, so that a command is not refused for a setting it does not use.
type (
	postgresFlags postgres.Config
	kafkaFlags    stream.Config
)

// connections are the settings that commands share.
type connections struct {
	Postgres postgresFlags `embed:"" group:"Connections"`
	Kafka    kafkaFlags    `embed:"" group:"Connections"`

	// localPostgres, localKafka: nobody gave them, so they are those of `make run`.
	localPostgres, localKafka bool

	needed need
	chosen any             // the command
	others map[string]need // of other packages' commands, by name
}

// need says which settings a command uses.
type need int

const (
	needsPostgres need = 1 << iota
	needsSession       // of Postgres, past a pooler
	needsKafka
	needsSources  // their names and mappings
	needsReceiver // and their secrets, addresses and tenants
	needsAPI      // their tenants, and how the vendors' APIs are called
)

// BeforeResolve is kong's: it learns what the chosen command needs. Where that is
// no source, their settings are not read.
func (c *connections) BeforeResolve(ctx *kong.Context) error {
	if node := ctx.Selected(); node != nil {
		c.needed, c.chosen = c.needOf(node), commandOf(node)
	}
	for _, flag := range ctx.Model.Flags {
		if isSourceFlag(flag) && !c.needed.of(flag) {
			flag.Envs = nil
		}
	}
	return nil
}

// of says whether a setting of sources is needed.
func (n need) of(flag *kong.Flag) bool {
	switch {
	case isAPIFlag(flag):
		return n&needsAPI != 0
	case strings.HasSuffix(flag.Name, "-tenant"):
		return n&(needsReceiver|needsAPI) != 0
	case isReceiverFlag(flag):
		return n&needsReceiver != 0
	}
	return n&(needsSources|needsReceiver|needsAPI) != 0
}

// Validate reports every problem with the settings that the chosen command uses. It is the first that sees all that was
// given: what was not stands for `make run` from here on.
func (c *connections) Validate() error {
	if c.Postgres.URL == "" {
		c.Postgres.URL, c.localPostgres = LocalPostgres, true
	}
	if len(c.Kafka.Brokers) == 0 {
		c.Kafka.Brokers, c.localKafka = []string{LocalBroker}, true
	}
	var problems []error
	if c.needed&needsPostgres != 0 {
		problems = append(problems, postgres.Config(c.Postgres).Validate())
	}
	if c.needed&needsKafka != 0 {
		problems = append(problems, stream.Config(c.Kafka).Validate())
	}
	return errors.Join(problems...)
}

// needOf gives the connections that a command uses.
func (c *connections) needOf(node *kong.Node) need {
	if command, ok := commandOf(node).(interface{ needs() need }); ok {
		return command.needs()
	}
	return c.others[node.Name]
}

// commandOf gives a command's struct as a pointer.
func commandOf(node *kong.Node) any {
	if !node.Target.IsValid() || !node.Target.CanAddr() {
		return nil
	}
	return node.Target.Addr().Interface()
}

// localDefaults tells of the connection flags' defaults, which Validate sets: kong would not say whether somebody gave them.
func localDefaults(k *kong.Kong) error {
	defaults := map[string]string{"postgres-url": LocalPostgres, "kafka-brokers": LocalBroker}
	for _, flag := range k.Model.Flags {
		if value, ok := defaults[flag.Name]; ok {
			flag.Help += " Default: what `make run` starts, " + value + "."
		}
	}
	return nil
}

// database opens Postgres. The caller closes the pool.
func (s *session) database(ctx context.Context) (*pgxpool.Pool, error) {
	return postgres.Open(ctx, postgres.Config(s.root.Postgres), name)
}

// kafka makes a client and proves that the brokers answer. The caller closes it.
func (s *session) kafka(ctx context.Context) (*kgo.Client, error) {
	cl, err := stream.NewClient(stream.Config(s.root.Kafka), stream.Deps{Name: "cli"}, kgo.RequestTimeoutOverhead(silentBroker))
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	if err := stream.Reach(bounded, cl); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &unreachable{what: "Kafka at " + strings.Join(s.root.Kafka.Brokers, ","), err: err}
	}
	return cl, nil
}

// unreachable is a connection that could not be made.
type unreachable struct {
	what string
	err  error
}

// Error says to what.
func (u *unreachable) Error() string { return "connecting to " + u.what + ": " + u.err.Error() }

// Unwrap gives why.
func (u *unreachable) Unwrap() error { return u.err }

// explain gives an error as one line that ends with what to do, where that is
// known.
func (s *session) explain(err error) string {
	text := oneLine(err.Error())
	var refused *pgconn.ConnectError
	if errors.As(err, &refused) {
		// The library tells of each address and each attempt; one says enough.
		first, _, _ := strings.Cut(errors.Unwrap(refused).Error(), "\n")
		text = "connecting to Postgres: " + strings.Replace(first, "ValidateConnect failed: ", "", 1)
	}
	if next := s.nextStep(err); next != "" {
		return text + ": " + next
	}
	return text
}

// oneLine joins lines, and leaves what stands in one as it is: it may quote what was typed.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

func (s *session) nextStep(err error) string {
	var pg *pgconn.PgError
	var refused *pgconn.ConnectError
	var kafka *unreachable
	if errors.As(err, &refused) && s.root.localPostgres && !exists(localPassFile) {
		return "there is no " + localPassFile + " here: run the command in the directory of `make run` while that runs, or set THROUGHLINE_POSTGRES_URL"
	}
	if advice := cmp.Or(fault.Advice(err), postgres.Advice(err)); advice != "" {
		return advice
	}
	switch {
	case errors.As(err, &pg):
		return ""
	case errors.As(err, &refused):
		if s.root.localPostgres {
			return "start `make run`, or set THROUGHLINE_POSTGRES_URL to the database to use"
		}
		return "check that the server of THROUGHLINE_POSTGRES_URL runs and is reachable from here"
	case errors.As(err, &kafka):
		if s.root.localKafka {
			return "start `make run`, or set THROUGHLINE_KAFKA_BROKERS to the brokers to use"
		}
		return "check THROUGHLINE_KAFKA_BROKERS (and _TLS, _SASL_MECHANISM, _USER), and that the brokers run"
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// withSessions is withDatabase for what needs a session of its own: past a pooler.
func (s *session) withSessions(ctx context.Context, use func(*pgxpool.Pool) error) error {
	pool, err := postgres.Open(ctx, postgres.Config(s.root.Postgres).Direct(), name)
	if err != nil {
		return err
	}
	defer pool.Close()
	return use(pool)
}

// withDatabase opens Postgres for as long as use runs.
func (s *session) withDatabase(ctx context.Context, use func(*pgxpool.Pool) error) error {
	pool, err := s.database(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return use(pool)
}

// plural gives "1 event", "2 events".
func plural(n int64, what string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
