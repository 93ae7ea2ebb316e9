package rendezvous

import "restante/session"

// Topic is what a parked request waits for news of: a session's outbox or a mailbox's log.
type Topic struct {
	Session session.Key
	Mailbox MailboxKey // 0 if it is a session's
}

// announce tells everyone, here and in other processes, that topics have news.
func (s *Service) announce(topics []Topic) {
	s.hub.Wake(topics...)
	if s.Announce != nil {
		s.stats.Announced.Add(int64(len(topics)))
		s.Announce(topics)
	}
}

// Wake has those look again who wait here for topics of which another process had news.
func (s *Service) Wake(topics []Topic) {
	s.stats.Heard.Add(int64(len(topics)))
	for _, topic := range topics {
		s.logs.Invalidate(topic.Mailbox)
		s.outboxes.Invalidate(topic.Session)
	}
	s.hub.Wake(topics...)
}

// WakeIf is [Service.Wake] for whatever topics news is true of: all of them, when
// news from other processes may have been missed.
func (s *Service) WakeIf(news func(Topic) bool) {
	s.logs.InvalidateAll()
	s.outboxes.InvalidateAll()
	s.hub.WakeIf(news)
}
