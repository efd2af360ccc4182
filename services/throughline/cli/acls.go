package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type aclsCommand struct {
	Apply aclsApplyCommand `cmd:"" help:"Give each service's Kafka user the rights that it needs, and no others."`
}

type aclsApplyCommand struct {
	Users   map[string]string `name:"user" mapsep:"none" placeholder:"WHO=PRINCIPAL" help:"The Kafka principal of a service, or of topics, operator, consumer or backfill; can be repeated. Without it: User:throughline-WHO for each service, topics and operator."`
	Sources []string          `name:"sources" placeholder:"NAME" help:"Only the raw topics of these sources; all otherwise."`
	Host    string            `name:"host" default:"*" help:"The address from which the users come, as Kafka sees it; * is every one."`
	Prune   bool              `name:"prune" help:"Also remove these principals' other rights to this installation's topics, groups and transactional ids, after asking."`
	DryRun  bool              `name:"dry-run" xor:"do" help:"Print what would change, without changing it."`
	Print   bool              `name:"print" xor:"do" help:"Print command lines of Kafka's kafka-acls.sh instead, without asking the brokers anything."`
	Yes     bool              `name:"yes" short:"y" help:"Do not ask for confirmation."`
	Timeout time.Duration     `name:"timeout" default:"1m" help:"Timeout."`
	outputFlags
}

// Help is kong's.
func (*aclsApplyCommand) Help() string {
	return "WHO is one of " + strings.Join(stream.Grantees(), ", ") + ". One principal may stand for several. " +
		"The Kafka user of this command needs ALTER on the cluster, or DESCRIBE for --dry-run. Can be run again at any time; run it again when a source is added."
}

func (*aclsApplyCommand) needs() need { return needsKafka | needsSources }

func (c *aclsApplyCommand) checkSources(set source.Set) error {
	return (&topicsApplyCommand{Sources: c.Sources}).checkSources(set)
}

// Validate is kong's.
func (c *aclsApplyCommand) Validate() error {
	var problems []error
	for _, who := range slices.Sorted(maps.Keys(c.Users)) {
		principal := c.Users[who]
		if !slices.Contains(stream.Grantees(), who) {
			problems = append(problems, fmt.Errorf("--user: nobody is called %q: it should be one of %s", who, strings.Join(stream.Grantees(), ", ")))
		}
		if kind, name, ok := strings.Cut(principal, ":"); !ok || kind == "" || name == "" || strings.Contains(principal, "'") {
			problems = append(problems, fmt.Errorf("--user %s: %q is no principal; example: User:throughline-%[1]s", who, principal))
		}
	}
	if c.Host == "" {
		problems = append(problems, errors.New("--host is empty; * is every host"))
	}
	return errors.Join(problems...)
}

// Run is kong's.
func (c *aclsApplyCommand) Run(ctx context.Context, s *session) error {
	users := c.Users
	if len(users) == 0 {
		users = map[string]string{}
		for _, who := range []string{stream.Receiver, stream.Normalizer, stream.Sink, stream.Quarantine, stream.Puller, stream.Drift, stream.Console, stream.Topics, stream.Operator} {
			users[who] = "User:throughline-" + who
		}
	}
	sources := c.Sources
	if len(sources) == 0 {
		sources = s.root.Sources.set.Names()
	}
	names := stream.Config(s.root.Kafka).Names()
	wanted := stream.WantedACLs(users, c.Host, names, sources)
	if c.Print {
		for _, line := range stream.ACLCommands(wanted, s.root.Kafka.Brokers) {
			fmt.Fprintln(s.Out, line)
		}
		return nil
	}
	cl, err := s.kafka(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	differences, err := stream.DiffACLs(bounded, cl, names, wanted)
	cancel()
	if err != nil {
		return err
	}
	missing, beyond := pick(differences, stream.ACLMissing), pick(differences, stream.ACLBeyond)
	result := api.NewACLs(differences)
	if !c.DryRun {
		if c.Prune && len(beyond) > 0 && !c.Yes {
			for _, a := range beyond {
				s.say("beyond what %s needs: %s", a.Principal, a.Grant)
			}
			if err := s.confirm(ctx, fmt.Sprintf("Remove %s?", plural(int64(len(beyond)), "right"))); err != nil {
				return err
			}
		}
		bounded, cancel := context.WithTimeout(ctx, c.Timeout)
		defer cancel()
		if err := stream.CreateACLs(bounded, cl, missing); err != nil {
			return err
		}
		api.MarkACLs(result, string(stream.ACLMissing), "created")
		if c.Prune {
			if err := stream.RemoveACLs(bounded, cl, beyond); err != nil {
				return err
			}
			api.MarkACLs(result, string(stream.ACLBeyond), "removed")
		}
	}
	if err := list(s, c.JSON, result, []column[api.ACL]{
		{title: "principal", text: func(a api.ACL) string { return a.Principal }},
		{title: "operation", text: func(a api.ACL) string { return a.Operation }},
		{title: "on", text: func(a api.ACL) string { return a.Resource }},
		{title: "name", text: api.ACL.Pattern},
		{title: "host", text: func(a api.ACL) string { return a.Host }, leave: 1},
		{title: "state", text: func(a api.ACL) string { return a.State }},
	}); err != nil {
		return err
	}
	if !c.JSON && !c.Prune && len(beyond) > 0 {
		s.say("%s beyond what these principals need here: --prune removes what is beyond", plural(int64(len(beyond)), "right"))
	}
	return nil
}

// pick gives the ACLs in a state.
func pick(differences []stream.ACLDifference, state stream.ACLState) (acls []stream.ACL) {
	for _, d := range differences {
		if d.State == state {
			acls = append(acls, d.ACL)
		}
	}
	return acls
}
