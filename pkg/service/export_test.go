package service

// MainWith is Main without signals; NewProvider makes spans without a collector.
var (
	MainWith    = mainWith
	NewProvider = newProvider
)
