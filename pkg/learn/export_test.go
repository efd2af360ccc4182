package learn

// What the tests look at the plan of.
const (
	QuickSQL = quickSQL
	AsideSQL = asideSQL
)
