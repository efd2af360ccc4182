package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/vendors"
)

// least is the system on Apache Kafka with its authorizer, TLS and SCRAM-SHA-512,
// each part of it as its own Kafka user.
type least struct {
	*place
	kafka     *streamtest.Cluster
	authority *tlsfilestest.Authority
}

func newLeast(t *testing.T) *least {
	t.Helper()
	users := map[string]string{}
	for _, grantee := range stream.Grantees() {
		users[grantee] = "password-of-" + grantee
	}
	authority := tlsfilestest.NewAuthority(t)
	kafka := streamtest.KafkaWithTLS(t, users, authority)
	return &least{newBarePlace(t, kafka.Brokers(), postgrestest.URL(t)), kafka, authority}
}

// as is how somebody connects.
func (l *least) as(grantee string) stream.Config {
	return stream.Config{
		Brokers: l.kafka.UserBrokers(), TLS: true, CAFile: l.authority.CAFile,
		SASLMechanism: "scram-sha-512", User: grantee, Password: settings.Secret("password-of-" + grantee),
	}
}

// byCertificate is as, with a certificate for a login.
func (l *least) byCertificate(grantee string) stream.Config {
	cert, key := l.authority.Issue(grantee)
	return stream.Config{Brokers: l.kafka.CertificateBrokers(), TLS: true, CAFile: l.authority.CAFile, CertFile: cert, KeyFile: key}
}

func (l *least) client(config stream.Config, opts ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	require.NoError(l.t, config.Validate())
	client, err := stream.NewClient(config, stream.Deps{Name: "e2e"}, opts...)
	require.NoError(l.t, err)
	l.t.Cleanup(client.Close)
	return client
}

// throughlineAs runs a command line as somebody.
func (l *least) throughlineAs(grantee string, args ...string) (out, errs string, code int) {
	l.t.Helper()
	config := l.as(grantee)
	env := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": strings.Join(config.Brokers, ","), "THROUGHLINE_KAFKA_TLS": "true", "THROUGHLINE_KAFKA_CA_FILE": config.CAFile,
		"THROUGHLINE_KAFKA_SASL_MECHANISM": config.SASLMechanism, "THROUGHLINE_KAFKA_USER": config.User, "THROUGHLINE_KAFKA_PASSWORD": string(config.Password),
	}
	var stdout, stderr bytes.Buffer
	code = cli.Run(l.t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Env: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
	return stdout.String(), stderr.String(), code
}

// TestEachServiceAsItsOwnUser gives each part its rights with `throughline acls
// apply`, plays a story through all services, and then tries, as each user, all that
// can be done on Kafka: what stream.Grants does not say is refused.
func TestEachServiceAsItsOwnUser(t *testing.T) {
	t.Parallel()
	l := newLeast(t)
	apply := []string{"acls", "apply", "--prune", "--yes"}
	for _, grantee := range stream.Grantees() {
		apply = append(apply, "--user", grantee+"=User:"+grantee)
	}
	require.Contains(t, l.throughline(apply...), "created")
	again := l.throughline(apply...)
	require.NotContains(t, again, "created")
	require.NotContains(t, again, "removed")

	_, errs, code := l.throughlineAs(stream.Sink, "topics", "apply")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "AUTHORIZATION_FAILED")
	for range 2 { // create, then look and find nothing to change
		_, errs, code = l.throughlineAs(stream.Topics, "topics", "apply", "--partitions", "3")
		require.Zero(t, code, errs)
	}
	out, errs, code := l.throughlineAs(stream.Operator, append(apply, "--dry-run")...)
	require.Zero(t, code, errs)
	require.NotContains(t, out, "missing")
	_, errs, code = l.throughlineAs(stream.Operator, append(apply, "--host", "127.0.0.1")...)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "--operation ALTER --cluster")

	t.Run("story", l.story)
	l.wrongLogins()
	l.refusals()
}

