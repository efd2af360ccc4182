package main

// mutants are the changes, those that could lose an event first.
var mutants = []mutant{
	{
		promise: "producers wait for all in-sync replicas",
		file:    "pkg/stream/client.go",
		find:    `kgo.RequiredAcks(kgo.AllISRAcks()),`,
		replace: `kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),`,
		pkg:     "./pkg/stream", test: "TestClientsProduceWithAllAcksAndIdempotence",
	},
	{
		promise: "a transaction whose output failed is aborted",
		file:    "pkg/stream/transaction.go",
		find:    `kgo.TransactionEndTry(produced == nil)`,
		replace: `kgo.TryCommit`,
		pkg:     "./pkg/stream", test: "TestATransactionWhoseOutputFailsIsNotCommitted",
	},
	{
		promise: "the last part of a large delivery is acknowledged before the answer",
		file:    "services/receiver/receiver/handler.go",
		find:    `	return q.batch.flush()`,
		replace: "	if q.large {\n		return nil\n	}\n	return q.batch.flush()",
		pkg:     "./services/receiver/receiver", test: "TestALargeDeliveryIsAcknowledgedWhole",
	},
	{
		promise: "a delivery whose write to the spool failed is not accepted",
		file:    "services/receiver/spool/store.go",
		find: `	if err != nil {
		return fmt.Errorf("writing to the spool: %w", err)
	}`,
		replace: `	_ = err`,
		pkg:     "./services/receiver/spool", test: "TestNothingIsAcceptedUnlessItIsSynced",
	},
	{
		promise: "the spool is synced",
		file:    "services/receiver/spool/store.go",
		find:    `s.db.Batch(func`,
		replace: `func(do func(*bbolt.Tx) error) error { s.db.NoSync = true; return s.db.Batch(do) }(func`,
		pkg:     "./services/receiver/spool", test: "TestNothingIsAcceptedUnlessItIsSynced",
	},
	{
		promise: "work is tried again for as long as it takes",
		file:    "pkg/retry/retry.go",
		find: `	var last error
	for ctx.Err() == nil {`,
		replace: `	var last error
	tries := 0
	for ctx.Err() == nil {
		if tries++; tries > 8 {
			return nil
		}`,
		pkg: "./pkg/retry", test: "TestForeverTriesUntilItSucceeds",
	},
	{
		promise: "an event that cannot be encoded is dead-lettered alone",
		file:    "services/normalizer/normalizer/transform.go",
		find:    `	return n.deadLetter(it, refused, into)`,
		replace: "	if it.rule != \"\" {\n		return it.err\n	}\n	return n.deadLetter(it, refused, into)",
		pkg:     "./services/normalizer/normalizer", test: "TestAnEventThatCannotBeEncodedIsDeadLetteredAlone",
	},
	{
		promise: "a link does not release what a person discarded",
		file:    "pkg/quarantine/release.go",
		find:    "WHERE q.status = 'open' AND q.reason = $4",
		replace: "WHERE q.status IN ('open', 'discarded') AND q.reason = $4",
		pkg:     "./pkg/quarantine", test: "TestReleaseByLink",
	},
	{
		promise: "only what is replaying is published again",
		file:    "pkg/quarantine/outbox.go",
		find:    `AND q.status IS NOT DISTINCT FROM 'replaying' AND q.status_at = o.released_at)`,
		replace: `AND q.status_at = o.released_at)`,
		pkg:     "./pkg/quarantine", test: "TestPublish",
	},
	{
		promise: "the account that a Stripe event names counts more than a record's header",
		file:    "pkg/source/stripe/describe.go",
		find: `	tenant := account
	if tenant == "" {
		tenant = r.Tenant
	}`,
		replace: `	tenant := r.Tenant
	if tenant == "" {
		tenant = account
	}`,
		pkg: "./pkg/source/stripe", test: "TestTheEventsAccountIsTheTenant",
	},
	{
		promise: "a secret is not written by encoders",
		file:    "pkg/settings/secrets.go",
		find:    `func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }`,
		replace: `func (s Secret) MarshalText() ([]byte, error) { return []byte(s), nil }`,
		pkg:     "./pkg/settings", test: "TestSecretsAreHiddenInEveryEncoding",
	},
	{
		promise: "link --wait --json fails when its time is over",
		file:    "services/throughline/cli/link.go",
		find:    `waitErr = errors.Join(writeJSON(s, view), waitErr)`,
		replace: `waitErr = writeJSON(s, view)`,
		pkg:     "./services/throughline/cli", test: "TestLinkWaits",
	},
	{
		promise: "a registry that does not answer costs no event",
		file:    "services/sink/sink/batch.go",
		find: `		case fault.IsPermanent(err):
			dead = append`,
		replace: `		case fault.IsPermanent(err) || err != nil:
			dead = append`,
		pkg: "./services/sink/sink", test: "TestARegistryThatForgotItsSchemas",
	},
	{
		promise: "partitions may move while a write is tried again",
		file:    "pkg/stream/batches.go",
		find: `			h.client.AllowRebalance()
		}
		return err`,
		replace: `		}
		return err`,
		pkg: "./pkg/stream", test: "TestRebalancesDoNotWaitForABatchThatFails",
	},
	{
		promise: "beyond 2,000 changed keys everything is looked at, not nothing",
		file:    "services/quarantine/quarantine/links.go",
		find: `		if key == resolve.Everything || len(c.keys) >= maxChanged {
			c.everything = true
			break
		}`,
		replace: `		c.everything = c.everything || key == resolve.Everything
		if len(c.keys) >= maxChanged {
			break
		}`,
		pkg: "./services/quarantine/quarantine", test: "TestManyChangesAreASweep",
	},
	{
		promise: "one keeper works at a time",
		file:    "pkg/postgres/keeper.go",
		find:    `		if got {`,
		replace: `		if got || true {`,
		pkg:     "./pkg/postgres", test: "TestKeeper",
	},
	{
		promise: "every content encoding is refused, not gzip alone",
		file:    "services/receiver/receiver/handler.go",
		find:    `encoding != "" && encoding != "identity"`,
		replace: `encoding == "gzip"`,
		pkg:     "./services/receiver/receiver", test: "TestBadRequestsAreRefused",
	},
	{
		promise: "all writers insert in one order, so that none wait for each other in a circle",
		file:    "pkg/postgres/upsert_sql.go",
		find: `	slices.SortStableFunc(order, func(a, b int32) int { return byIdentity(&rows[a], &rows[b]) })
	return slices.CompactFunc(order, func(a, b int32) bool { return byIdentity(&rows[a], &rows[b]) == 0 })`,
		replace: `	seen := map[string]bool{}
	return slices.DeleteFunc(order, func(i int32) bool {
		key := rows[i].Source + "\x00" + rows[i].SourceEventID
		defer func() { seen[key] = true }()
		return seen[key]
	})`,
		pkg: "./pkg/postgres", test: "TestUpsertConcurrently",
	},
}
