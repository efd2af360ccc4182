package postgres

// SQLSTATEs that the code names.
const (
	uniqueViolation       = "23505"
	undefinedFunction     = "42883"
	undefinedTable        = "42P01"
	insufficientPrivilege = "42501"
	readOnlyTransaction   = "25006"
	queryCanceled         = "57014"
	lockNotAvailable      = "55P03"
)

// state is what is known of a SQLSTATE. The zero value: it may pass by itself.
type state struct {
	permanent bool   // the data itself is refused, and always will be
	suspect   bool   // it may be one row that is refused, or all
	lost      bool   // the connection is of no more use
	advice    string // what somebody can do
}

// states is all that Throughline knows of SQLSTATEs and their classes
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func states() map[string]state {
	refused := state{permanent: true}
	lost := state{lost: true}
	advise := func(advice string) state { return state{advice: advice} }
	suspect := func(advice string) state { return state{suspect: true, advice: advice} }
	migrate := suspect("the schema is missing or older than this program; run `throughline migrate`")
	const trigger = "a trigger, rule or policy of the table refuses the rows: look at them and at what was deployed last"
	password := advise("check the user and the password in THROUGHLINE_POSTGRES_URL, and the server's pg_hba.conf")
	server := advise("the server cannot read or write its files; see its log")
	return map[string]state{
		"22":    refused,                                           // data exception: NUL in JSONB, a bad UUID, a number out of range
		"23":    refused,                                           // constraint violation: NULL where there may be none, a check
		"44":    refused,                                           // a view's WITH CHECK OPTION
		"54":    refused,                                           // program limit: an index row over 2,704 bytes, JSON nested too deep
		"P0001": {permanent: true, suspect: true, advice: trigger}, // a trigger's RAISE
		// Duplicates of an event are skipped by ON CONFLICT, so what is left is a duplicate id from a sequence that
		// lags (after a restore), and each retry advances it.
		uniqueViolation: {},

		"3F000":           migrate, // no such schema
		"42703":           migrate, // no such column
		"42704":           migrate, // no such object
		undefinedTable:    migrate, // no such table
		undefinedFunction: migrate,
		"42P10":           migrate, // ON CONFLICT without its unique constraint

		// What a trigger, a policy or a generated column meets with some rows and not with others.
		"P0": suspect(trigger), "09": suspect(trigger), "0A": suspect(trigger), "20": suspect(trigger), "21": suspect(trigger),
		"27": suspect(trigger), "2F": suspect(trigger), "38": suspect(trigger), "39": suspect(trigger), "42": suspect(trigger),

		insufficientPrivilege: suspect("run `throughline roles apply` as the owner of the schema, or grant the user of THROUGHLINE_POSTGRES_URL the right, or look at the table's row security policies"),
		"28000":               password,
		"28P01":               password,
		"3D000":               advise("create the database, or name another in THROUGHLINE_POSTGRES_URL"),
		readOnlyTransaction: {lost: true, advice: "the server is a standby, a demoted primary or set to read-only; " +
			"name the primary, or all servers, in THROUGHLINE_POSTGRES_URL (only to read: target_session_attrs=any)"},

		queryCanceled:    advise(timeoutAdvice + "; or raise the user's statement_timeout"),
		lockNotAvailable: advise("somebody holds a lock on the table: look in pg_stat_activity and pg_blocking_pids()"),

		"53100": advise("make room on the server's disk"),
		"53200": advise("give the server more memory"),
		"53300": advise("raise the server's max_connections or lower THROUGHLINE_POSTGRES_MAX_CONNS"),
		"58":    server, // system error: I/O, a missing file
		"XX":    server, // corrupted data or index

		"08":    lost, // connection exception
		"57P01": lost, // shutting down by an administrator
		"57P02": lost, // a crash of another backend
		"57P03": lost, // starting up
		"57P04": lost, // the database was dropped
		"57P05": lost, // idle for too long
	}
}