// wrongLogins: whoever cannot log in is told what to change.
func (l *least) wrongLogins() {
	t := l.t
	stranger := tlsfilestest.NewAuthority(t)
	authority := l.as(stream.Sink)
	authority.CAFile = stranger.CAFile
	password := l.as(stream.Sink)
	password.Password = "wrong"
	none, unknown := l.byCertificate(stream.Sink), l.byCertificate(stream.Sink)
	none.CertFile, none.KeyFile = "", ""
	unknown.CertFile, unknown.KeyFile = stranger.Issue(stream.Sink)
	for _, wrong := range []struct {
		config stream.Config
		advice string
	}{
		{authority, "THROUGHLINE_KAFKA_CA_FILE"}, {password, "THROUGHLINE_KAFKA_PASSWORD"}, {none, "THROUGHLINE_KAFKA_CERT_FILE"}, {unknown, "THROUGHLINE_KAFKA_CERT_FILE"},
	} {
		client := l.client(wrong.config, kgo.RequestRetries(0))
		await(t, patience, "an answer that advises "+wrong.advice, func() (bool, string) {
			err := stream.Classify(client.Ping(t.Context()))
			require.Error(t, err)
			return strings.Contains(fault.Advice(err), wrong.advice), fmt.Sprint(err, " / ", fault.Advice(err))
		})
	}
	expired := l.byCertificate(stream.Sink)
	expired.CertFile, expired.KeyFile = l.authority.IssueUntil("expired", time.Now().Add(-time.Hour))
	require.ErrorContains(t, expired.Validate(), "THROUGHLINE_KAFKA_CERT_FILE (--kafka-cert-file): the certificate in "+expired.CertFile+" expired on")
}

// story is from a vendor's post to the timeline, through the quarantine, and on to a
// consumer. The receiver logs in with a certificate.
func (l *least) story(t *testing.T) {
	defer func(whole *testing.T) { l.t = whole }(l.t)
	l.t = t
	core, lines := observer.New(zapcore.WarnLevel)
	var runtimes []*service.Runtime
	addr := ""
	for _, name := range []string{stream.Quarantine, stream.Sink, stream.Normalizer, stream.Receiver} {
		config := l.as(name)
		if name == stream.Receiver {
			config = l.byCertificate(name)
		}
		addr = startServices(t, l.place, config, zap.New(core), name)
		runtimes = append(runtimes, l.runtime)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	sender := vendors.Sender{Sources: catalog.Set(), URL: "http://" + addr, PublicURL: publicURL, Secrets: secrets()}
	const events = 20
	for i := range events {
		simulator, err := vendors.New(catalog.Set(), uint64(1000+i))
		require.NoError(t, err)
		delivery, err := simulator.Delivery("stripe", vendors.Event{
			At: time.Now(), About: vendors.Customer{IDs: map[string]string{"stripe:customer": "cus_bad"}}, Members: fmt.Sprintf(`"e2e":"least-%d"`, i),
		})
		require.NoError(t, err)
		await(t, patience, "an event to be acknowledged", func() (bool, string) {
			answer, err := sender.Post(t.Context(), delivery)
			if err != nil {
				return false, err.Error()
			}
			return answer.Status == http.StatusOK, fmt.Sprint(answer.Status)
		})
	}
	// A backfill's event goes the same way.
	require.NoError(t, stream.NewPublisher(l.client(l.as(stream.Backfill))).Publish(t.Context(),
		&kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte(stripeEvents(t)("least-backfill", ""))}))
	l.consoleReads(events + 1)
	l.openBecomes(events + 1)
	l.link("stripe:customer:cus_bad", l.account("Acme", "acme.example"))
	l.onTimelinesBecome(events + 1)
	l.openBecomes(0)
	l.throughline("relink", "stripe:customer:cus_bad", l.account("Nimbus", "nimbus.example").String()) // for account-changes

	consumer := l.client(l.as(stream.Consumer), kgo.ConsumerGroup(stream.Names{}.ConsumerGroups()+"e2e"), kgo.ConsumeTopics(stream.AccountEvents, stream.AccountChanges),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := map[string]int{}
	await(t, patience, "the consumer to read all", func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, r := range consumer.PollFetches(ctx).Records() {
			seen[r.Topic]++
		}
		return seen[stream.AccountEvents] == events+1 && seen[stream.AccountChanges] > 0, fmt.Sprint(seen)
	})
	require.NoError(t, consumer.CommitUncommittedOffsets(t.Context()))

	for _, runtime := range runtimes {
		await(t, patience, "readiness", func() (bool, string) {
			report := runtime.Health.Report(t.Context())
			return report.Ready, fmt.Sprint(report)
		})
	}
	l.lagReachesZero()
	l.followsReleases()
	for _, line := range lines.All() {
		require.NotContains(t, fmt.Sprint(line.Message, line.ContextMap()), "AUTHORIZATION_FAILED")
		require.NotContains(t, line.Message, "cannot be read") // stream.TopicCheck.Doubts
	}
}

