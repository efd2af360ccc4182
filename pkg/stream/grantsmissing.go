package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// MissingGrants gives those of the grants that the connected user lacks, however it came by the others. Brokers without
// an authorizer allow everything. What they do not tell is not in it: rights on transactional ids, on what begins alike,
// and on topics that are not there. Errors are Transient.
func MissingGrants(ctx context.Context, cl *kgo.Client, grants []Grant) ([]Grant, error) {
	var topics, groups []string
	for _, g := range grants {
		switch {
		case g.Prefixed:
		case g.Resource == kmsg.ACLResourceTypeTopic && !slices.Contains(topics, g.Name):
			topics = append(topics, g.Name)
		case g.Resource == kmsg.ACLResourceTypeGroup && !slices.Contains(groups, g.Name):
			groups = append(groups, g.Name)
		}
	}
	allowed := map[kmsg.ACLResourceType]map[string]int32{}
	var err error
	if allowed[kmsg.ACLResourceTypeTopic], err = allowedOnTopics(ctx, cl, topics); err != nil {
		return nil, err
	}
	if allowed[kmsg.ACLResourceTypeGroup], err = allowedOnGroups(ctx, cl, groups); err != nil {
		return nil, err
	}
	var missing []Grant
	for _, g := range grants {
		if operations, known := allowed[g.Resource][g.Name]; known && !g.Prefixed && operations&(1<<g.Operation) == 0 {
			missing = append(missing, g)
		}
	}
	return missing, nil
}

func allowedOnTopics(ctx context.Context, cl *kgo.Client, topics []string) (map[string]int32, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	have, err := describeTopics(ctx, cl, topics)
	if err != nil {
		return nil, err
	}
	allowed := map[string]int32{}
	for name, t := range have {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			allowed[name] = 0
		case err == nil && t.AuthorizedOperations != math.MinInt32:
			allowed[name] = t.AuthorizedOperations
		}
	}
	return allowed, nil
}

func allowedOnGroups(ctx context.Context, cl *kgo.Client, groups []string) (map[string]int32, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	allowed := map[string]int32{}
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups, request.IncludeAuthorizedOperations = groups, true
	for _, shard := range cl.RequestSharded(ctx, request) { // each group's coordinator answers
		if errors.Is(shard.Err, kerr.GroupAuthorizationFailed) { // it may not even know their coordinator
			for _, name := range shard.Req.(*kmsg.DescribeGroupsRequest).Groups {
				allowed[name] = 0
			}
			continue
		}
		if shard.Err != nil {
			return nil, Classify(fmt.Errorf("asking for the consumer groups: %w", shard.Err))
		}
		for _, g := range shard.Resp.(*kmsg.DescribeGroupsResponse).Groups {
			switch err := kerr.ErrorForCode(g.ErrorCode); {
			case errors.Is(err, kerr.GroupAuthorizationFailed):
				allowed[g.Group] = 0
			case err == nil && g.AuthorizedOperations != math.MinInt32:
				allowed[g.Group] = g.AuthorizedOperations
			}
		}
	}
	return allowed, nil
}
