package units

// Skew tells by how much a machine's clock differs from the storage's.
func Skew(ms int64) string {
	switch {
	case ms > 0:
		return Span(ms) + " behind the storage's"
	case ms < 0:
		return Span(-ms) + " ahead of the storage's"
	}
	return "as the storage's"
}
