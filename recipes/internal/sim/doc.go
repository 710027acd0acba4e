// Package sim has no code but its tests: the simulation of whole clusters of sessions and locks over an etcd in memory (package fakeetcd),
// in the time of a testing/synctest bubble, where an hour takes a second.
//
// Everything that is random comes from a seed: what the nodes do and when, how long each message takes and which are lost, what the nemesis does.
// A draw is a hash of the seed, the virtual time and what it is for, not the next number of a sequence: so it does not matter in which order the
// goroutines of one instant run, and a seed that is run again has the same log (TestASeedRepeats).
//
//	make sim          new seeds, for two minutes
//	make sim SEED=17  one seed, five times, with its story if it fails
package sim