// consoleReads reads one record by where it is, without a group, as the console does for a payload.
func (l *least) consoleReads(events int64) {
	t := l.t
	ends, err := stream.Ends(t.Context(), l.client(l.as(stream.Console)), stream.RawTopic("stripe"))
	require.NoError(t, err)
	read := int64(0)
	for partition, end := range ends[stream.RawTopic("stripe")] {
		read += end
		if end == 0 {
			continue
		}
		record, err := stream.ReadAt(t.Context(), l.as(stream.Console), stream.RawTopic("stripe"), partition, end-1, patience)
		require.NoError(t, err)
		require.NotEmpty(t, record.Value)
	}
	require.Equal(t, events, read)
}

// followsReleases asks, as the quarantine, what it asks about releases that it misses.
func (l *least) followsReleases() {
	t := l.t
	client := l.client(l.as(stream.Quarantine))
	raw, err := stream.Ends(t.Context(), client, stream.RawTopic("stripe"), stream.RawTopic("hubspot"))
	require.NoError(t, err)
	out, err := stream.Ends(t.Context(), client, stream.AccountEvents, stream.DeadLetters)
	require.NoError(t, err)
	for service, marks := range map[string]stream.Marks{
		stream.Normalizer: raw, stream.Sink: {stream.AccountEvents: out[stream.AccountEvents]}, stream.Quarantine: {stream.DeadLetters: out[stream.DeadLetters]},
	} {
		await(t, patience, service+" to have passed", func() (bool, string) {
			passed, err := stream.Passed(t.Context(), client, stream.Names{}.Group(service), marks)
			require.NoError(t, err)
			return passed, ""
		})
	}
}

// lagReachesZero: what KEDA and others take for the lag, the end of the topic without
// regard to transactions less what the group has committed, is nothing when all is done.
func (l *least) lagReachesZero() {
	t := l.t
	admin := kadm.NewClient(l.client(l.as(stream.Operator)))
	for group, topic := range map[string]string{stream.Sink: stream.AccountEvents, stream.Quarantine: stream.DeadLetters, stream.Normalizer: stream.RawTopic("stripe")} {
		await(t, patience, group+" to have no lag", func() (bool, string) {
			ends, err := admin.ListEndOffsets(t.Context(), topic)
			require.NoError(t, err)
			committed, err := admin.FetchOffsets(t.Context(), stream.Names{}.Group(group))
			require.NoError(t, err)
			lag, lines := int64(0), []string{}
			ends.Each(func(end kadm.ListedOffset) {
				at, ok := committed.Lookup(topic, end.Partition)
				if !ok {
					at.At = 0
				}
				lag += end.Offset - at.At
				lines = append(lines, fmt.Sprintf("%s/%d: end %d, committed %d", topic, end.Partition, end.Offset, at.At))
			})
			slices.Sort(lines) // the same state is the same text
			text := strings.Join(lines, "\n")
			if lag == 0 {
				t.Logf("%s has no lag\n%s", group, text)
			}
			return lag == 0, text
		})
	}
}

// try is one thing that can be done on Kafka. do gives the brokers' answer, which is
// about the right alone: what else is wrong with the request does not count.
type try struct {
	what string
	// needs is the right to it; of several each is enough.
	needs func(stream.Grant) bool
	do    func(context.Context, *kgo.Client) error
}

// refusals tries everything as everybody. What is allowed are exactly the Grants.
func (l *least) refusals() {
	t := l.t
	foreign := "billing"
	require.NoError(t, createTopic(t.Context(), l.place.kafka, foreign, false))
	tries := l.tries(foreign)
	allowed, refused := 0, 0
	for _, grantee := range stream.Grantees() {
		grants := stream.Grants(grantee, stream.Names{}, catalog.Set().Names())
		for kind, config := range map[string]stream.Config{"password": l.as(grantee), "certificate": l.byCertificate(grantee)} {
			// Requests of this version name topics, where newer ones have ids.
			client := l.client(config, kgo.MaxVersions(kversion.V3_0_0()), kgo.RequestRetries(2))
			for _, try := range tries {
				want := slices.ContainsFunc(grants, try.needs)
				err := try.do(t.Context(), client)
				denied := isDenied(err)
				require.False(t, err != nil && !denied && !isAnswer(err), "%s, %s: %v", grantee, try.what, err)
				require.Equal(t, want, !denied, "may %s (by %s) %s: %v", grantee, kind, try.what, err)
				if denied {
					refused++
				} else {
					allowed++
				}
			}
		}
	}
	t.Logf("%d users, each with a password and a certificate: %d tries refused, %d allowed", len(stream.Grantees()), refused, allowed)
}

