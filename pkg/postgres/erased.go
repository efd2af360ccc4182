package postgres

// erasedState is the SQLSTATE (a class of ours) with which the database refuses a link of what was erased (migration 00027).
const erasedState = "TL001"

// IsErased reports whether the database refused a link because its reference was erased on request.
func IsErased(err error) bool { return code(err) == erasedState }
