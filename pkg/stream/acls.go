package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ACL is a Grant that a Kafka principal has, or should have.
type ACL struct {
	Principal string // "User:throughline-sink"
	Host      string // from which it may come; "*" is every one
	Grant     Grant
}

// ACLState says how an ACL stands to what principals should have.
type ACLState string

// The states of ACLs.
const (
	ACLMissing ACLState = "missing"
	ACLPresent ACLState = "present"
	// ACLBeyond: the principal does not need it for this installation, whose resource it is.
	ACLBeyond ACLState = "beyond"
	// ACLForeign: it is beyond too, and concerns what is not this installation's alone.
	ACLForeign ACLState = "foreign"
)

// ACLDifference is an ACL and how it stands to what principals should have.
type ACLDifference struct {
	ACL
	State ACLState
}

// WantedACLs gives the ACLs by which each principal may do what the grantees that
// it stands for need, sorted. principals are by grantee (Grantees).
func WantedACLs(principals map[string]string, host string, n Names, sources []string) []ACL {
	wanted := map[ACL]bool{}
	for grantee, principal := range principals {
		for _, g := range Grants(grantee, n, sources) {
			wanted[ACL{principal, host, g}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(wanted), compareACLs)
}

func compareACLs(a, b ACL) int {
	return cmp.Or(strings.Compare(a.Principal, b.Principal), cmp.Compare(a.Grant.Resource, b.Grant.Resource),
		strings.Compare(a.Grant.Name, b.Grant.Name), cmp.Compare(a.Grant.Operation, b.Grant.Operation), strings.Compare(a.Host, b.Host))
}

// DiffACLs compares the wanted ACLs with those by which the brokers allow something
// to the same principals. What they deny is left alone. Errors are Transient, and say
// what to do where the brokers have no authorizer or this user may not look.
func DiffACLs(ctx context.Context, cl *kgo.Client, n Names, wanted []ACL) ([]ACLDifference, error) {
	missing, principals := map[ACL]bool{}, []string{}
	for _, a := range wanted {
		missing[a] = true
		principals = append(principals, a.Principal)
	}
	slices.Sort(principals)
	var all []ACLDifference
	for _, principal := range slices.Compact(principals) {
		have, err := aclsOf(ctx, cl, principal)
		if err != nil {
			return nil, err
		}
		for _, a := range have {
			state := ACLForeign
			switch {
			case missing[a]:
				state = ACLPresent
				delete(missing, a)
			case n.own(a.Grant):
				state = ACLBeyond
			}
			all = append(all, ACLDifference{a, state})
		}
	}
	for a := range missing {
		all = append(all, ACLDifference{a, ACLMissing})
	}
	slices.SortFunc(all, func(a, b ACLDifference) int { return compareACLs(a.ACL, b.ACL) })
	return all, nil
}

// own says whether a resource is this installation's alone.
func (n Names) own(g Grant) bool {
	name, ok := strings.CutPrefix(g.Name, n.prefix)
	if !ok {
		return false
	}
	if n.prefix != "" {
		return g.Resource != kmsg.ACLResourceTypeCluster
	}
	switch g.Resource {
	case kmsg.ACLResourceTypeTopic:
		return strings.HasPrefix(name, rawPrefix) || slices.Contains([]string{AccountEvents, DeadLetters, AccountChanges}, name)
	case kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId:
		return strings.HasPrefix(name, n.ours()) || strings.HasPrefix(name, n.ConsumerGroups())
	default:
		return false
	}
}

func aclsOf(ctx context.Context, cl *kgo.Client, principal string) ([]ACL, error) {
	request := kmsg.NewPtrDescribeACLsRequest()
	request.ResourceType, request.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	request.Principal, request.Operation, request.PermissionType = &principal, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAllow
	response, err := request.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return nil, aclError(fmt.Errorf("reading the ACLs of %s: %w", principal, err), "DESCRIBE")
	}
	var all []ACL
	for _, r := range response.Resources {
		for _, a := range r.ACLs {
			all = append(all, ACL{a.Principal, a.Host, Grant{r.ResourceType, r.ResourceName, r.ResourcePatternType == kmsg.ACLResourcePatternTypePrefixed, a.Operation}})
		}
	}
	return all, nil
}

// aclError classifies an answer about ACLs, for which the cluster's right is needed.
func aclError(err error, operation string) error {
	switch {
	case is(err, kerr.SecurityDisabled):
		return fault.Advise(fault.Permanent(fault.Unsupported, err),
			"these brokers have no authorizer, so that everybody may do everything: set authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer on them first")
	case is(err, kerr.ClusterAuthorizationFailed):
		return fault.Advise(fault.Transient(fault.Unavailable, err), fmt.Sprintf(
			"use a Kafka user who may do it (THROUGHLINE_KAFKA_USER), or grant it: kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation %s --cluster", operation))
	default:
		return Classify(err)
	}
}

// CreateACLs creates ACLs; those that are there already stay. Errors are as
// DiffACLs' are; some of the ACLs may be created then.
func CreateACLs(ctx context.Context, cl *kgo.Client, acls []ACL) error {
	if len(acls) == 0 {
		return nil
	}
	request := kmsg.NewPtrCreateACLsRequest()
	for _, a := range acls {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = a.Grant.Resource, a.Grant.Name, a.Grant.pattern()
		c.Principal, c.Host, c.Operation, c.PermissionType = a.Principal, a.Host, a.Grant.Operation, kmsg.ACLPermissionTypeAllow
		request.Creations = append(request.Creations, c)
	}
	response, err := request.RequestWith(ctx, cl)
	if err == nil {
		for i, r := range response.Results {
			if answer := kerr.ErrorForCode(r.ErrorCode); answer != nil {
				err = errors.Join(err, fmt.Errorf("%s for %s: %w", acls[i].Grant, acls[i].Principal, answer))
				break // the others have the same trouble
			}
		}
	}
	if err != nil {
		return aclError(fmt.Errorf("creating ACLs: %w", err), "ALTER")
	}
	return nil
}

// RemoveACLs removes exactly these ACLs. Errors are as DiffACLs' are; some of the
// ACLs may be removed then.
func RemoveACLs(ctx context.Context, cl *kgo.Client, acls []ACL) error {
	if len(acls) == 0 {
		return nil
	}
	request := kmsg.NewPtrDeleteACLsRequest()
	for _, a := range acls {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = a.Grant.Resource, &a.Grant.Name, a.Grant.pattern()
		f.Principal, f.Host, f.Operation, f.PermissionType = &a.Principal, &a.Host, a.Grant.Operation, kmsg.ACLPermissionTypeAllow
		request.Filters = append(request.Filters, f)
	}
	response, err := request.RequestWith(ctx, cl)
	if err == nil {
		for _, r := range response.Results {
			if err = kerr.ErrorForCode(r.ErrorCode); err != nil {
				break
			}
		}
	}
	if err != nil {
		return aclError(fmt.Errorf("removing ACLs: %w", err), "ALTER")
	}
	return nil
}

func (g Grant) pattern() kmsg.ACLResourcePatternType {
	if g.Prefixed {
		return kmsg.ACLResourcePatternTypePrefixed
	}
	return kmsg.ACLResourcePatternTypeLiteral
}

// ACLCommands gives the ACLs as command lines of Kafka's own kafka-acls.sh, for
// those who may not change them themselves.
func ACLCommands(acls []ACL, brokers []string) []string {
	type kind struct {
		principal, host string
		resource        kmsg.ACLResourceType
		prefixed        bool
		operation       kmsg.ACLOperation
	}
	flags := map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: " --topic ", kmsg.ACLResourceTypeGroup: " --group ", kmsg.ACLResourceTypeTransactionalId: " --transactional-id ",
	}
	var lines []string
	at := map[kind]int{}
	for _, a := range acls {
		k := kind{a.Principal, a.Host, a.Grant.Resource, a.Grant.Prefixed, a.Grant.Operation}
		i, begun := at[k]
		if !begun {
			i, at[k] = len(lines), len(lines)
			line := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal '%s' --allow-host '%s' --operation %s",
				strings.Join(brokers, ","), a.Principal, a.Host, scriptName(a.Grant.Operation))
			if a.Grant.Prefixed {
				line += " --resource-pattern-type prefixed"
			}
			if a.Grant.Resource == kmsg.ACLResourceTypeCluster {
				line += " --cluster"
			}
			lines = append(lines, line)
		}
		if flag := flags[a.Grant.Resource]; flag != "" {
			lines[i] += flag + a.Grant.Name
		}
	}
	return lines
}

// scriptName is what kafka-acls.sh calls an operation: DescribeConfigs.
func scriptName(operation kmsg.ACLOperation) string {
	var name string
	for word := range strings.SplitSeq(operation.String(), "_") {
		name += word[:1] + strings.ToLower(word[1:])
	}
	return name
}