func isDenied(err error) bool {
	for _, denial := range []error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed} {
		if errors.Is(err, denial) {
			return true
		}
	}
	return false
}

// isAnswer: the brokers said it.
func isAnswer(err error) bool {
	var answer *kerr.Error
	return errors.As(err, &answer)
}

// on is a right to a resource by its name.
func on(resource kmsg.ACLResourceType, name string, operations ...kmsg.ACLOperation) func(stream.Grant) bool {
	return func(g stream.Grant) bool {
		return g.Resource == resource && slices.Contains(operations, g.Operation) && (g.Name == name || g.Prefixed && strings.HasPrefix(name, g.Name))
	}
}

func nobody(stream.Grant) bool { return false }

// createTopic gives the topic's answer.
func createTopic(ctx context.Context, client *kgo.Client, topic string, validateOnly bool) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.ValidateOnly = validateOnly
	r := kmsg.NewCreateTopicsRequestTopic()
	r.Topic, r.NumPartitions, r.ReplicationFactor = topic, 1, 1
	request.Topics = append(request.Topics, r)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].ErrorCode)
}

func (l *least) tries(foreign string) []try {
	topics := []string{stream.RawTopic("stripe"), stream.RawTopic("zendesk"), stream.AccountEvents, stream.DeadLetters, stream.AccountChanges, foreign}
	var all []try
	for _, topic := range topics {
		all = append(all, topicTries(topic)...)
	}
	all = append(all, createTry("billing-new"), createTry(stream.RawTopic("other")))
	for _, group := range []string{"throughline-normalizer", "throughline-sink", "throughline-quarantine", "consumer-e2e", "billing"} {
		all = append(all, groupTries(group)...)
	}
	for _, id := range []string{"throughline-normalizer-x-0", "throughline-sink-x-0", "billing-0"} {
		all = append(all, producerTry("begin transactions as "+id, &id, on(kmsg.ACLResourceTypeTransactionalId, id, kmsg.ACLOperationWrite)))
	}
	// Whoever writes anywhere may be an idempotent producer.
	all = append(all, producerTry("produce idempotently", nil, func(g stream.Grant) bool {
		return g.Resource == kmsg.ACLResourceTypeTopic && g.Operation == kmsg.ACLOperationWrite
	}))
	return append(all, clusterTries()...)
}

func topicTries(topic string) []try {
	kind := kmsg.ACLResourceTypeTopic
	return []try{
		{"read " + topic, on(kind, topic, kmsg.ACLOperationRead), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrFetchRequest()
			r, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
			request.MaxWaitMillis, r.Topic, p.PartitionMaxBytes = 1, topic, 1
			r.Partitions = append(r.Partitions, p)
			request.Topics = append(request.Topics, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
		}},
		{"write " + topic, on(kind, topic, kmsg.ACLOperationWrite), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrProduceRequest()
			r, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
			// A partition that is not there: where it may be written, nothing is.
			request.Acks, request.TimeoutMillis, r.Topic, p.Partition, p.Records = -1, 1000, topic, 999, []byte{}
			r.Partitions = append(r.Partitions, p)
			request.Topics = append(request.Topics, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
		}},
		{"look at " + topic, on(kind, topic, kmsg.ACLOperationDescribe, kmsg.ACLOperationRead, kmsg.ACLOperationWrite), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrMetadataRequest()
			r := kmsg.NewMetadataRequestTopic()
			r.Topic = &topic
			request.Topics = append(request.Topics, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Topics[0].ErrorCode)
		}},
		{"read the settings of " + topic, on(kind, topic, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationAlterConfigs), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrDescribeConfigsRequest()
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
			request.Resources = append(request.Resources, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Resources[0].ErrorCode)
		}},
		{"change the settings of " + topic, on(kind, topic, kmsg.ACLOperationAlterConfigs), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrIncrementalAlterConfigsRequest()
			request.ValidateOnly = true
			r, c := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			r.ResourceType, r.ResourceName, c.Name, c.Value = kmsg.ConfigResourceTypeTopic, topic, "retention.ms", kmsg.StringPtr("1")
			r.Configs = append(r.Configs, c)
			request.Resources = append(request.Resources, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Resources[0].ErrorCode)
		}},
		{"add partitions to " + topic, nobody, func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrCreatePartitionsRequest()
			request.ValidateOnly = true
			r := kmsg.NewCreatePartitionsRequestTopic()
			r.Topic, r.Count = topic, 100
			request.Topics = append(request.Topics, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Topics[0].ErrorCode)
		}},
		{"delete records of " + topic, nobody, func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrDeleteRecordsRequest()
			r, p := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
			r.Topic, request.TimeoutMillis = topic, 10_000
			r.Partitions = append(r.Partitions, p)
			request.Topics = append(request.Topics, r)
			// To the one broker, and not by its leader, whom not everybody may know.
			response, err := client.Broker(1).Request(ctx, request)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode)
		}},
		{"delete " + topic, nobody, func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrDeleteTopicsRequest()
			r := kmsg.NewDeleteTopicsRequestTopic()
			r.Topic, request.TopicNames, request.TimeoutMillis = &topic, []string{topic}, 10_000
			request.Topics = append(request.Topics, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Topics[0].ErrorCode)
		}},
		createTry(topic),
	}
}

