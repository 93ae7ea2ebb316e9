package rendezvous

import "restante/session"

// Topic is what a waiting request wants news of: a session's outbox or a mailbox's log.
type Topic struct {
	Session session.Key
	Mailbox MailboxKey // 0 if the topic is a session's
}

// announce wakes the readers of topics, on this process and on others.
func (s *Service) announce(topics []Topic) {
	s.hub.Wake(topics...)
	if s.Announce != nil {
		s.stats.Announced.Add(int64(len(topics)))
		s.Announce(topics)
	}
}

// Wake wakes the readers that wait on this process, because another process had news of topics.
func (s *Service) Wake(topics []Topic) {
	s.stats.Heard.Add(int64(len(topics)))
	for _, topic := range topics {
		s.logs.Invalidate(topic.Mailbox)
		s.outboxes.Invalidate(topic.Session)
	}
	s.hub.Wake(topics...)
}

// WakeIf is [Service.Wake] for every topic for which match returns true: for example for all of them,
// when news from other processes may have been missed.
func (s *Service) WakeIf(match func(Topic) bool) {
	s.logs.InvalidateAll()
	s.outboxes.InvalidateAll()
	s.hub.WakeIf(match)
}
