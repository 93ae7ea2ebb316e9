package logsample

// Keys returns how many kinds and addresses are remembered.
func Keys(s *Sampler) int { return len(s.seen) }
