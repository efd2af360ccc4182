package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// learner does not connect to Kafka.
const learner = string(postgres.RoleLearner)

// Users gives whom the connected user can be: the services, and the operator of the command line.
func Users() []string {
	return []string{stream.Receiver, stream.Normalizer, stream.Sink, stream.Quarantine, stream.Puller, learner, stream.Drift, stream.Console, stream.Operator}
}

func rightsChecks() []Check {
	return []Check{
		onKafka("kafka.rights", "the Kafka user may do what a service needs, or those of --as", (*examination).kafkaRights),
		onPostgres("postgres.rights", "the Postgres user may do what a service needs, or those of --as", (*examination).postgresRights),
	}
}

func (e *examination) kafkaRights(ctx context.Context, _ *kadm.Client) Finding {
	client, err := e.kafka()
	if err != nil {
		return kafkaFailed(err)
	}
	return e.rights("Kafka", "throughline acls apply --dry-run shows what is missing", without(learner), func(user string) (missing []string, err error) {
		grants, err := stream.MissingGrants(ctx, client, stream.Grants(user, e.Kafka.Names(), e.Sources))
		for _, g := range grants {
			missing = append(missing, g.String())
		}
		return missing, err
	}, kafkaFailed)
}

func (e *examination) postgresRights(ctx context.Context, pool *pgxpool.Pool) Finding {
	users := without(stream.Receiver)
	do := "throughline roles apply, and make this user a member of that role"
	if len(e.As) == 0 {
		users = append(users, string(postgres.RoleDoctor))
		do = "run throughline roles apply --member doctor=LOGIN: that role reads everything and changes nothing, which is enough to look; a service's user becomes a member of the service's role"
	}
	if !hasTables(ctx, pool) {
		return noTables()
	}
	return e.rights("Postgres", do, users, func(user string) (missing []string, err error) {
		privileges, err := postgres.Missing(ctx, pool, postgres.Role(user))
		for _, p := range privileges {
			missing = append(missing, p.String())
		}
		return missing, err
	}, queryFailed)
}

// without gives the users but the one that does not connect.
func without(user string) []string {
	return slices.DeleteFunc(Users(), func(u string) bool { return u == user })
}

// rights tells whose rights the connected user has. Those of e.As must be among them; without those, anybody's will do.
func (e *examination) rights(where, do string, users []string, ask func(user string) ([]string, error), broken func(error) Finding) Finding {
	var full []string
	var lacks []error
	var least error // of lacks, the one with the fewest rights
	fewest := math.MaxInt
	for _, user := range users {
		if len(e.As) > 0 && !slices.Contains(e.As, user) {
			continue
		}
		missing, err := ask(user)
		if err != nil {
			return broken(err)
		}
		if len(missing) > 0 {
			n, lack := len(missing), fmt.Errorf("the %s's: %s", user, some(missing))
			lacks = append(lacks, lack)
			if n < fewest {
				fewest, least = n, lack
			}
		} else {
			full = append(full, user)
		}
	}
	switch {
	case len(e.As) > 0 && len(lacks) > 0:
		return failed(do, "this %s user lacks rights: %s", where, line(errors.Join(lacks...).Error()))
	case len(full) > 0:
		return ok("this %s user may do what these need: %s", where, strings.Join(full, ", "))
	case len(lacks) > 0:
		return failed(do, "this %s user has nobody's rights; least is missing of %v", where, least)
	}
	return ok("the %s needs no rights in %s", strings.Join(e.As, ", "), where)
}