func createTry(topic string) try {
	return try{"create " + topic, on(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationCreate), func(ctx context.Context, client *kgo.Client) error {
		return createTopic(ctx, client, topic, true)
	}}
}

func groupTries(group string) []try {
	kind := kmsg.ACLResourceTypeGroup
	return []try{
		{"be a member of " + group, on(kind, group, kmsg.ACLOperationRead), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrHeartbeatRequest()
			request.Group, request.MemberID = group, "nobody"
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.ErrorCode)
		}},
		{"see the offsets of " + group, on(kind, group, kmsg.ACLOperationDescribe, kmsg.ACLOperationRead), func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrOffsetFetchRequest()
			g := kmsg.NewOffsetFetchRequestGroup()
			request.Group, g.Group = group, group
			request.Groups = append(request.Groups, g)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			if len(response.Groups) > 0 {
				return kerr.ErrorForCode(response.Groups[0].ErrorCode)
			}
			return kerr.ErrorForCode(response.ErrorCode)
		}},
		{"delete " + group, nobody, func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrDeleteGroupsRequest()
			request.Groups = append(request.Groups, group)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Groups[0].ErrorCode)
		}},
	}
}

func producerTry(what string, id *string, needs func(stream.Grant) bool) try {
	return try{what, needs, func(ctx context.Context, client *kgo.Client) error {
		request := kmsg.NewPtrInitProducerIDRequest()
		request.TransactionalID, request.TransactionTimeoutMillis, request.ProducerID, request.ProducerEpoch = id, 10_000, -1, -1
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.ErrorCode)
	}}
}

func clusterTries() []try {
	kind, name := kmsg.ACLResourceTypeCluster, "kafka-cluster"
	return []try{
		{"read ACLs", on(kind, name, kmsg.ACLOperationDescribe), func(ctx context.Context, client *kgo.Client) error {
			_, err := stream.DiffACLs(ctx, client, stream.Names{}, []stream.ACL{{Principal: "User:nobody", Host: "*"}})
			return err
		}},
		{"grant rights", nobody, func(ctx context.Context, client *kgo.Client) error {
			return stream.CreateACLs(ctx, client, []stream.ACL{{Principal: "User:nobody", Host: "*", Grant: stream.Grants(stream.Sink, stream.Names{}, nil)[0]}})
		}},
		{"take rights away", nobody, func(ctx context.Context, client *kgo.Client) error {
			return stream.RemoveACLs(ctx, client, []stream.ACL{{Principal: "User:nobody", Host: "*", Grant: stream.Grants(stream.Sink, stream.Names{}, nil)[0]}})
		}},
		{"read the brokers' settings", nobody, func(ctx context.Context, client *kgo.Client) error {
			request := kmsg.NewPtrDescribeConfigsRequest()
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
			request.Resources = append(request.Resources, r)
			response, err := request.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(response.Resources[0].ErrorCode)
		}},
	}
}
