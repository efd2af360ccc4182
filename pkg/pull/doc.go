// Package pull brings the events that a vendor's API still holds into the raw
// topic: page, publish, acknowledgement, checkpoint. It is the fourth loop through
// which events pass, and stands here once; what is a vendor's own is in its source
// (source.Pager).
//
// Events are published as the receiver would have: the same bytes, key, tenant and
// partition, so that what a webhook brought too is one row on the timeline. Several
// pages make a batch, bounded by bytes and a short time; only after all of it is
// acknowledged the checkpoint moves on. A process that is killed loses nothing, and
// its successor repeats one batch at most.
//
// A period is walked in windows. Where the stream allows it several are fetched side
// by side, but they are published the oldest first, so that events come about in the
// order in which they happened, how much is left is known, and one position says what
// is done. What is fetched ahead is bounded in bytes. While a batch is published the
// next one is fetched.
//
// A vendor that is away or wants less is asked again, later each time. One that lies
// (a page that comes again, a cursor that goes round, HTML instead of JSON, an answer
// that breaks off) is asked a few times more, and then the run ends with an error that
// says what it saw; the checkpoint stays, and the next run goes on from it.
package pull
