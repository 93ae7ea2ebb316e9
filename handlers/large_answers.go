package handlers

const (
	// maxLargeAnswers is how many answers with messages an address may have under way at once that are as large as an
	// answer may be. What a client asked for and does not read is kept in memory until it is cut off.
	maxLargeAnswers = 16
	// smallAnswer is how many bytes of messages the others have. Their clients ask again for what comes next.
	smallAnswer = 16 << 10
)

// beginAnswer counts an answer in until done is called, when it was written, and returns how many bytes of messages it
// may have; 0 stands for as many as an answer may have.
func (s *Server) beginAnswer(address string) (bytes int64, done func()) {
	done, admitted := s.large.enter(address, maxLargeAnswers)
	if !admitted {
		return smallAnswer, func() {}
	}
	return 0, done
}
