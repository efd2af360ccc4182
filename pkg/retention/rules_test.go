package retention

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Whoever adds a table decides who ends its rows: in Rules or in Kept.
func TestEveryTableIsDecidedAbout(t *testing.T) {
	t.Parallel()
	var decided []string
	for _, r := range (Settings{}).Rules() {
		decided = append(append(decided, r.Table), r.Also...)
	}
	for table, why := range Kept() {
		require.NotEmpty(t, why, table)
		decided = append(decided, table)
	}
	require.ElementsMatch(t, postgres.Tables(), decided)
}

func TestSettingsThatDeleteWhatIsInUse(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Settings{
		"--timeline-retention is 1h0m0s: it should be 24h or more":       {Timeline: time.Hour},
		"--timeline-retention is -24h0m0s":                               {Timeline: -day},
		"--quarantine-retention is 720h0m0s: it should be 2160h":         {Quarantine: 30 * day},
		"--audit-retention is 24h0m0s: it should be 2160h or more, or 0": {AuditLog: day},
		"--findings-retention is 1ns":                                    {Findings: 1},
	} {
		require.ErrorContains(t, s.Validate(), want)
	}
	require.NoError(t, Settings{}.Validate())
	require.NoError(t, Settings{Timeline: day, Quarantine: 90 * day, Findings: day, AuditLog: 90 * day}.Validate())
	for _, r := range (Settings{}).Rules() {
		require.Equal(t, r.Table == "console_sessions", r.Deletes(), "nothing is deleted unless it is decided: %s", r.Table)
	}
}
