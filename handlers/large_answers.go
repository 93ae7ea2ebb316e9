package handlers

const (
	// maxLargeAnswers is how many answers with messages an address may have under way at once that are as large as an
	// answer may be. What a client asked for and does not read is kept in memory until it is cut off.
	maxLargeAnswers = 16
	// smallAnswer is how many bytes of messages the others have. Their clients ask again for what comes next.
	smallAnswer = 16 << 10
)

// answerPlace is the place of an answer among the large ones of its address. It belongs to one goroutine.
type answerPlace struct {
	answers *sockets
	address string
	leave   func() // nil without a place
}

// placeFor returns the place of an answer, which is not taken yet.
func (s *Server) placeFor(address string) *answerPlace {
	return &answerPlace{answers: &s.large, address: address}
}

// take takes the place, if one is free, until it is given back: once the answer was written, or while there is none. It
// returns how many bytes of messages the answer may have; 0 stands for as many as an answer may have.
func (p *answerPlace) take() (bytes int64) {
	if p.leave == nil {
		leave, admitted := p.answers.enter(p.address, maxLargeAnswers)
		if !admitted {
			return smallAnswer
		}
		p.leave = leave
	}
	return 0
}

// giveBack gives the place back, if it is taken.
func (p *answerPlace) giveBack() {
	if p.leave != nil {
		p.leave()
		p.leave = nil
	}
}
