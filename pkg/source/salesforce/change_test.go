package salesforce

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// changeEvent is a change event of these records.
func changeEvent(ids, changeType string, sequence int) string {
	return fmt.Sprintf(`{"payload":{"ChangeEventHeader":{"entityName":"Case","recordIds":[%s],"changeType":%q,"transactionKey":"t-1","sequenceNumber":%d,"commitTimestamp":1760000000000}},"event":{"replayId":6,"EventUuid":"u-%[3]d"}}`, ids, changeType, sequence)
}

func keyed(t *testing.T, value string) (source.Event, error) {
	t.Helper()
	_, event, err := source.Keyed(New(), source.Record{Value: []byte(value), Tenant: "00D5g000004xQzL", ReceivedAt: received})
	return event, err
}

// A change event of several records becomes one event a record, the same whether it is posted or published raw.
func TestAChangeOfSeveralRecords(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/changes.json")
	require.NoError(t, err)
	posted, err := split(New(), string(body))
	require.NoError(t, err)
	require.Len(t, posted, 2)

	page, ok := source.Page(New(), parse(t, string(body)))
	require.True(t, ok)
	var published []string
	for _, element := range page.Elements() {
		published = append(published, string(element.Bytes()))
	}
	require.Equal(t, posted, published)
	for i, value := range posted {
		event, err := keyed(t, value)
		require.NoError(t, err)
		require.Equal(t, []string{"0010800000XyZaBAAV", "0010800000XyZaCAAV"}[i], event.References[0].ID)
		require.Contains(t, value, `"Industry":"Robotics"`)
		require.NotContains(t, value, []string{"0010800000XyZaCAAV", "0010800000XyZaBAAV"}[i])
		require.Equal(t, "00D5g000004xQzLEAU", event.Tenant, "a tenant of 15 characters is that of 18")
	}
	_, isPage := source.Page(New(), parse(t, posted[0]))
	require.False(t, isPage)
	_, err = keyed(t, string(body))
	require.ErrorContains(t, err, "has 2 recordIds", "an element of an array that was published raw")
}

// The changes of one transaction have one time, and stay in their order.
func TestChangesOfATransactionAreInOrder(t *testing.T) {
	t.Parallel()
	var before source.Event
	for sequence := 1; sequence <= 12; sequence++ {
		event, err := keyed(t, changeEvent(`"5005g00000AbCdE"`, "UPDATE", sequence))
		require.NoError(t, err)
		require.True(t, event.OccurredAt.After(before.OccurredAt), sequence)
		require.Equal(t, int64(1_760_000_000_000), event.OccurredAt.UnixMilli())
		before = event
	}
	for _, sequence := range []int{-1, 0, 1 << 30} {
		event, err := keyed(t, changeEvent(`"5005g00000AbCdE"`, "UPDATE", sequence))
		require.NoError(t, err)
		require.Equal(t, int64(1_760_000_000_000), event.OccurredAt.UnixMilli())
	}
}

// Trap: gap events have the records' ids and nothing else, an overflow not even these; both are events that say so.
func TestGapsAndOverflow(t *testing.T) {
	t.Parallel()
	for changeType, want := range map[string]string{
		"GAP_CREATE": "case.gap.created", "GAP_UPDATE": "case.gap.updated", "GAP_DELETE": "case.gap.deleted", "GAP_UNDELETE": "case.gap.undeleted",
		"GAP_OVERFLOW": "case.gap.overflow", "SOMETHING_NEW": "case.something_new",
	} {
		ids := `"5005g00000AbCdE"`
		if changeType == "GAP_OVERFLOW" {
			ids = `"000000000000000AAA"`
		}
		event, err := keyed(t, changeEvent(ids, changeType, 1))
		require.NoError(t, err)
		require.Equal(t, want, event.Type)
		if changeType == "GAP_OVERFLOW" {
			require.Empty(t, event.References)
			continue
		}
		require.Equal(t, "salesforce/00D5g000004xQzLEAU:case:5005g00000AbCdEAAV", event.References[0].Key())
	}
	// Gap events after a field's conversion name all records of an object, with no id.
	event, err := keyed(t, changeEvent(`"500*"`, "GAP_UPDATE", 1))
	require.NoError(t, err)
	require.Empty(t, event.References)
}

