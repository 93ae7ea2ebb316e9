package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-playground/validator/v10"

	"restante/api"
	"restante/rendezvous"
)

const (
	// maxDrafts is how many messages a list may have.
	maxDrafts = 100
	// messagesPerToken is how many messages of a list cost as much of the caller's allowance as a request.
	messagesPerToken = 10
)

// isList reports whether a body that may be a message or a list of messages is a list.
func isList(body json.RawMessage) bool { return len(body) > 0 && body[0] == '[' }

// draftOf decodes a message.
func draftOf(body json.RawMessage) (rendezvous.Draft, error) {
	var draft api.Draft
	if err := decodeMessage(body, &draft); err != nil {
		return rendezvous.Draft{}, err
	}
	return rendezvous.Draft{Phase: draft.Phase, Body: *draft.Body, ID: draft.ID}, nil
}

// draftsOf decodes a list of messages.
func draftsOf(body json.RawMessage) ([]rendezvous.Draft, error) {
	var list []api.Draft
	if err := decodeJSON(body, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 || len(list) > maxDrafts {
		return nil, &invalid{rendezvous.InvalidRequest, violations("#/body", "items", fmt.Sprintf("must have 1 to %d messages", maxDrafts))}
	}
	bad := &invalid{code: rendezvous.InvalidRequest}
	drafts := make([]rendezvous.Draft, len(list))
	for i, draft := range list {
		err := validate.Struct(draft)
		if broken, is := errors.AsType[validator.ValidationErrors](err); is {
			bad.add(fmt.Sprintf("#/body/%d/", i), broken)
			continue
		}
		if err != nil {
			return nil, err
		}
		drafts[i] = rendezvous.Draft{Phase: draft.Phase, Body: *draft.Body, ID: draft.ID}
	}
	if len(bad.violations) > 0 {
		return nil, bad
	}
	return drafts, nil
}

// allAdded is the reply to a list of messages.
type allAdded api.AllAdded

// VisitAddMessageResponse implements [api.AddMessageResponseObject].
func (a allAdded) VisitAddMessageResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, err := w.Write(encode(a))
	return err
}
