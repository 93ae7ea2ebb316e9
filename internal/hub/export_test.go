package hub

// Waiting returns how many watches are neither woken nor ended.
func (h *Hub[K]) Waiting() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watches {
		for ; w != nil; w = w.after {
			n++
		}
	}
	return n
}

// Holders returns how many keys are held.
func (x *Exclusive[K]) Holders() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.holders)
}
