package service

// MainWith is Main without signals; NewProvider makes spans without a collector;
// SoftLimit is LimitMemory without the process.
var (
	SoftLimit   = softLimit
	MainWith    = mainWith
	NewProvider = newProvider
)
