package expect

// JSONPaths is jsonPaths, for the fuzz target.
func JSONPaths(text string) int { return len(jsonPaths(text)) }
