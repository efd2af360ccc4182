// Package shape is what events of one type look like: which JSON paths they have,
// of which types, how often, and since when. It is pure: no clock, no Kafka, no SQL.
//
// A Shape is learned an event at a time (Observe, one look at what rawjson has
// scanned) and settled a batch at a time (Settle), which adds the batch to the
// totals and gives what is odd about it:
//
//	s := shape.New(shape.Limits{})
//	s.Load(stored)              // totals of before
//	s.Observe(object, at, 0)    // for each event
//	settled := s.Settle(shape.Rules{})
//
// # Paths
//
// A path names a member as people write it: data.object.amount. The elements of
// an array are [] (items[].price), and all members of an object that is used as a
// map are * (metadata.*): of one with more than Limits.Children names, and those
// whose name is an id, a number or an address, so that customers' data do not
// become names. A name with other characters than letters, digits, _, - and $ is
// quoted as JSON has it. The event itself is the empty path.
//
// # Counting
//
// All counts are of events, not of values: an array of a hundred elements counts
// its items[].price once. A path's rate is of those events in which its parent was
// an object, so that what is missing is found once, at the top.
//
// # No values
//
// Nothing of what an event says is kept: of a value its JSON type and its form
// ("text like a number"), and which event had it.
package shape
