package keep

// SinceBoot is the clock that trust is counted on.
var SinceBoot = sinceBoot
