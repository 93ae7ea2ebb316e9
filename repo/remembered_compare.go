package repo

import (
	"fmt"
	"reflect"
)

// compare returns an error if something is remembered otherwise than it is stored.
func (c *conn) compare() error {
	r, hook := c.remembered, c.hook
	c.remembered, c.hook = nil, new(statementHook) // so that the database is asked, and nothing is made to fail
	defer func() { c.remembered, c.hook = r, hook }()
	t := &tx{conn: c}
	for k, s := range r.sessions {
		if err := differ("session", s)(t.Session(k)); err != nil {
			return err
		}
	}
	for k, m := range r.mailboxes {
		if err := differ("mailbox", m)(t.MailboxByKey(k)); err != nil {
			return err
		}
	}
	for name, k := range r.keys {
		if m := r.mailboxes[k]; m.App != name.app || m.ID != name.id {
			return fmt.Errorf("mailbox %d is remembered by the name of another one", k)
		}
	}
	for k, list := range r.subscribers {
		if err := differ("list of subscribers", list)(t.subscribers(k)); err != nil {
			return err
		}
	}
	return nil
}

// differ returns what tells that something which is stored is not what is remembered of it.
func differ[T any](what string, remembered T) func(stored T, err error) error {
	return func(stored T, err error) error {
		if err == nil && !reflect.DeepEqual(stored, remembered) {
			err = fmt.Errorf("%+v is stored, and %+v remembered", stored, remembered)
		}
		if err != nil {
			return fmt.Errorf("a %s is remembered wrongly: %w", what, err)
		}
		return nil
	}
}
