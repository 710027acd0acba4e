package filefence

// At has stop called at each step of a write.
func (f *File) At(stop func(step string)) { f.at = stop }
