package demo

// The events of the demo, in the order in which they come first.
const (
	eventServing    = "serving"
	eventStarted    = "started"
	eventHolds      = "holds"
	eventWrote      = "wrote"
	eventWaits      = "waits"
	eventChecked    = "checked"
	eventPaused     = "paused"
	eventTakenOver  = "taken-over"
	eventResumed    = "resumed"
	eventLate       = "wrote-late"
	eventRefused    = "refused"
	eventNotRefused = "not-refused"
	eventLost       = "lost"
	eventReleased   = "released"
	eventHandedOver = "handed-over"
	eventKilled     = "killed"
	eventRecovered  = "recovered"
	eventLine       = "line"
	eventClaim      = "claim"
	eventDone       = "done"

	// Of demo --serve alone.
	eventReady    = "ready"
	eventReplaced = "replaced"
)
