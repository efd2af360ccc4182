package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

var update = flag.Bool("update", false, "write testdata/forms.golden.json")

// The names of the fields, and what is left out, are a contract with programs.
func TestForms(t *testing.T) {
	t.Parallel()
	one, two := uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"), uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a02")
	at := time.Date(2026, 3, 1, 9, 0, 0, 5000, time.FixedZone("CET", 3600))
	ref := source.Reference{Source: "hubspot", Tenant: "6/2", Kind: "contact", ID: "901"}
	decision := accounts.Decision{Verb: accounts.VerbUnlink, Reference: ref, DryRun: true}
	effect := accounts.Effect{DecisionID: 7, Changed: true, From: one, To: two, Undone: []accounts.UndoneLink{{Reference: ref, AccountID: one}},
		Moves: []accounts.MoveCount{{From: one, To: two, Events: 3}, {From: one, Events: 1}}, MoveIDs: []int64{1}, Untraced: 2, Pending: 1}
	record := quarantine.Record{ID: 1, Reason: "unresolved_account", Error: "e", Source: "hubspot", Tenant: "1", EventType: "a.b", SourceEventID: "x", Topic: "raw.hubspot",
		Partition: 2, Offset: 3, References: []source.Reference{ref}, Status: quarantine.Resolved, Outcome: "inserted", Attempts: 2, FirstSeen: at, LastSeen: at,
		StatusBy: "ada", StatusAt: at, PublishedAt: &at}
	waiting := int64(2)
	forms := []any{
		api.NewAccount(accounts.Account{ID: one, Name: "Acme", CreatedAt: at, UpdatedAt: at}),
		api.NewAccounts([]accounts.Account{{ID: one, Name: "Acme", Domain: "acme.example", ParentID: two, MergedInto: two, CreatedAt: at, UpdatedAt: at, CreatedBy: "ada", Links: 3}})[0],
		api.NewLinks([]accounts.Link{{Reference: ref, AccountID: one, AccountName: "Acme", DecisionID: 7, Learned: "operator", Evidence: []byte(`{"a":1}`), CreatedBy: "ada", CreatedAt: at}})[0],
		api.NewDecisions([]accounts.Entry{{ID: 7, Verb: accounts.VerbRelink, Reference: ref, From: one, To: two, Level: accounts.LevelVendor, Learned: "learner", Author: "learner",
			Reason: "r", Evidence: []byte(`{}`), RestsOn: []int64{3}, UndoneBy: 9, At: at}})[0],
		api.NewDecisions([]accounts.Entry{{ID: 8, Verb: accounts.VerbMerge, From: one, To: two, Level: accounts.LevelDecided, Learned: "operator", Author: "ada", At: at}})[0],
		api.NewEffect(decision, effect),
		api.NewEffect(accounts.Decision{Verb: accounts.VerbMerge}, accounts.Effect{From: one, To: two}),
		api.Linked{Reference: ref.String(), AccountID: one, AccountName: "Acme", Added: true, DecisionID: 7, Quarantined: 2, Waiting: &waiting, Moves: api.NewMoveCounts(effect.Moves)},
		api.NewMove(accounts.Move{ID: 1, DecisionID: 7, Verb: accounts.VerbRelink, Reference: ref, From: one, To: two, Events: 3, Moved: 2, Returned: 1, Author: "ada", CreatedAt: at, FinishedAt: at}),
		api.NewMove(accounts.Move{ID: 2, DecisionID: 8, Verb: accounts.VerbMerge, From: one, Events: 3, Author: "ada", CreatedAt: at}),
		api.NewImported(accounts.ImportResult{Lines: 1, AccountsAdded: 2, AccountsChanged: 3, LinksAdded: 4, LinksPresent: 5}),
		api.NewEvent(postgres.TimelineEvent{ID: 1, AccountID: one, EventType: "a.b", Source: "hubspot", SourceEventID: "x", Subject: "s", Payload: []byte(`{"a":1}`), OccurredAt: at, IngestedAt: at}),
		api.NewEvent(postgres.TimelineEvent{ID: 1, AccountID: one, OccurredAt: at, IngestedAt: at}),
		api.NewTopicChanges([]stream.TopicChange{{Topic: "raw.hubspot", Change: "created"}})[0],
		api.NewRoleChanges([]postgres.RoleChange{{SQL: "REVOKE TEMPORARY ON DATABASE \"throughline\" FROM PUBLIC CASCADE", Beyond: true, Problem: "permission denied"}})[0],
		api.NewQuarantineRecords([]quarantine.Record{{ID: 1, FirstSeen: at, LastSeen: at, StatusAt: at}})[0],
		api.NewQuarantineDetail(quarantine.Detail{Record: record, Key: []byte("k"), Headers: []quarantine.Header{{Key: "tl-source", Value: []byte("v")}}, Raw: []byte("raw"),
			Payload: []byte(`{"a":1}`), Decisions: []quarantine.Decision{{From: quarantine.Open, To: quarantine.Replaying, By: "ada", At: at, Note: "n"}}}),
		api.NewQuarantineChange(quarantine.Counts{Matched: 1, Changed: 2, Skipped: 3, Impossible: 4}, true),
	}
	var out bytes.Buffer
	for _, form := range forms {
		text, err := json.MarshalIndent(form, "", "  ")
		require.NoError(t, err)
		out.Write(append(text, '\n'))
	}
	golden := filepath.Join("testdata", "forms.golden.json")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "if a field was added: go test -update")
}