// The identity of a change: EventUuid and record, whatever the replay id, which an organization's move changes.
func TestIdentityOfAChange(t *testing.T) {
	t.Parallel()
	set, err := source.NewSet(New())
	require.NoError(t, err)
	whole := changeEvent(`"5005g00000AbCdE"`, "UPDATE", 1)
	moved := strings.Replace(whole, `"replayId":6`, `"replayId":7`, 1)
	require.Equal(t, set.Digest("salesforce", parse(t, whole)), set.Digest("salesforce", parse(t, moved)))
	event, err := keyed(t, whole)
	require.NoError(t, err)
	require.Equal(t, "00D5g000004xQzLEAU:change:u-1:5005g00000AbCdEAAV", event.ID)
	for name, value := range map[string]string{
		"of a channel":           `{"channel":"/data/ChangeEvents","data":` + whole + `}`,
		"a ProducerEvent":        strings.Replace(whole, `"event":{"replayId":6,"EventUuid":"u-1"}`, `"id":"u-1"`, 1),
		"its id of 18":           strings.Replace(whole, "5005g00000AbCdE", "5005g00000AbCdEAAV", 1),
		"its id without upper":   strings.Replace(whole, "5005g00000AbCdE", "5005g00000abcdeaav", 1),
		"with the tenant longer": whole,
	} {
		again, err := keyed(t, value)
		require.NoError(t, err, name)
		require.Equal(t, event.ID, again.ID, name)
	}
	bare, err := keyed(t, `{"ChangeEventHeader":{"entityName":"Case","recordIds":["5005g00000AbCdE"],"changeType":"UPDATE","transactionKey":"t-1","sequenceNumber":3,"commitTimestamp":1760000000000}}`)
	require.NoError(t, err)
	require.Equal(t, "00D5g000004xQzLEAU:change:t-1:3:5005g00000AbCdEAAV", bare.ID, "the payload alone")
}

func TestBadChanges(t *testing.T) {
	t.Parallel()
	for says, value := range map[string]string{
		"no entityName":             `{"ChangeEventHeader":{"changeType":"UPDATE"}}`,
		"no changeType":             `{"ChangeEventHeader":{"entityName":"Case"}}`,
		"neither an EventUuid":      `{"ChangeEventHeader":{"entityName":"Case","changeType":"UPDATE","commitTimestamp":1760000000000}}`,
		"reading commitTimestamp":   `{"ChangeEventHeader":{"entityName":"Case","changeType":"UPDATE","transactionKey":"t"}}`,
		"no SystemModstamp":         `{"attributes":{"type":"Case"},"Id":"5005g00000AbCdE"}`,
		"this is no notification (": `{"payload":{"ChangeEventHeader":7}}`,
	} {
		_, err := keyed(t, value)
		require.ErrorContains(t, err, says)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	}
}

// One event of very many records does not become very many records.
func TestAChangeOfTooManyRecords(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat(`"5005g00000AbCdE",`, maxChanges+1), ",")
	_, err := split(New(), changeEvent(many, "UPDATE", 1))
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
	_, ok := source.Page(New(), parse(t, changeEvent(many, "UPDATE", 1)))
	require.False(t, ok)
	_, err = keyed(t, changeEvent(many, "UPDATE", 1))
	require.ErrorContains(t, err, "1001 recordIds", "it waits in quarantine")
	large := strings.Replace(changeEvent(`"5005g00000AbCdE","5005g00000AbCdF"`, "UPDATE", 1), `"payload":{`, `"payload":{"a":"`+strings.Repeat("x", 400_000)+`",`, 1)
	values, err := split(New(), "["+strings.TrimSuffix(strings.Repeat(large+",", 19), ",")+"]")
	require.NoError(t, err)
	require.Len(t, values, 38)
	// What cannot be stored is not made over: it is refused as it came.
	values, err = split(New(), strings.Replace(changeEvent(`"5005g00000AbCdE","5005g00000AbCdF"`, "UPDATE", 1), `"replayId":6`, `"a":1,"a":2`, 1))
	require.NoError(t, err)
	require.Len(t, values, 1)
}

// A message that comes again later tells the record's later state: the same fact as that state's own message, and as a query's record.
func TestARecordOfOneTimeIsOneEvent(t *testing.T) {
	t.Parallel()
	stamped := strings.Replace(one, "</sObject>", "<SystemModstamp>2025-10-09T08:53:20.000Z</SystemModstamp></sObject>", 1)
	other := strings.Replace(stamped, "04l5g00000BcDeF", "04l5g00000BcDeG", 1)
	values, err := split(New(), start+stamped+other+end)
	require.NoError(t, err)
	values = append(values, `{"attributes":{"type":"Contact"},"Id":"0035g00000AbCdEAAV","SystemModstamp":"2025-10-09T08:53:20.000+0000"}`)
	for _, value := range values {
		event, err := keyed(t, value)
		require.NoError(t, err)
		require.Equal(t, "00D5g000004xQzLEAU:0035g00000AbCdEAAV:1760000000000", event.ID)
		require.Equal(t, "contact.changed", event.Type)
	}
	set, err := source.NewSet(New())
	require.NoError(t, err)
	for _, value := range values[1:] {
		relation, pointer := set.Compare("salesforce", parse(t, values[0]), parse(t, value))
		require.NotEqual(t, source.Contradiction, relation, pointer)
	}
}
